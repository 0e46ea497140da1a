"""Handle of a job on a Ray cluster."""

from __future__ import annotations

import time
from typing import Any

from kx.errors import first_line
from kx.launch.engines.remote_job import STOP

_GRACE_SECONDS = 30.0


class RayJob:
    """Controls a job that is queued or runs on a Ray cluster.

    Args:
        ray: The module `ray`.
        mailbox: The `Mailbox` actor.
        key: Key of this attempt.
        reference: Ray object reference to the task's result.
    """

    def __init__(self, ray: Any, mailbox: Any, key: str, reference: Any) -> None:
        self.key, self.reference = key, reference
        self.running = self.cancelled = False
        self.said_ending = ""
        self._ray, self._mailbox = ray, mailbox
        self._stop_by: float | None = None

    def answer(self, continues: bool) -> None:
        """Answers a job that asked whether it should continue."""
        self._mailbox.command.remote(self.key, continues)

    def stop(self) -> None:
        """Requests the end of the job, or cancels it if it has not started."""
        self._stop_by = time.monotonic() + _GRACE_SECONDS
        if self.running:
            self._mailbox.command.remote(self.key, STOP)
        else:
            self._cancel()

    def insist(self) -> None:
        """Cancels a job that did not end within 30 s after `stop`."""
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            self._cancel()

    def _cancel(self) -> None:
        self._ray.cancel(self.reference, force=True)
        self.cancelled = True

    def ending(self) -> str:
        """Returns a description of how the job ended."""
        if self.said_ending:
            return self.said_ending
        try:
            self._ray.get(self.reference, timeout=0)
        except Exception as error:  # any error of Ray for a lost worker, node or memory
            return f"Ray lost it: {type(error).__name__}: {first_line(error)}"
        return "Ray ended it without a word, as it does when memory runs out"

    def close(self) -> None:
        """Releases the reference to the task's result."""
        self.reference = None
