"""Fresh processes for jobs: forked from a server with all imports done, or spawned."""

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


_server_backend = ""  # Keras backend that the fork server has imported


def context(backend: str) -> BaseContext:
    """Returns the multiprocessing context for fresh processes on this platform.

    The fork server has imported TensorFlow but not started it, so a fork of it is
    a fresh process within a tenth of a second. Where forking is not safe (macOS,
    Windows), or the server has imported another backend, each process is spawned
    and imports everything itself.

    Args:
        backend: Keras backend of the process.
    """
    if sys.platform in ("win32", "darwin") or _server_backend not in ("", backend):
        return multiprocessing.get_context("spawn")
    method = multiprocessing.get_context("forkserver")
    method.set_forkserver_preload(["kx.launch.engines.preload"])
    return method


def start_server(backend: str) -> None:
    """Starts the fork server, if the platform has one; it imports in the background.

    Args:
        backend: Keras backend that the server imports.
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
        order: Specification of the job.
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
        # A killed process leaves TensorFlow's temporary files behind; `close` removes them.
        self._temporary = tempfile.mkdtemp(prefix="kx-job-")
        order = replace(order, environment={**order.environment, "TMPDIR": self._temporary})
        self._process: Any = method.Process(target=main, args=(order, told, alive))  # type: ignore[attr-defined]
        self._process.start()
        self.pid = self._process.pid
        self._sentinel: int = self._process.sentinel
        self._server_is_gone = False
        told.close()  # this process's copy: the pipe ends when the job closes its own
        alive.close()

    def sources(self) -> list[Any]:
        """Returns objects to wait on: ready once there is a message, or the process has ended.

        The pipe alone does not show the end: processes forked by the job may keep it open.
        """
        return [self.events] if self._server_is_gone else [self.events, self._sentinel]

    def is_silent(self) -> bool:
        """Returns whether the job still runs without a message although a source is ready.

        This happens once if the fork server, which reports the end of processes, has died.
        """
        if self.events.poll():
            return False
        self._server_is_gone = _runs(self.pid)
        return self._server_is_gone

    def read(self) -> tuple[str, dict[str, Any]] | None:
        """Returns the next message of the job, or None if its process has ended."""
        try:
            return self.events.recv() if self.events.poll() else None
        except (EOFError, OSError, pickle.UnpicklingError):
            return None

    def answer(self, continues: bool) -> None:
        """Answers a job that asked whether it should continue."""
        try:
            self._alive.send(continues)
        except OSError:  # it has ended meanwhile
            pass

    def stop(self) -> None:
        """Sends SIGTERM to the job. `insist` kills it if it does not end."""
        self._signal(signal.SIGTERM)
        self._stop_by = time.monotonic() + _GRACE_SECONDS

    def insist(self) -> None:
        """Kills a job that did not end within 15 s after `stop`. To be called repeatedly."""
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def end_by(self, seconds: float) -> None:
        """Waits for a process to end after `stop`, and kills it if it takes too long.

        Args:
            seconds: Maximum time to wait, in seconds.
        """
        self._process.join(timeout=seconds)
        if self._process.is_alive():
            self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            self._process.join(timeout=seconds)

    def ending(self) -> str:
        """Returns a description of how the process ended."""
        self._process.join(timeout=5)
        code = self._process.exitcode
        return how_it_ended(None if code == 255 else code)  # 255: no fork server, code unknown

    def close(self) -> None:
        """Closes the connections of an ended process, and removes its temporary folder."""
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
    """Returns a description of how a process ended without an `"end"` message.

    Args:
        code: Exit code, negative for a signal; None if it is unknown.
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
