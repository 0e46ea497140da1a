"""Workers for jobs: some at a time, none of which harms another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kx.config import plain
from kx.errors import KxError
from kx.launch.engines import Engine, Handle
from kx.launch.engines.child import JobSpec
from kx.launch.jobs import FAILED, KILLED, QUEUED, RUNNING, UNDERWAY, WAITING, Job
from kx.launch.table import Progress
from kx.signals import Stop
from kx.tracking.records import mark

_TRIES = 3  # to start jobs: a busy scheduler may refuse once, or a machine that is short of memory
_ALIKE = 5  # first jobs that fail with the same error, after which the others are not begun
_BACK_OFF_SECONDS = 1.0  # twice as long after each


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


class JobList:
    """Gives the jobs of a list, in order; those that wait.

    Args:
        jobs: the list.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self.same_error = ""

    def next(self) -> Job | None:
        """Returns the first job that waits; none after several that all failed alike."""
        ended = [job for job in self._jobs if job.state not in (WAITING, *UNDERWAY)]
        errors = {job.error if job.state == FAILED else "" for job in ended}
        if len(ended) >= _ALIKE and len(errors) == 1 and (error := errors.pop()):
            self.same_error = error
            return None
        return next((job for job in self._jobs if job.state == WAITING), None)

    def goes_on(self, job: Job) -> bool:
        """Lets every job go on."""
        return True

    def ended(self, job: Job) -> None:
        """Takes note of nothing: the job knows how it ended."""


class Pool:
    """Gives jobs to an engine, hears what they say, and ends those that hang.

    Args:
        engine: that runs them, open.
        workers: jobs at a time.
        progress: what is shown.
        max_retries: how often a job goes on whose process was lost. Defaults to None: as
            often as the engine has it.

    Attributes:
        gave_up: why no job is run any more, if the engine cannot run any.
    """

    def __init__(
        self, engine: Engine, workers: int, progress: Progress, max_retries: int | None = None
    ) -> None:
        self.gave_up = ""
        self.max_retries = engine.max_retries if max_retries is None else max_retries
        self._engine, self._workers, self._progress = engine, workers, progress
        self._running: dict[int, tuple[Job, Handle]] = {}  # by the worker's slot
        self._again: list[Job] = []  # whose process was lost, or could not be started
        self._refused = 0  # times in a row
        self._not_before = 0.0
        self._stopping = False

    def run(self, source: Source, stop: Stop) -> None:
        """Runs jobs until the source has no more and none runs, or a stop is asked for."""
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
        """Lets jobs wait whose processes could not be started, for a while or for good."""
        for job in jobs:
            job.state, job.error = QUEUED, f"its process cannot be started: {error}"
        self._again = [*jobs, *self._again]
        self._not_before = time.monotonic() + _BACK_OFF_SECONDS * 2 ** (self._refused - 1)
        if self._refused >= _TRIES:
            self.gave_up = f"no process can be started: {error}"

    def _listen(self, source: Source) -> None:
        """Hears what the jobs say, for a moment."""
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
            job.hear(*said)
            if said[0] == "process" and self._engine.queues:
                self._progress.began(job)
            if said[0] == "run" and job.epoch:
                self._progress.goes_on(job)
            if said[0] == "epoch" and job.asks:
                handle.answer(source.goes_on(job))
        self._end_hanging()

    def _end(self, slot: int, source: Source) -> None:
        """Notes that the process of a job has ended."""
        job, handle = self._running.pop(slot)
        ending = handle.ending()
        handle.close()
        if job.state in UNDERWAY:  # it could not say so itself
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
            limit = self._engine.limit_minutes
            if limit and job.state == RUNNING and job.seconds > limit * 60:
                job.end(FAILED, f"stopped after {limit:g} minutes (launcher.timeout_minutes)")
                handle.stop()

    def _stop_all(self, source: Source) -> None:
        """Stops the jobs that run, and waits for them."""
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
    """Returns what a job's process is told.

    Args:
        job: the job.
    """
    begun = job.log.with_suffix(".folder")
    if not job.retries:
        begun.unlink(missing_ok=True)  # of an earlier sweep of the same jobs
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
