"""Code that runs on a Ray cluster: the task of a job, and the actor for its messages."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kx.launch.engines.child import JobSpec
from kx.launch.engines.remote_job import Relay

_COMMAND_SECONDS = 0.5  # between queries for commands, for a job that does not wait for answers
_AWAY_SECONDS = 120.0  # how long a network may be down; Ray reports a dead actor earlier
_RETRY_SECONDS = 2.0


class Mailbox:
    """Stores messages between jobs and their launcher: a Ray actor on the launcher's node."""

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._said: list[tuple[str, str, dict[str, Any]]] = []
        self._commands: dict[str, list[Any]] = {}
        self._news = asyncio.Event()

    async def begin(self, key: str) -> bool:
        """Returns whether an attempt may run: only once, although Ray may retry its task."""
        first = key not in self._begun
        self._begun.add(key)
        return first

    async def say(self, key: str, kind: str, values: dict[str, Any]) -> None:
        """Stores a message of a job."""
        self._said.append((key, kind, values))
        self._news.set()

    async def take(self, seconds: float) -> list[tuple[str, str, dict[str, Any]]]:
        """Returns the messages since the last call; waits for them up to `seconds`."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            pass
        self._news.clear()
        said, self._said = self._said, []
        return said

    async def command(self, key: str, what: Any) -> None:
        """Stores a command for a job."""
        self._commands.setdefault(key, []).append(what)

    async def commands(self, key: str) -> list[Any]:
        """Returns the commands for a job since the last call."""
        return self._commands.pop(key, [])


class Mail:
    """Transfers messages between a node and a mailbox.

    Args:
        mailbox: The `Mailbox` actor.
        key: Key of the attempt.
        often: Whether the job waits for answers, so that every call queries the mailbox.
    """

    def __init__(self, mailbox: Any, key: str, *, often: bool) -> None:
        import ray

        self._ray, self._mailbox, self._key = ray, mailbox, key
        self._wait = 0.0 if often else _COMMAND_SECONDS
        self._asked, self._gone = 0.0, False

    def say(self, kind: str, values: dict[str, Any]) -> None:
        """Sends a message to the launcher."""
        self._get(lambda: self._mailbox.say.remote(self._key, kind, values))

    def commands(self) -> list[Any]:
        """Returns the launcher's commands since the last call."""
        if time.monotonic() - self._asked < self._wait:
            return []
        self._asked = time.monotonic()
        return self._get(lambda: self._mailbox.commands.remote(self._key)) or []

    def gone(self) -> bool:
        """Returns whether the launcher is gone, and its mailbox with it."""
        return self._gone

    def _get(self, ask: Callable[[], Any]) -> Any:
        """Returns an answer of the mailbox; retries for up to 120 s if it is unavailable."""
        end = time.monotonic() + _AWAY_SECONDS
        while not self._gone:
            try:
                return self._ray.get(ask())
            except self._ray.exceptions.ActorUnavailableError:
                self._gone = time.monotonic() > end
                time.sleep(_RETRY_SECONDS)
            except self._ray.exceptions.RayError:
                self._gone = True
        return None


def free_place() -> str:
    """Returns a free address `host:port` of this node."""
    import ray

    host = ray.util.get_node_ip_address()
    with socket.create_server((host, 0)) as listener:
        return f"{host}:{listener.getsockname()[1]}"


def run_job_spec(order: JobSpec, key: str, mailbox: Any) -> None:
    """Runs a job on a node to its end, as a Ray task.

    Args:
        order: Specification of the job.
        key: Key of this attempt.
        mailbox: The `Mailbox` actor.
    """
    import ray

    if not ray.get(mailbox.begin.remote(key)):
        return  # Ray retries a task that ran out of memory, but retries are the launcher's
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Ray reuses worker processes: the fork server may still have another task's GPUs set.
    own = {k: v for k, v in os.environ.items() if k == "CUDA_VISIBLE_DEVICES"}
    order = replace(order, environment={**order.environment, **own})
    Relay(order, Mail(mailbox, key, often=order.asks)).run()
