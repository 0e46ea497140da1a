"""Worker pool: runs a number of jobs at a time, isolated from each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kx.config import plain
from kx.errors import KxError
from kx.launch.engines import Engine, Handle
from kx.launch.engines.child import JobSpec
from kx.launch.jobs import FAILED, KILLED, QUEUED, UNDERWAY, WAITING, Job
from kx.launch.table import Progress
from kx.signals import Stop
from kx.tracking.records import mark

_TRIES = 3  # attempts to start jobs: a busy scheduler, or a lack of memory, may be temporary
_ALIKE = 5  # if this many first jobs fail with the same error, no other job is started
_BACK_OFF_SECONDS = 1.0  # doubled after each refused start


class Source(Protocol):
    """Provides jobs to a pool, and receives their progress."""

    def next(self) -> Job | None:
        """Returns the next job to start, or None while there is none."""
        ...

    def continues(self, job: Job) -> bool:
        """Returns whether a job continues, after an epoch of a job with `asks`."""
        ...

    def ended(self, job: Job) -> None:
        """Receives a job that has ended."""
        ...


class JobList:
    """Provides the waiting jobs of a list, in order.

    Args:
        jobs: The jobs.

    Attributes:
        same_error: Error of the first jobs if they all failed with it; else empty.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self.same_error = ""

    def next(self) -> Job | None:
        """Returns the first waiting job, or None if the first jobs all failed with one error."""
        ended = [job for job in self._jobs if job.state not in (WAITING, *UNDERWAY)]
        errors = {job.error if job.state == FAILED else "" for job in ended}
        if len(ended) >= _ALIKE and len(errors) == 1 and (error := errors.pop()):
            self.same_error = error
            return None
        return next((job for job in self._jobs if job.state == WAITING), None)

    def continues(self, job: Job) -> bool:
        """Returns True: every job continues."""
        return True

    def ended(self, job: Job) -> None:
        """Does nothing: the job itself holds its final state."""


