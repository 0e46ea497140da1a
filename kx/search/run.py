"""Entry point of searches (`tuner=…`): runs them from setup to the best model."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.errors import HydraException

from kx.config import Composed, plain
from kx.config.messages import display
from kx.console import clock, counted
from kx.errors import ConfigError, KxError, first_line
from kx.launch.engines import Engine, make_engine
from kx.launch.jobs import DONE
from kx.launch.multi_process import refuse_teams
from kx.launch.pool import JobList, Pool
from kx.process import hidden_stderr, quiet_log_level
from kx.search.results.table import SearchProgress, as_csv, show_study
from kx.search.setup import checked, earlier_study, forget, has_more, study_name
from kx.search.study import FILE, Study
from kx.search.trial_configs import Trials
from kx.signals import noting_stop
from kx.tracking.records import lock

if TYPE_CHECKING:
    from kx.launch.group import Group
    from kx.search.search import Search


def run_searches(bases: Sequence[Composed]) -> int:
    """Runs searches one after the other, and returns the largest of their exit codes.

    Args:
        bases: Config of each search.

    Raises:
        ConfigError: If two of them have the same study, or one is not a search.
    """
    names = [study_name(base) for base in bases]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"tuner.study: each search needs a name of its own. Received: {', '.join(names)}."
            " Put what differs into it: 'tuner.study=lr-${seed}'."
        )
    if not all("_target_" in base.config.tuner for base in bases):
        raise ConfigError("tuner: some of these jobs are searches, others are not.")
    codes = []
    for base in bases:
        try:
            codes.append(run_search(base))
        except KxError as error:
            if len(bases) == 1:
                raise
            print(f"kx: {error}", file=sys.stderr)
            codes.append(1)
        if codes[-1] == 130:
            break
    return max(codes)


def run_search(base: Composed) -> int:
    """Runs a search, and returns the exit code.

    Args:
        base: Config of the search, with a `tuner` other than none.

    Returns:
        0 if the search ran to its end, 130 after Ctrl-C, else 1.

    Raises:
        ConfigError: If the space or another key of `tuner` is invalid, or if the
            study of this name has another config.
        KxError: If all trials failed, or if another process runs the same study.
    """
    refuse_teams([base])
    settings = plain(base.config.tuner, resolve=True)
    trials, new = checked(base, settings)
    settings["winner"] = settings["winner"] or ("retrain" if settings["folds"] else "keep")
    name = new.name
    new.folder.mkdir(parents=True, exist_ok=True)
    try:
        held = lock(new.folder)
    except KxError as error:
        raise KxError(
            f"The study {name} is being searched by another process: kx search show {name}. Wait"
            " for it, or choose another name: tuner.study=NAME."
        ) from error
    try:
        study = earlier_study(new, settings) or new
        if study.finished and not has_more(study, settings):
            _show_finished(study)
            return 0
        quiet_log_level()
        engine = make_engine(base.config.launcher)
        engine.open(base.config.backend)
        with contextlib.closing(engine):
            return _search(base, settings, trials, study, engine, again=study is not new)
    finally:
        held.release()
        if not (new.folder / FILE).is_file():
            shutil.rmtree(new.folder, ignore_errors=True)


def _show_finished(study: Study) -> None:
    print(f"the study {study.name} is finished: {counted(len(study.trials), 'trial')}")
    show_study(study)
    print(
        "\nto extend it: a larger tuner.max_trials (hyperband: tuner.iterations);"
        " to start again: tuner.overwrite=true"
    )


def _search(
    base: Composed,
    settings: dict[str, Any],
    trials: Trials,
    study: Study,
    engine: Engine,
    *,
    again: bool,
) -> int:
    with hidden_stderr():
        import keras_tuner  # noqa: F401

        from kx.search.oracle import Oracle
        from kx.search.results.winner import finish_winner
        from kx.search.search import Search
    oracle = Oracle(settings, trials.parameters, study.objective, trials.defaults())
    if study.oracle:
        oracle.restore(study.oracle)
    group = _open_group(base, study, again=again)
    if not again:
        forget(study)
    study.finished, study.failed = False, ""
    study.run_id = group.run_id if group else ""
    study.save()
    search = Search(base, settings, study, trials, oracle, group.tags if group else {})
    told = f"{counted(len(study.trials), 'trial')} so far" if again else "new"
    print(f"study {study.name} ({told}), workers: {settings['workers']}")
    progress = SearchProgress(search.jobs, settings["workers"], study, oracle.num_trials)
    pool = Pool(engine, settings["workers"], progress, max_retries=max(1, engine.max_retries))
    with noting_stop() as stop:
        search.stop = stop
        pool.run(search, stop)
        best = study.best()
        study.finished = search.finished(stop) and not pool.gave_up and best is not None
        if study.finished and best and settings["winner"] != "none":
            winner = finish_winner(base, settings, study, trials, best, group)
            if winner.state not in DONE:
                last = SearchProgress([winner], 1, study, None)
                Pool(engine, 1, last, max_retries=pool.max_retries).run(JobList([winner]), stop)
            search.jobs.append(winner)
            study.finished = winner.state in DONE
        study.winner = best.number if study.finished and best else None
        study.winner_is = settings["winner"] if study.finished else ""
        code = _end(base, study, trials, search, group, stopped=stop.asked, gave_up=pool.gave_up)
        study.save()  # last: if the search is killed in `_end`, the next session repeats it
    return code


def _open_group(base: Composed, study: Study, *, again: bool) -> Group | None:
    if not base.config.tracking.enabled:
        return None
    with hidden_stderr():
        from kx.launch.group import Group
    return Group.open("search", study.name, [base], again=again)


def _end(
    base: Composed,
    study: Study,
    trials: Trials,
    search: Search,
    group: Group | None,
    *,
    stopped: bool,
    gave_up: str,
) -> int:
    """Prints and saves the results of a search, and returns the exit code."""
    from kx.search.results.figures import write_figures
    from kx.search.results.winner import experiment_file, register, winning_config

    show_study(study)
    (study.folder / "trials.csv").write_text(as_csv(study), encoding="utf-8")
    try:
        write_figures(study, trials.parameters, study.folder / "report")
    except Exception as error:  # Optuna may raise any error, and the other results are still saved
        print(f"the figures could not be drawn: {first_line(error)}")
    written = winner = None
    if search.jobs and search.jobs[-1].tags.get("kx.kind") == "winner":
        winner = search.jobs[-1] if search.jobs[-1].state in DONE else None
    if study.winner:
        best = study.trial(study.winner)
        try:
            written = experiment_file(study, winning_config(base, study, trials, best))
        except (KxError, HydraException, OSError) as error:
            print(f"the best config could not be written as an experiment: {error}")
    if group:
        status = "FINISHED" if study.finished else "KILLED" if stopped or gave_up else "FAILED"
        told = group.close(search.jobs, status, lambda folder: _fill(study, folder))
        if winner:
            told = register(study, group, winner.run_id) and told
        if study.finished and not told:  # else no later session would update the store
            study.finished = False
            print("the same command tells the tracking store what it has missed")
    print(f"\nstudy {study.name}: {clock(study.seconds)}, {display(study.folder)}")
    if stopped:
        print("stopped; the same command continues (without tuner.overwrite)")
        return 130
    if gave_up:
        print(f"{gave_up}\nthe same command continues (without tuner.overwrite)")
        return 1
    errors = [trial.error for trial in study.trials if trial.error]
    if not study.scored():
        why = f", the last one with: {errors[-1]}" if errors else ""
        study.failed = _way_out(base, search)
        study.save()
        count = counted(len(study.trials), "trial")
        raise KxError(f"All {count} failed{why}\nOnce the cause is mended, {study.failed}")
    if search.gave_up:
        print(search.gave_up)
    if winner and group:
        run = winner.run_id[:8]
        print(f"the best model ({winner.run_name}): kx evaluate {run}, kx predict {run} INPUT…")
    if written:
        print(f"the best config again: python -m kx.run experiment={written.stem}")
    return 0 if study.finished else 1


def _way_out(base: Composed, search: Search) -> str:
    """Returns how to continue a search whose trials have all failed."""
    afresh = "tuner.overwrite=true starts from the beginning."
    if search.gave_up:
        return f"the same command continues; {afresh}"
    limits = [key for key in ("max_trials", "iterations") if base.config.tuner.get(key)]
    return f"a larger tuner.{limits[0]} continues; {afresh}" if limits else afresh


def _fill(study: Study, folder: Path) -> None:
    """Writes the artifacts of a search."""
    (folder / "trials.csv").write_text(as_csv(study), encoding="utf-8")
    space = yaml.safe_dump(study.fixed["tuner"]["space"], sort_keys=False, allow_unicode=True)
    (folder / "space.yaml").write_text(space, encoding="utf-8")
    if (study.folder / "report").is_dir():
        shutil.copytree(study.folder / "report", folder, dirs_exist_ok=True)
