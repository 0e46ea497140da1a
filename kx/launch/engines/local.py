"""Local engine: jobs on this machine, whose cores and GPUs are divided among workers."""

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

_LOOK_SECONDS = 0.5  # between checks for jobs that hang, and for a stop
# Lets several processes share a GPU: by default TensorFlow and JAX allocate all its memory.
GROW = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


@dataclass
class Local:
    """Runs the jobs of a sweep on this machine, each in a fresh process.

    Args:
        workers: Number of jobs that run at a time; CPU cores and GPUs are divided among
            them. None runs all jobs at once. Defaults to 1.
        timeout_minutes: Time in minutes after which a job is ended as FAILED. Defaults
            to None: no limit.
        max_retries: How often a job is run again after its process was killed or
            crashed; it resumes its run. Defaults to 0.
    """

    workers: Count | None = 1
    timeout_minutes: Positive | None = None
    max_retries: NonNegativeInt = 0
    queues: bool = field(default=False, init=False)

    @property
    def limit_minutes(self) -> float | None:
        """Returns the time limit of a job in minutes, or None."""
        return self.timeout_minutes

    def open(self, backend: str) -> None:
        """Starts the fork server, which imports packages in the background."""
        start_server(backend)

    def start(
        self, orders: Mapping[int, JobSpec], workers: int
    ) -> dict[int, JobProcess | OSError | EOFError]:
        """Starts jobs, and returns a handle or an error for each slot."""
        return {slot: _start(order, slot, workers) for slot, order in orders.items()}

    def places(self, count: int) -> list[str]:
        """Returns addresses `host:port` for processes that train together.

        The processes connect over loopback, but TensorFlow's server listens on all
        addresses of the machine.

        Args:
            count: Number of processes.
        """
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        places = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in held]
        for listener in held:
            listener.close()
        return places

    def listen(
        self, handles: Mapping[int, JobProcess]
    ) -> Iterator[tuple[int, tuple[str, dict[str, Any]] | None]]:
        """Waits briefly for messages of jobs."""
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
    """Returns the CPU cores of a worker, or None for all cores.

    One worker, or a platform without CPU affinity, has all cores.

    Args:
        slot: Index of the worker, from 0.
        workers: Number of workers.

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
    """Returns the environment variables that assign a worker its share of the GPUs.

    Args:
        slot: Index of the worker, from 0.
        workers: Number of workers.
    """
    gpus = visible_gpus() if workers > 1 else []
    if not gpus:
        return {}
    if workers > len(gpus):
        return {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)], **GROW}
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus[slot::workers])}


def visible_gpus() -> list[str]:
    """Returns the indices of the NVIDIA GPUs that this process may use.

    They are read without TensorFlow, whose device query would start it.
    """
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
