"""Fresh processes for jobs: forked from a server that has imported all, or spawned."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any

from kx.launch.child import Order, main

_GRACE_SECONDS = 15.0


def context() -> BaseContext:
    """Returns how fresh processes are made on this platform.

    A fork server has imported TensorFlow and not started it: a fork of it is a
    fresh process, a tenth of a second later. Where no fork is safe (macOS,
    Windows), each process imports for itself.
    """
    if sys.platform in ("win32", "darwin"):
        return multiprocessing.get_context("spawn")
    method = multiprocessing.get_context("forkserver")
    method.set_forkserver_preload(["kx.launch.preload"])
    return method


def start_server() -> None:
    """Starts the fork server, if there is to be one; its imports go on in the background."""
    if context().get_start_method() != "forkserver":
        return
    from multiprocessing.forkserver import ensure_running

    ensure_running()


class JobProcess:
    """Runs one job in a fresh process.

    Args:
        order: the job.
    """

    def __init__(self, order: Order) -> None:
        method = context()
        self.events, told = method.Pipe(duplex=False)
        alive, self._alive = method.Pipe(duplex=False)
        self.pid: int | None = None
        self.started = time.monotonic()
        self._stop_by: float | None = None
        self._process: Any = method.Process(target=main, args=(order, told, alive))  # type: ignore[attr-defined]
        self._process.start()
        self.pid = self._process.pid
        told.close()  # ours: the end of the job's is the end of the pipe
        alive.close()

    def read(self) -> tuple[str, dict[str, Any]] | None:
        """Returns the next thing that the job says, or None if its process has ended."""
        try:
            return self.events.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return None

    def answer(self, goes_on: bool) -> None:
        """Tells a job that asks whether it is to go on."""
        try:
            self._alive.send(goes_on)
        except OSError:  # it has ended meanwhile
            pass

    def stop(self) -> None:
        """Asks the job to end, and makes it end if it does not."""
        self._signal(signal.SIGTERM)
        self._stop_by = time.monotonic() + _GRACE_SECONDS

    def insist(self) -> None:
        """Ends a job that was asked to and has not: to be called now and then."""
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def exit_code(self) -> int | None:
        """Returns the exit code of an ended process; None if nobody knows it."""
        self._process.join(timeout=5)
        code = self._process.exitcode
        return None if code == 255 else code  # 255: the fork server is gone, too

    def close(self) -> None:
        """Lets go of an ended process."""
        self.events.close()
        self._alive.close()

    def _signal(self, number: int) -> None:
        if self.pid is not None:
            try:
                os.kill(self.pid, number)
            except OSError:
                pass


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
    """Returns the environment that gives one of several workers its own GPU, if there are any."""
    gpus = visible_gpus()
    if workers == 1 or not gpus:
        return {}
    # Where jobs share a GPU, none may take all of its memory at once.
    shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if workers > len(gpus) else {}
    return {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)], **shared}


def visible_gpus() -> list[str]:
    """Returns the numbers of the NVIDIA GPUs that this process may use, TensorFlow unasked."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [word.strip() for word in given.split(",") if word.strip() not in ("", "-1")]
    try:
        words = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


__all__ = ["Connection", "JobProcess", "cores_for", "gpu_for", "start_server"]
