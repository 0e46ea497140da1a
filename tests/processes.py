"""Commands in processes of their own, forked from a server that has imported all that they need.

A cold `python -m kx.run` takes six seconds to import TensorFlow and MLflow; a fork of the server
takes a tenth of one. Tests of the cold start itself start it cold.
"""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from kx.launch.engines.processes import context, start_server


class Forked:
    """A command in a process of its own; it has the methods of `subprocess.Popen` that tests use.

    Args:
        words: Arguments of `python -m kx.run`; of `kx` or of `python` if the first one is that.
        environment: Environment variables. Defaults to None: those of this process.
    """

    def __init__(self, *words: str, environment: Mapping[str, str] | None = None) -> None:
        start_server("tensorflow")
        method: Any = context("tensorflow")
        heard, told = method.Pipe(duplex=False)
        given = dict(os.environ if environment is None else environment)
        self._process = method.Process(target=_main, args=(words, os.getcwd(), given, told))
        self._process.start()
        told.close()
        self.pid = int(self._process.pid)
        self.stdout = io.TextIOWrapper(os.fdopen(os.dup(heard.fileno()), "rb"), encoding="utf-8")
        heard.close()

    @property
    def returncode(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(self.pid, signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        said = self.stdout.read()
        self.wait(timeout)
        return said, None


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; `stdout` of the result has what it printed on both streams."""
    process = Forked(*words, **options)
    said, _ = process.communicate()
    return subprocess.CompletedProcess(words, process.returncode or 0, said, said)


def _main(
    words: tuple[str, ...], folder: str, environment: dict[str, str], told: Connection
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for stream in (1, 2):
        os.dup2(told.fileno(), stream)
    told.close()
    for number in (1, 2):
        stream = io.TextIOWrapper(os.fdopen(number, "wb", 0), encoding="utf-8", write_through=True)
        setattr(sys, {1: "stdout", 2: "stderr"}[number], stream)
    from kx.cli import main as kx_main
    from kx.run import main as run_main

    if words[:1] == ("python",):
        sys.argv = list(words[1:])
        runpy.run_path(words[1], run_name="__main__")
        code = 0
    else:
        code = kx_main(words[1:]) if words[:1] == ("kx",) else run_main(words)
    sys.stdout.flush()
    os._exit(code)
