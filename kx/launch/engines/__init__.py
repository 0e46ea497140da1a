"""What runs jobs: the contract of an engine, wherever its processes are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from kx.config import build
from kx.launch.engines.child import JobSpec

Message = tuple[str, dict[str, Any]]


class Handle(Protocol):
    """Holds on to one attempt to run a job."""

    def answer(self, goes_on: bool) -> None:
        """Tells a job that asks whether it is to go on."""
        ...

    def stop(self) -> None:
        """Asks the job to end, and makes it end if it does not."""
        ...

    def insist(self) -> None:
        """Ends a job that was asked to and has not: called now and then."""
        ...

    def ending(self) -> str:
        """Returns how the job ended that could not say so itself."""
        ...

    def close(self) -> None:
        """Lets go of an ended job."""
        ...


class Engine(Protocol):
    """Runs jobs. One is made for each sweep or search, by the config's `launcher`.

    Attributes:
        workers: jobs at a time; None for as many as there is room for.
        limit_minutes: after which a job is ended; None for never.
        max_retries: how often a job is run again whose process was lost.
        queues: whether a job may wait for its turn once it is started.
    """

    workers: int | None
    limit_minutes: float | None
    max_retries: int
    queues: bool

    def open(self, backend: str) -> None:
        """Gets ready to run jobs.

        Args:
            backend: of Keras, which most of them have.

        Raises:
            KxError: if it cannot.
        """
        ...

    def start(self, orders: Mapping[int, JobSpec], workers: int) -> Mapping[int, Any]:
        """Starts jobs, and returns a `Handle` for each slot, or the error that one ended in.

        Args:
            orders: by slot; a slot has one job at a time.
            workers: how many slots there are.

        Raises:
            KxError: if none of them can be started.
        """
        ...

    def listen(self, handles: Mapping[int, Any]) -> Iterable[tuple[int, Message | None]]:
        """Waits a moment for what jobs say.

        Args:
            handles: of the jobs that run, by slot.

        Returns:
            Slot and message; None in place of one that has ended.

        Raises:
            KxError: if nothing can be heard of any any more.
        """
        ...

    def close(self) -> None:
        """Lets go of everything."""
        ...


def make_engine(launcher: Any) -> Engine:
    """Returns the engine of a config.

    Args:
        launcher: the config's `launcher`.
    """
    return build(launcher, place="launcher")


def capacity(engine: Engine, jobs: Sequence[Any]) -> int:
    """Returns how many of some jobs are started at a time.

    Args:
        engine: that runs them.
        jobs: to run.
    """
    return max(1, min(engine.workers or len(jobs), len(jobs)))
