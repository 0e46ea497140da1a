"""Engines, which run jobs locally or on a cluster: their protocols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from kx.config import build
from kx.launch.engines.child import JobSpec

Message = tuple[str, dict[str, Any]]


class Handle(Protocol):
    """Controls one attempt to run a job."""

    def answer(self, continues: bool) -> None:
        """Answers a job that asked whether it should continue."""
        ...

    def stop(self) -> None:
        """Requests the end of the job. `insist` ends it by force if it does not."""
        ...

    def insist(self) -> None:
        """Ends a job by force that did not end in time after `stop`. Called repeatedly."""
        ...

    def ending(self) -> str:
        """Returns how the job ended, for a job that did not report its end."""
        ...

    def close(self) -> None:
        """Releases the resources of an ended job."""
        ...


class Engine(Protocol):
    """Runs jobs. Each sweep or search builds one from the config's `launcher`.

    Attributes:
        workers: Number of jobs that run at a time; None for as many as there is room for.
        limit_minutes: Time limit of a job in minutes; None for no limit.
        max_retries: How often a job is run again after its process was lost.
        queues: Whether a started job may wait in a queue.
    """

    workers: int | None
    limit_minutes: float | None
    max_retries: int
    queues: bool

    def open(self, backend: str) -> None:
        """Prepares the engine to run jobs.

        Args:
            backend: Keras backend of most jobs.

        Raises:
            KxError: If the engine cannot run jobs.
        """
        ...

    def start(self, orders: Mapping[int, JobSpec], workers: int) -> Mapping[int, Any]:
        """Starts jobs, and returns a `Handle` for each slot, or the error of a failed start.

        Args:
            orders: Job specifications by slot. A slot has one job at a time.
            workers: Number of slots.

        Raises:
            KxError: If none of the jobs can be started.
        """
        ...

    def listen(self, handles: Mapping[int, Any]) -> Iterable[tuple[int, Message | None]]:
        """Waits briefly for messages of jobs.

        Args:
            handles: Handles of the running jobs, by slot.

        Returns:
            Pairs of slot and message; the message is None for a job that has ended.

        Raises:
            KxError: If the connection to all jobs is lost.
        """
        ...

    def close(self) -> None:
        """Releases all resources of the engine."""
        ...


def make_engine(launcher: Any) -> Engine:
    """Returns the engine of a config.

    Args:
        launcher: The config's `launcher` node.
    """
    return build(launcher, place="launcher")


def capacity(engine: Engine, jobs: Sequence[Any]) -> int:
    """Returns the number of jobs to run at a time, at least 1.

    Args:
        engine: Engine that runs the jobs.
        jobs: Jobs to run.
    """
    return max(1, min(engine.workers or len(jobs), len(jobs)))
