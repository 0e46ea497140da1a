"""On a Ray cluster: what a node runs, and the actor that carries its words."""

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

_COMMAND_SECONDS = 0.5  # between questions of a job that waits for no answer
_AWAY_SECONDS = 120.0  # for which a network may be down; Ray says sooner that an actor is dead
_RETRY_SECONDS = 2.0


class Mailbox:
    """Keeps what jobs and their launcher say to each other: an actor, beside the launcher."""

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._said: list[tuple[str, str, dict[str, Any]]] = []
        self._commands: dict[str, list[Any]] = {}
        self._news = asyncio.Event()

    async def begin(self, key: str) -> bool:
        """Says whether an attempt is to run: once, though Ray itself may try again."""
        first = key not in self._begun
        self._begun.add(key)
        return first

    async def say(self, key: str, kind: str, values: dict[str, Any]) -> None:
        """Keeps what a job says."""
        self._said.append((key, kind, values))
        self._news.set()

    async def take(self, seconds: float) -> list[tuple[str, str, dict[str, Any]]]:
        """Returns what was said since, and waits for it a while."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            pass
        self._news.clear()
        said, self._said = self._said, []
        return said

    async def command(self, key: str, what: Any) -> None:
        """Keeps what a job is to be told."""
        self._commands.setdefault(key, []).append(what)

    async def commands(self, key: str) -> list[Any]:
        """Returns what a job is to be told."""
        return self._commands.pop(key, [])


class Mail:
    """Carries words between a node and a mailbox.

    Args:
        mailbox: the actor.
        key: of the attempt.
        often: whether the job waits for answers.
    """

    def __init__(self, mailbox: Any, key: str, *, often: bool) -> None:
        import ray

        self._ray, self._mailbox, self._key = ray, mailbox, key
        self._wait = 0.0 if often else _COMMAND_SECONDS
        self._asked, self._gone = 0.0, False

    def say(self, kind: str, values: dict[str, Any]) -> None:
        """Says a thing to the launcher."""
        self._get(lambda: self._mailbox.say.remote(self._key, kind, values))

    def commands(self) -> list[Any]:
        """Returns what the launcher has said since."""
        if time.monotonic() - self._asked < self._wait:
            return []
        self._asked = time.monotonic()
        return self._get(lambda: self._mailbox.commands.remote(self._key)) or []

    def gone(self) -> bool:
        """Says whether the launcher is gone: then its mailbox is, too."""
        return self._gone

    def _get(self, ask: Callable[[], Any]) -> Any:
        """Returns an answer of the mailbox; one that is only away is asked again for a while."""
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
    """Returns an address of this node on which nobody listens now."""
    import ray

    host = ray.util.get_node_ip_address()
    with socket.create_server((host, 0)) as listener:
        return f"{host}:{listener.getsockname()[1]}"


def run_job_spec(order: JobSpec, key: str, mailbox: Any) -> None:
    """Runs a job on a node, to its end: a task of Ray's.

    Args:
        order: the job.
        key: of this attempt.
        mailbox: the actor.
    """
    import ray

    if not ray.get(mailbox.begin.remote(key)):
        return  # Ray has lost the memory for it, and tries again: the launcher decides on that
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # This process may have served another task, whose GPUs its fork server still sees.
    own = {k: v for k, v in os.environ.items() if k == "CUDA_VISIBLE_DEVICES"}
    order = replace(order, environment={**order.environment, **own})
    Relay(order, Mail(mailbox, key, often=order.asks)).run()
