"""Jobs on this machine: workers share out its cores and its GPUs."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from typing import Any

from kx.launch.engines.child import JobSpec
from kx.launch.engines.processes import JobProcess, start_server
from kx.types import Count, NonNegativeInt, Positive

_LOOK_SECONDS = 0.5  # between looks at jobs that hang, and for a stop
# Where jobs share a GPU, none may take all of its memory at once: TensorFlow, JAX.
# Lets several processes share a GPU, of which each else takes all the memory.
GROW = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


@dataclass
class Local:
    """Runs the jobs of a sweep on this machine, each in a fresh process.

    Args:
        workers: jobs at a time; CPU cores and GPUs are shared out among them.
        timeout_minutes: after which a job is ended as FAILED; None for never.
        max_retries: how often a job is run again whose process was killed, or
            crashed; it goes on where it was.
    """

    workers: Count | None = 1
    timeout_minutes: Positive | None = None
    max_retries: NonNegativeInt = 0
    queues: bool = field(default=False, init=False)

    @property
    def limit_minutes(self) -> float | None:
        """The time that a job may take."""
        return self.timeout_minutes

    def open(self, backend: str) -> None:
        """Starts the fork server, whose imports go on in the background."""
        start_server(backend)

    def start(
        self, orders: Mapping[int, JobSpec], workers: int
    ) -> dict[int, JobProcess | OSError | EOFError]:
        """Starts jobs."""
        return {slot: _start(order, slot, workers) for slot, order in orders.items()}

    def places(self, count: int) -> list[str]:
        """Returns where processes that train together may listen.

        They find each other on loopback; but TensorFlow's server listens on all addresses.
        """
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        places = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in held]
        for listener in held:
            listener.close()
        return places

    def listen(
        self, handles: Mapping[int, JobProcess]
    ) -> Iterator[tuple[int, tuple[str, dict[str, Any]] | None]]:
        """Waits a moment for what jobs say."""
        sources: dict[Any, int] = {}
        for slot, process in handles.items():
            sources |= dict.fromkeys(process.sources(), slot)
        ready = wait(list(sources), timeout=_LOOK_SECONDS)
        for slot in sorted({sources[source] for source in ready}):
            if not handles[slot].is_silent():
                yield slot, handles[slot].read()

    def close(self) -> None:
        """Does nothing: the fork server ends with this process."""


def _start(order: JobSpec, slot: int, workers: int) -> JobProcess | OSError | EOFError:
    environment = {**order.environment, **gpu_for(slot, workers)}
    try:
        return JobProcess(replace(order, cores=cores_for(slot, workers), environment=environment))
    except (OSError, EOFError) as error:  # too many processes, no memory
        return error


def cores_for(slot: int, workers: int) -> list[int] | None:
    """Returns the CPU cores of one of so many workers; None where they cannot be set.

    Args:
        slot: number of the worker, from 0.
        workers: how many there are.

    Example:
    >>> cores_for(0, 1) == cores_for(0, 1)
    True
    """
    if workers == 1 or not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    share = cores[slot::workers]
    return share or [cores[slot % len(cores)]]


def gpu_for(slot: int, workers: int) -> dict[str, str]:
    """Returns the environment that gives one of several workers its share of the GPUs."""
    gpus = visible_gpus() if workers > 1 else []
    if not gpus:
        return {}
    if workers > len(gpus):
        return {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)], **GROW}
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus[slot::workers])}


def visible_gpus() -> list[str]:
    """Returns the numbers of the NVIDIA GPUs that this process may use, TensorFlow unasked."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [word.strip() for word in given.split(",") if word.strip() not in ("", "-1")]
    return list(_gpus_of_the_machine())


@functools.cache
def _gpus_of_the_machine() -> tuple[str, ...]:
    try:
        words = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(done.stdout.split()) if done.returncode == 0 else ()
