"""A sweep: jobs in fresh processes, some at a time, none of which harms another."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from kx.config import Composed, plain, project_dir
from kx.errors import ConfigError
from kx.launch.child import Order
from kx.launch.here import hidden_stderr, quiet_log_level
from kx.launch.jobs import DONE, FAILED, KILLED, RUNNING, WAITING, Job, jobs_of
from kx.launch.processes import JobProcess, cores_for, gpu_for, start_server
from kx.launch.signals import Stop, noting_stop
from kx.launch.table import Progress, as_csv, show_results
from kx.tracking.records import identity, mark

if TYPE_CHECKING:
    from kx.launch.group import Group

_LOOK_SECONDS = 0.5  # between looks at jobs that hang, and for a stop


def run_sweep(composed: Sequence[Composed]) -> int:
    """Runs composed configs, each in a fresh process, and returns the exit code.

    Args:
        composed: the configs, checked.

    Returns:
        0 if all have finished, 130 after Ctrl-C, else 1.
    """
    settings = _settings(composed)
    name = _name(composed)
    folder = project_dir() / "runs" / name
    jobs = jobs_of(composed, folder)
    todo = [job for job in jobs if job.state == WAITING]
    if todo:
        quiet_log_level()
        start_server()
    group = _open_group(name, jobs)
    print(f"sweep {name}: {len(todo)} of {len(jobs)} jobs to run, {settings.workers} at a time")
    sweep = _Sweep(jobs, settings.workers, settings.timeout_minutes, group.tags if group else {})
    with noting_stop() as stop:
        sweep.run(stop)
    show_results(jobs)
    text = as_csv(jobs)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.csv").write_text(text, encoding="utf-8")
    where = f"\nresults: {_short(folder / 'results.csv')}"
    print(where + (f", and in MLflow: {group.where}" if group else ""))
    failed = [job.number for job in jobs if job.state not in DONE]
    stopped = stop.asked and bool(failed)
    if group:
        group.close(jobs, text, killed=stopped)
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
    return Group.open(name, jobs, tracked)


def _settings(composed: Sequence[Composed]):  # type: ignore[no-untyped-def]
    first = composed[0].config.launcher
    if any(item.config.launcher != first for item in composed):
        raise ConfigError("launcher: one sweep has one launcher. Received several values for it.")
    return first


def _name(composed: Sequence[Composed]) -> str:
    """Returns a sweep's name: the same for the same jobs."""
    text = " ".join(identity(item) for item in composed)
    return f"sweep-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


class _Sweep:
    """Gives jobs to workers, hears what they say, and ends those that hang."""

    def __init__(
        self, jobs: list[Job], workers: int, timeout_minutes: float | None, tags: dict[str, str]
    ) -> None:
        self._jobs, self._tags = jobs, tags
        self._workers = max(1, min(workers, sum(job.state == WAITING for job in jobs)))
        self._timeout_seconds = timeout_minutes * 60 if timeout_minutes else None
        self._running: dict[int, tuple[Job, JobProcess]] = {}  # by the worker's slot
        self._stopping = False
        self._progress = Progress(jobs, self._workers)

    def run(self, stop: Stop) -> None:
        """Runs all jobs that wait, until a stop is asked for."""
        waiting = [job for job in self._jobs if job.state == WAITING]
        with self._progress:
            while (waiting or self._running) and not stop.asked:
                while waiting and len(self._running) < self._workers:
                    self._start(waiting.pop(0))
                self._listen()
            if stop.asked:
                self._stop_all()

    def _start(self, job: Job) -> None:
        slot = next(slot for slot in range(self._workers) if slot not in self._running)
        order = Order(
            config=plain(job.composed.config),
            overrides=job.composed.overrides,
            choices=job.composed.choices,
            tags={**self._tags, "kx.job": str(job.number)},
            log=job.log,
            cores=cores_for(slot, self._workers),
            environment=gpu_for(slot, self._workers),
        )
        job.begin()
        self._progress.began(job)
        try:
            self._running[slot] = (job, JobProcess(order))
        except (OSError, EOFError) as error:  # no process can be made: too many, or no memory
            job.end(FAILED, f"its process cannot be started: {error}")
            self._progress.ended(job)

    def _listen(self) -> None:
        """Hears what the jobs say, for a moment."""
        by_pipe = {process.events: slot for slot, (_, process) in self._running.items()}
        for pipe in wait(list(by_pipe), timeout=_LOOK_SECONDS):
            slot = by_pipe[pipe]  # type: ignore[index]
            job, process = self._running[slot]
            said = process.read()
            if said is None:
                self._end(slot)
            elif said[0] == "process":
                process.pid = said[1]["pid"]
            else:
                job.hear(*said)
        self._end_hanging()

    def _end(self, slot: int) -> None:
        """Notes that the process of a job has ended."""
        job, process = self._running.pop(slot)
        code = process.exit_code()
        process.close()
        if job.state == RUNNING:  # it could not say so itself
            job.end(*((KILLED, "stopped") if self._stopping else (FAILED, _how_it_ended(code))))
        if job.state in (FAILED, KILLED) and job.run_id:
            mark(job.run_id, job.state, job.error)
        self._progress.ended(job)

    def _end_hanging(self) -> None:
        for job, process in self._running.values():
            process.insist()
            limit = self._timeout_seconds
            if limit and job.state == RUNNING and job.seconds > limit:
                job.end(FAILED, f"stopped after {limit / 60:g} minutes (launcher.timeout_minutes)")
                process.stop()

    def _stop_all(self) -> None:
        """Stops the jobs that run, and waits for them."""
        self._stopping = True
        self._progress.console.print(
            f"stopping {len(self._running)} jobs; once more to stop at once"
        )
        for _, process in self._running.values():
            process.stop()
        while self._running:
            self._listen()
        for job in self._jobs:
            if job.state in (WAITING, RUNNING):
                job.end(KILLED, "not begun")


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "its process ended without a word"
    if code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name
    if name == "SIGKILL":
        return (
            "its process was killed (SIGKILL): by the kernel, if memory ran out. Ways out: a"
            " smaller batch_size, data.cache=disk, or fewer launcher.workers"
        )
    return f"its process crashed ({name})"
