"""Fresh processes for jobs: forked from a server that has imported all, or spawned."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from multiprocessing.context import BaseContext
from typing import Any

import psutil

from kx.launch.engines.child import JobSpec, main

_GRACE_SECONDS = 15.0


_server_backend = ""  # Keras's, that the fork server has imported


def context(backend: str) -> BaseContext:
    """Returns how fresh processes are made on this platform.

    A fork server has imported TensorFlow and not started it: a fork of it is a
    fresh process, a tenth of a second later. Where no fork is safe (macOS,
    Windows), or the server has imported another backend, each process imports
    for itself.

    Args:
        backend: of Keras.
    """
    if sys.platform in ("win32", "darwin") or _server_backend not in ("", backend):
        return multiprocessing.get_context("spawn")
    method = multiprocessing.get_context("forkserver")
    method.set_forkserver_preload(["kx.launch.engines.preload"])
    return method


def start_server(backend: str) -> None:
    """Starts the fork server, if there is to be one; its imports go on in the background.

    Args:
        backend: of Keras, which the server imports.
    """
    global _server_backend
    if context(backend).get_start_method() != "forkserver":
        return
    from multiprocessing.forkserver import ensure_running

    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = backend
    try:
        ensure_running()
    finally:
        os.environ.pop("KERAS_BACKEND")
        if before is not None:
            os.environ["KERAS_BACKEND"] = before
    _server_backend = backend


class JobProcess:
    """Runs one job in a fresh process.

    Args:
        order: the job.
    """

    def __init__(self, order: JobSpec) -> None:
        backend = str(order.config["backend"])
        start_server(backend)
        method = context(backend)
        self.events, told = method.Pipe(duplex=False)
        alive, self._alive = method.Pipe(duplex=False)
        self.pid: int | None = None
        self.started = time.monotonic()
        self._stop_by: float | None = None
        # TensorFlow leaves files there, which its process no longer removes if it is killed.
        self._temporary = tempfile.mkdtemp(prefix="kx-job-")
        order = replace(order, environment={**order.environment, "TMPDIR": self._temporary})
        self._process: Any = method.Process(target=main, args=(order, told, alive))  # type: ignore[attr-defined]
        self._process.start()
        self.pid = self._process.pid
        self._sentinel: int = self._process.sentinel
        self._server_is_gone = False
        told.close()  # ours: the end of the job's is the end of the pipe
        alive.close()

    def sources(self) -> list[Any]:
        """Returns what is ready once the job has said a thing, or its process has ended.

        The pipe alone does not tell the end: what the job has forked may hold it open.
        """
        return [self.events] if self._server_is_gone else [self.events, self._sentinel]

    def is_silent(self) -> bool:
        """Says whether the job runs on and has said nothing, though a source is ready.

        It is so once, if the fork server has died, which is to tell of ends.
        """
        if self.events.poll():
            return False
        self._server_is_gone = _runs(self.pid)
        return self._server_is_gone

    def read(self) -> tuple[str, dict[str, Any]] | None:
        """Returns the next thing that the job says, or None if its process has ended."""
        try:
            return self.events.recv() if self.events.poll() else None
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

    def end_by(self, seconds: float) -> None:
        """Waits for a process that was asked to end, and ends it if it takes longer.

        Args:
            seconds: to wait.
        """
        self._process.join(timeout=seconds)
        if self._process.is_alive():
            self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            self._process.join(timeout=seconds)

    def ending(self) -> str:
        """Returns how the process ended."""
        self._process.join(timeout=5)
        code = self._process.exitcode
        return how_it_ended(None if code == 255 else code)  # 255: the fork server is gone, too

    def close(self) -> None:
        """Lets go of an ended process, and removes what it left in its temporary folder."""
        self.events.close()
        self._alive.close()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _signal(self, number: int) -> None:
        if self.pid is not None:
            try:
                os.kill(self.pid, number)
            except OSError:
                pass


def _runs(pid: int | None) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def how_it_ended(code: int | None) -> str:
    """Returns how a process ended that did not say so itself.

    Args:
        code: its exit code, negative for a signal; None if nobody knows.
    """
    if code is None:
        return "its process ended without a word"
    if code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name
    if name == "SIGKILL":
        return (
            "its process was killed (SIGKILL): by the kernel, if memory ran out. Ways out: a"
            " smaller batch_size, data.cache=disk, or fewer launcher.workers"
        )
    return f"its process crashed ({name})"