class Pool:
    """Starts jobs with an engine, receives their messages, and ends those that hang.

    Args:
        engine: Engine that runs the jobs; already open.
        workers: Number of jobs that run at a time.
        progress: Progress display.
        max_retries: How often a job is run again after its process was lost. Defaults to
            None: the engine's `max_retries`.

    Attributes:
        gave_up: Reason why no further job is run, if the engine cannot run any; else empty.
        max_retries: How often a job is run again after its process was lost.
    """

    def __init__(
        self, engine: Engine, workers: int, progress: Progress, max_retries: int | None = None
    ) -> None:
        self.gave_up = ""
        self.max_retries = engine.max_retries if max_retries is None else max_retries
        self._engine, self._workers, self._progress = engine, workers, progress
        self._running: dict[int, tuple[Job, Handle]] = {}  # by the worker's slot
        self._again: list[Job] = []  # jobs whose process was lost, or could not be started
        self._refused = 0  # times in a row
        self._not_before = 0.0
        self._stopping = False

    def run(self, source: Source, stop: Stop) -> None:
        """Runs jobs until the source has no more and none runs, or a stop is requested.

        Args:
            source: Source of the jobs.
            stop: Stop request that is checked between messages.
        """
        with self._progress:
            while not stop.asked and not self.gave_up:
                self._fill(source)
                if self._running:
                    self._listen(source)
                elif not self._again:
                    return
                else:
                    time.sleep(_BACK_OFF_SECONDS / 4)
            self._stop_all(source)

    def _fill(self, source: Source) -> None:
        """Starts as many jobs as there are free workers."""
        if time.monotonic() < self._not_before:
            return
        free = [slot for slot in range(self._workers) if slot not in self._running]
        chosen: dict[int, Job] = {}
        for slot in free:
            job = self._again.pop(0) if self._again else source.next()
            if job is None:
                break
            job.begin(queued=self._engine.queues)
            chosen[slot] = job
        if not chosen:
            return
        for job in chosen.values():
            self._progress.began(job)
        try:
            orders = {slot: spec_of(job) for slot, job in chosen.items()}
            handles = self._engine.start(orders, self._workers)
        except KxError as error:
            handles = dict.fromkeys(chosen, error)
        refused = {
            slot: job for slot, job in chosen.items() if isinstance(handles[slot], Exception)
        }
        for slot, job in chosen.items():
            if slot not in refused:
                self._running[slot] = (job, handles[slot])
        self._refused = self._refused + 1 if refused else 0
        if refused:
            self._put_back(list(refused.values()), str(handles[next(iter(refused))]))

    def _put_back(self, jobs: Sequence[Job], error: str) -> None:
        """Queues jobs that could not be started again; gives up after `_TRIES` attempts."""
        for job in jobs:
            job.state, job.error = QUEUED, f"its process cannot be started: {error}"
        self._again = [*jobs, *self._again]
        self._not_before = time.monotonic() + _BACK_OFF_SECONDS * 2 ** (self._refused - 1)
        if self._refused >= _TRIES:
            self.gave_up = f"no process can be started: {error}"

    def _listen(self, source: Source) -> None:
        """Waits briefly for messages of the jobs, and handles them."""
        handles = {slot: handle for slot, (_, handle) in self._running.items()}
        try:
            heard = list(self._engine.listen(handles))
        except KxError as error:  # all of them are lost
            self._again += [job for job, _ in self._running.values()]
            for job in self._again:
                job.error = job.error or str(error)
            self._running, self.gave_up = {}, str(error)
            return
        for slot, said in heard:
            job, handle = self._running[slot]
            if said is None:
                self._end(slot, source)
                continue
            job.update(*said)
            if said[0] == "process" and self._engine.queues:
                self._progress.began(job)
            if said[0] == "run" and job.epoch:
                self._progress.continues(job)
            if said[0] == "epoch" and job.asks:
                handle.answer(source.continues(job))
        self._end_hanging()

    def _end(self, slot: int, source: Source) -> None:
        """Handles the end of a job's process: runs the job again, or marks it as ended."""
        job, handle = self._running.pop(slot)
        ending = handle.ending()
        handle.close()
        if job.state in UNDERWAY:  # the process ended without an "end" message
            if not self._stopping and job.retries < self.max_retries:
                job.retries += 1
                self._progress.again(job, ending, self.max_retries)
                self._again.append(job)
                return
            job.end(*((KILLED, "stopped") if self._stopping else (FAILED, ending)))
        if job.state in (FAILED, KILLED) and job.run_id:
            mark(job.run_id, job.state, job.error)
        self._progress.ended(job)
        source.ended(job)

    def _end_hanging(self) -> None:
        for job, handle in self._running.values():
            handle.insist()
            if job.end_if_longer(self._engine.limit_minutes):
                handle.stop()

    def _stop_all(self, source: Source) -> None:
        """Stops the running jobs, and waits for them to end."""
        self._stopping = True
        for job in self._again:
            job.end(KILLED, (job.error if self.gave_up else "") or "stopped")
            self._progress.ended(job)
            source.ended(job)
        self._again = []
        if self._running:
            self._progress.console.print(
                f"stopping {len(self._running)} jobs; once more to stop at once"
            )
        for _, handle in self._running.values():
            handle.stop()
        while self._running:
            self._listen(source)


def spec_of(job: Job) -> JobSpec:
    """Returns the specification of a job for its process.

    Args:
        job: The job.
    """
    begun = job.log.with_suffix(".folder")
    if not job.retries:
        begun.unlink(missing_ok=True)  # left by an earlier sweep of the same jobs
    return JobSpec(
        config={**plain(job.composed.config), "backend": str(job.composed.config.backend)},
        overrides=job.composed.overrides,
        choices=job.composed.choices,
        tags={**job.tags, "kx.job": str(job.number)},
        log=job.log,
        begun=begun,
        project=Path.cwd(),
        options=job.options,
        asks=job.asks,
    )
