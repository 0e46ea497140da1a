"""Ctrl-C and SIGTERM: the first ends a run cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SAME_SECONDS = 1.0  # a cluster, or a launcher, may say the same thing to each process, too
_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # SIGTERM is how clusters say that time is up


@contextmanager
def stoppable() -> Iterator[None]:
    """Turns the first SIGINT or SIGTERM into KeyboardInterrupt, and ends at the second.

    What runs within is marked KILLED on the way out, and can go on with
    `resume=auto`. Outside the main thread, where Python takes no signals,
    nothing changes.
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
    """Says whether what runs within `stoppable` was told to stop.

    An interruption in the midst of TensorFlow's C++ may arrive as another error.
    """
    return _interrupted


@dataclass
class Stop:
    """Holds whether a stop was asked for."""

    asked: bool = False


@contextmanager
def noting_stop() -> Iterator[Stop]:
    """Notes the first SIGINT or SIGTERM, for who must not be cut off, and ends at the second.

    Yields:
        What is to be looked at now and then.
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
