"""Sweeps: runs the jobs of `-m`, groups them in MLflow, and writes their results."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kx.config import Composed, project_dir, resolved
from kx.config.messages import display
from kx.errors import ConfigError, KxError
from kx.launch.engines import capacity, make_engine
from kx.launch.jobs import DONE, KILLED, WAITING, Job, jobs_of
from kx.launch.multi_process import refuse_teams
from kx.launch.pool import JobList, Pool
from kx.launch.table import Progress, as_csv, show_results
from kx.process import hidden_stderr, quiet_log_level
from kx.signals import Stop, noting_stop
from kx.tracking.records import identity

if TYPE_CHECKING:
    from kx.launch.group import Group


Summarize = Callable[[Sequence[Job], Path], Mapping[str, float]]


def run_sweep(
    composed: Sequence[Composed], *, kind: str = "sweep", summarize: Summarize | None = None
) -> int:
    """Runs composed configs, each in a fresh process, and returns the exit code.

    Args:
        composed: Checked configs, one for each job.
        kind: Kind of sweep, part of its name. Defaults to `"sweep"`.
        summarize: Function that is called with the jobs and the sweep's folder once all
            jobs have finished. It writes `report/` in the folder, and returns metrics.
            Defaults to None: no summary.

    Returns:
        0 if all jobs have finished, 130 after Ctrl-C, else 1.

    Raises:
        ConfigError: If the launchers differ, two jobs share a folder or a config, or a
            job needs several processes.
    """
    settings = _settings(composed)
    _refuse_one_folder(composed)
    _refuse_twins(composed)
    refuse_teams(composed)
    name = f"{kind}-{_digest(composed)}"
    folder = project_dir() / "runs" / name
    jobs = jobs_of(composed, folder)
    todo = [job for job in jobs if job.state == WAITING]
    engine = make_engine(settings)
    workers = capacity(engine, todo)
    with contextlib.ExitStack() as opened:
        if todo:
            quiet_log_level()
            engine.open(composed[0].config.backend)
            opened.callback(engine.close)
        group = _open_group(kind, name, jobs)
        print(f"{name}: {len(todo)} of {len(jobs)} jobs to run, {workers} at a time")
        for job in jobs:
            job.tags = group.tags if group else {}
        stop = opened.enter_context(noting_stop())
        pool = Pool(engine, workers, Progress(jobs, workers))
        listed = JobList(jobs)
        pool.run(listed, stop)
    for job in jobs:
        if job.state == WAITING:
            job.end(KILLED, "not begun")
    if listed.same_error:
        print(
            "the first jobs all failed with the same error, so no other was started:"
            f" {listed.same_error}"
        )
    code = _end(name, folder, jobs, group, stop, summarize)
    if pool.gave_up:
        print(f"{pool.gave_up}\nthe same command with resume=auto continues")
    return code


def _end(
    name: str,
    folder: Path,
    jobs: list[Job],
    group: Group | None,
    stop: Stop,
    summarize: Summarize | None,
) -> int:
    """Prints and saves the results of a sweep, and returns the exit code."""
    show_results(jobs)
    text = as_csv(jobs)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.csv").write_text(text, encoding="utf-8")
    where = f"\nresults: {display(folder / 'results.csv')}"
    print(where + (f", and in MLflow: {name}" if group else ""))
    failed = [job.number for job in jobs if job.state not in DONE]
    stopped = stop.asked and bool(failed)
    metrics: Mapping[str, float] = {}
    wrong = ""
    if summarize and not failed:
        try:
            metrics = summarize(jobs, folder)
        except (KxError, OSError) as error:  # the group in MLflow must still be ended
            wrong = f"the results of all jobs cannot be summarized: {error}"
            print(wrong)
    if group:

        def fill(artifacts: Path) -> None:
            from kx.launch.comparison_figure import comparison

            (artifacts / "results.csv").write_text(text, encoding="utf-8")
            comparison(jobs, artifacts / "comparison.png")
            if metrics:
                shutil.copytree(folder / "report", artifacts, dirs_exist_ok=True)

        status = "KILLED" if stopped else "FAILED" if failed or wrong else "FINISHED"
        group.close(jobs, status, fill, metrics)
    if stopped:
        print("stopped; the same command with resume=auto continues")
        return 130
    if failed:
        print(f"{len(failed)} of {len(jobs)} jobs failed: {', '.join(map(str, failed))}")
    return 1 if failed or wrong else 0


def _open_group(kind: str, name: str, jobs: list[Job]) -> Group | None:
    """Opens the MLflow run that groups the jobs; returns None if none is tracked."""
    tracked = [job for job in jobs if job.composed.config.tracking.enabled]
    if not tracked:
        return None
    with hidden_stderr():
        from kx.launch.group import Group
    again = tracked[0].composed.config.resume == "auto"
    group = Group.open(kind, name, [job.composed for job in tracked], again=again)
    # Jobs that had finished before also belong to this sweep.
    group.adopt([job.run_id for job in tracked if job.state in DONE and job.run_id])
    return group


def _settings(composed: Sequence[Composed]):  # type: ignore[no-untyped-def]
    first = composed[0].config.launcher
    if any(item.config.launcher != first for item in composed):
        raise ConfigError("launcher: one sweep has one launcher. Received several values for it.")
    return first


def _refuse_one_folder(composed: Sequence[Composed]) -> None:
    folders = [str(item.config.run_dir) for item in composed if item.config.run_dir]
    if len(set(folders)) < len(folders):
        raise ConfigError(
            "run_dir: each job needs a folder of its own. Received:"
            f" {', '.join(sorted(set(folders)))}. Put what differs into it:"
            " 'run_dir=elsewhere/${seed}', or leave it out."
        )


def _refuse_twins(composed: Sequence[Composed]) -> None:
    """Raises if two jobs have the same config: they would be resumed as the same run."""
    seen: dict[str, int] = {}
    for number, item in enumerate(composed, 1):
        text = str(resolved(item.config))
        if (same := seen.setdefault(text, number)) != number:
            raise ConfigError(
                f"Jobs {same} and {number} of this sweep have the same config, and would end in the"
                " same numbers. Leave one out, or let them differ: seed=0,1."
            )


def _digest(composed: Sequence[Composed]) -> str:
    """Returns a hash that is the same for the same jobs, so that a sweep can be resumed."""
    text = " ".join(identity(item) for item in composed)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
