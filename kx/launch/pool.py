"""Workers for jobs: some at a time, each in a fresh process, none of which harms another."""

from __future__ import annotations

import signal
from multiprocessing.connection import wait
from typing import Protocol

from kx.config import plain
from kx.launch.child import Order
from kx.launch.jobs import FAILED, KILLED, RUNNING, Job
from kx.launch.processes import JobProcess, cores_for, gpu_for
from kx.launch.signals import Stop
from kx.launch.table import Progress
from kx.tracking.records import mark

_LOOK_SECONDS = 0.5  # between looks at jobs that hang, and for a stop


class Source(Protocol):
    """Gives jobs to a pool, and hears how they go."""

    def next(self) -> Job | None:
        """Returns a job to start now, or None while there is none."""
        ...

    def goes_on(self, job: Job) -> bool:
        """Says, after an epoch of a job that asks, whether it is to go on."""
        ...

    def ended(self, job: Job) -> None:
        """Hears that a job has ended."""
        ...


class Pool:
    """Gives jobs to workers, hears what they say, and ends those that hang.

    Args:
        workers: jobs at a time.
        timeout_minutes: that a job may take; None for as long as it wants.
        progress: what is shown.
    """

    def __init__(self, workers: int, timeout_minutes: float | None, progress: Progress) -> None:
        self._workers = workers
        self._timeout_seconds = timeout_minutes * 60 if timeout_minutes else None
        self._running: dict[int, tuple[Job, JobProcess]] = {}  # by the worker's slot
        self._stopping = False
        self._progress = progress

    def run(self, source: Source, stop: Stop) -> None:
        """Runs jobs until the source has no more and none runs, or a stop is asked for."""
        with self._progress:
            while not stop.asked:
                while len(self._running) < self._workers and (job := source.next()):
                    self._start(job, source)
                if not self._running:
                    return
                self._listen(source)
            self._stop_all(source)

    def _start(self, job: Job, source: Source) -> None:
        slot = next(slot for slot in range(self._workers) if slot not in self._running)
        order = Order(
            config=plain(job.composed.config),
            overrides=job.composed.overrides,
            choices=job.composed.choices,
            tags={**job.tags, "kx.job": str(job.number)},
            log=job.log,
            cores=cores_for(slot, self._workers),
            environment=gpu_for(slot, self._workers),
            options=job.options,
            asks=job.asks,
        )
        job.begin()
        self._progress.began(job)
        try:
            self._running[slot] = (job, JobProcess(order))
        except (OSError, EOFError) as error:  # no process can be made: too many, or no memory
            job.end(FAILED, f"its process cannot be started: {error}")
            self._progress.ended(job)
            source.ended(job)

    def _listen(self, source: Source) -> None:
        """Hears what the jobs say, for a moment."""
        by_pipe = {process.events: slot for slot, (_, process) in self._running.items()}
        for pipe in wait(list(by_pipe), timeout=_LOOK_SECONDS):
            slot = by_pipe[pipe]  # type: ignore[index]
            job, process = self._running[slot]
            said = process.read()
            if said is None:
                self._end(slot, source)
            elif said[0] == "process":
                process.pid = said[1]["pid"]
            else:
                job.hear(*said)
                if said[0] == "epoch" and job.asks:
                    process.answer(source.goes_on(job))
        self._end_hanging()

    def _end(self, slot: int, source: Source) -> None:
        """Notes that the process of a job has ended."""
        job, process = self._running.pop(slot)
        code = process.exit_code()
        process.close()
        if job.state == RUNNING:  # it could not say so itself
            job.end(*((KILLED, "stopped") if self._stopping else (FAILED, _how_it_ended(code))))
        if job.state in (FAILED, KILLED) and job.run_id:
            mark(job.run_id, job.state, job.error)
        self._progress.ended(job)
        source.ended(job)

    def _end_hanging(self) -> None:
        for job, process in self._running.values():
            process.insist()
            limit = self._timeout_seconds
            if limit and job.state == RUNNING and job.seconds > limit:
                job.end(FAILED, f"stopped after {limit / 60:g} minutes (launcher.timeout_minutes)")
                process.stop()

    def _stop_all(self, source: Source) -> None:
        """Stops the jobs that run, and waits for them."""
        self._stopping = True
        self._progress.console.print(
            f"stopping {len(self._running)} jobs; once more to stop at once"
        )
        for _, process in self._running.values():
            process.stop()
        while self._running:
            self._listen(source)


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
