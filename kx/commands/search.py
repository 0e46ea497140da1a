"""`kx search`: the trials of a running or finished study. Imports no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from kx.console import clock, counted
from kx.errors import ConfigError
from kx.search.results.table import as_csv, show_study, values_text
from kx.search.study import FILE, RUNNING, Study, find_study, studies_dir, study_folder
from kx.tracking.records import is_locked


def show(name: str | None) -> int:
    """Prints the trials of a study, or a list of all studies.

    Args:
        name: Name of the study, or None to list all.

    Returns:
        Exit code: 0.
    """
    if name is None:
        return _list()
    study = find_study(name)
    running = [trial for trial in study.trials if trial.state == RUNNING]
    print(
        f"study {study.name}: {_state(study)}, {counted(len(study.trials), 'trial')},"
        f" {clock(study.seconds)}"
    )
    show_study(study)
    for trial in running:
        what = "runs" if is_locked(study.folder) else "is to continue"
        print(f"trial {trial.number} {what}: {values_text(trial.values)}")
    if study.winner:
        print(f"\nbest: python -m kx.run experiment={study_folder(study.name).name}_best")
    return 0


def export(name: str, path: str | None) -> int:
    """Writes the trials of a study as CSV.

    Args:
        name: Name of the study.
        path: Path to the CSV file, or None to print to standard output.

    Returns:
        Exit code: 0.
    """
    text = as_csv(find_study(name))
    if path is None:
        print(text, end="")
    else:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0


def _list() -> int:
    folders = [path.parent for path in sorted(studies_dir().glob(f"*/{FILE}"))]
    if not folders:
        print(f"no study in {studies_dir()}. Start one: python -m kx.run tuner=bayesian")
    for folder in folders:
        try:
            study = Study.load(folder)
        except ConfigError as error:  # a damaged file must not hide the other studies
            print(f"{folder.name}: {error}")
            continue
        best = next(iter(study.scored()), None)
        score = f", best {study.objective[0]} {best.score:.4g}" if best else ""
        print(f"{study.name}: {_state(study)}, {counted(len(study.trials), 'trial')}{score}")
    return 0


def _state(study: Study) -> str:
    if is_locked(study.folder):
        return "running"
    if study.failed:
        return f"failed (once the cause is mended, {study.failed.removesuffix('.')})"
    return "finished" if study.finished else "stopped (the same command continues)"
