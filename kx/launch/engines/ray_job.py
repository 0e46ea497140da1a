"""A job on a Ray cluster, as its launcher holds on to it."""

from __future__ import annotations

import time
from typing import Any

from kx.errors import first_line
from kx.launch.engines.remote_job import STOP

_GRACE_SECONDS = 30.0


class RayJob:
    """Holds on to a job that waits, or runs, on a cluster.

    Args:
        ray: the module.
        mailbox: the actor.
        key: of this attempt.
        reference: to the task's result.
    """

    def __init__(self, ray: Any, mailbox: Any, key: str, reference: Any) -> None:
        self.key, self.reference = key, reference
        self.running = self.cancelled = False
        self.said_ending = ""
        self._ray, self._mailbox = ray, mailbox
        self._stop_by: float | None = None

    def answer(self, goes_on: bool) -> None:
        """Tells a job that asks whether it is to go on."""
        self._mailbox.command.remote(self.key, goes_on)

    def stop(self) -> None:
        """Asks the job to end, or takes it out of the queue."""
        self._stop_by = time.monotonic() + _GRACE_SECONDS
        if self.running:
            self._mailbox.command.remote(self.key, STOP)
        else:
            self._cancel()

    def insist(self) -> None:
        """Ends a job that was asked to and has not."""
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            self._cancel()

    def _cancel(self) -> None:
        self._ray.cancel(self.reference, force=True)
        self.cancelled = True

    def ending(self) -> str:
        """Returns how the job ended."""
        if self.said_ending:
            return self.said_ending
        try:
            self._ray.get(self.reference, timeout=0)
        except Exception as error:  # whatever Ray says of a lost worker, node or memory
            return f"Ray lost it: {type(error).__name__}: {first_line(error)}"
        return "Ray ended it without a word, as it does when memory runs out"

    def close(self) -> None:
        """Lets go of the task's result."""
        self.reference = None
