"""Handling of Ctrl-C and SIGTERM: the first ends a run cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

# Signals within this time count as one: a cluster or a launcher may also signal each process.
_SAME_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # clusters send SIGTERM at the time limit


@contextmanager
def stoppable() -> Iterator[None]:
    """Turns the first SIGINT or SIGTERM into KeyboardInterrupt; the second ends the process.

    A run within the block is marked KILLED, and `resume=auto` continues it.
    Outside the main thread, where Python cannot set signal handlers, nothing
    changes.
    """
    global _interrupted
    _interrupted = False

    def interrupt() -> None:
        global _interrupted
        _interrupted = True
        raise KeyboardInterrupt

    with _at_first_signal(interrupt):
        yield


_interrupted = False


def was_interrupted() -> bool:
    """Returns whether a signal has stopped the code within `stoppable`.

    An interruption within TensorFlow's C++ code may be raised as another error.
    """
    return _interrupted


@dataclass
class Stop:
    """Holds whether a stop was requested."""

    asked: bool = False


@contextmanager
def noting_stop() -> Iterator[Stop]:
    """Records the first SIGINT or SIGTERM without an interruption; the second ends the process.

    Yields:
        A `Stop`, to be checked regularly.
    """
    stop = Stop()

    def note() -> None:
        stop.asked = True

    with _at_first_signal(note):
        yield stop


@contextmanager
def _at_first_signal(act: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopped = 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        now = time.monotonic()
        if stopped and now - stopped > _SAME_SECONDS:
            os._exit(128 + number)
        if not stopped:
            stopped = now
            act()

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
