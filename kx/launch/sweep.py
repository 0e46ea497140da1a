"""A sweep: the jobs of `-m`, their group in MLflow, and their results."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kx.config import Composed, project_dir
from kx.errors import ConfigError
from kx.launch.here import hidden_stderr, quiet_log_level
from kx.launch.jobs import DONE, KILLED, WAITING, Job, jobs_of
from kx.launch.pool import Pool
from kx.launch.processes import start_server
from kx.launch.signals import noting_stop
from kx.launch.table import Progress, as_csv, show_results
from kx.tracking.records import identity

if TYPE_CHECKING:
    from kx.launch.group import Group


def run_sweep(composed: Sequence[Composed]) -> int:
    """Runs composed configs, each in a fresh process, and returns the exit code.

    Args:
        composed: the configs, checked.

    Returns:
        0 if all have finished, 130 after Ctrl-C, else 1.
    """
    settings = _settings(composed)
    _refuse_one_folder(composed)
    name = _name(composed)
    folder = project_dir() / "runs" / name
    jobs = jobs_of(composed, folder)
    todo = [job for job in jobs if job.state == WAITING]
    if todo:
        quiet_log_level()
        start_server()
    group = _open_group(name, jobs)
    print(f"sweep {name}: {len(todo)} of {len(jobs)} jobs to run, {settings.workers} at a time")
    for job in jobs:
        job.tags = group.tags if group else {}
    workers = max(1, min(settings.workers, len(todo)))
    pool = Pool(workers, settings.timeout_minutes, Progress(jobs, workers))
    with noting_stop() as stop:
        pool.run(_Waiting(jobs), stop)
    for job in jobs:
        if job.state == WAITING:
            job.end(KILLED, "not begun")
    show_results(jobs)
    text = as_csv(jobs)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.csv").write_text(text, encoding="utf-8")
    where = f"\nresults: {_short(folder / 'results.csv')}"
    print(where + (f", and in MLflow: {group.name}" if group else ""))
    failed = [job.number for job in jobs if job.state not in DONE]
    stopped = stop.asked and bool(failed)
    if group:

        def fill(artifacts: Path) -> None:
            from kx.launch.figure import comparison

            (artifacts / "results.csv").write_text(text, encoding="utf-8")
            comparison(jobs, artifacts / "comparison.png")

        group.close(jobs, "KILLED" if stopped else "FAILED" if failed else "FINISHED", fill)
    if stopped:
        print("stopped; the same command with resume=auto goes on")
        return 130
    if failed:
        print(f"{len(failed)} of {len(jobs)} jobs failed: {', '.join(map(str, failed))}")
    return 1 if failed else 0


def _open_group(name: str, jobs: list[Job]) -> Group | None:
    """Opens the MLflow run that groups the jobs, if any of them is tracked."""
    tracked = [job for job in jobs if job.composed.config.tracking.enabled]
    if not tracked:
        return None
    with hidden_stderr():
        from kx.launch.group import Group
    again = tracked[0].composed.config.resume == "auto"
    group = Group.open("sweep", name, [job.composed for job in tracked], again=again)
    # Finished before, they belong to this sweep, too.
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


def _name(composed: Sequence[Composed]) -> str:
    """Returns a sweep's name: the same for the same jobs."""
    text = " ".join(identity(item) for item in composed)
    return f"sweep-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


class _Waiting:
    """Gives the jobs of a sweep to the workers, in order."""

    def __init__(self, jobs: list[Job]) -> None:
        self._jobs = jobs

    def next(self) -> Job | None:
        """Returns the first job that waits."""
        return next((job for job in self._jobs if job.state == WAITING), None)

    def goes_on(self, job: Job) -> bool:
        """Lets every job go on."""
        return True

    def ended(self, job: Job) -> None:
        """Takes note of nothing: the job knows how it ended."""
