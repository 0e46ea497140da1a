"""Opens the run in the tracking store while the training has begun, in a process without MLflow.

MLflow takes seconds to import, and Python imports one thing at a time: imported before the
training, it delays the first step; while TensorFlow computes, it delays nothing.
"""

from __future__ import annotations

import _thread
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kx.tracking.tracker import Tracker

_LOOK_SECONDS = 0.1
_LONGEST_SECONDS = 10.0  # after which the run is opened, whether or not a step is done


class LateTracker(Tracker):
    """Keeps what is logged until the run is open, which it is after the first step.

    Args:
        run_name: Name of the run.
        opening: Function that opens the run, and returns its tracker.

    Attributes:
        error: Error of the opening, or None. The main thread is interrupted when it occurs; the
            next call raises it, where an interrupt is ignored.
        interrupted: Whether the main thread was interrupted.
    """

    kept = True

    def __init__(self, run_name: str, opening: Callable[[], Tracker]) -> None:
        self.run_name = run_name
        self.error: BaseException | None = None
        self.interrupted = False
        self._opening = opening
        self._tracker: Tracker | None = None
        self._thread: threading.Thread | None = None
        self._needed = threading.Event()
        self._change = threading.Lock()
        self._calls: list[tuple[str, tuple[Any, ...]]] = []

    def begin(self, has_stepped: Callable[[], bool]) -> None:
        """Opens the run after the first step of the training, in a thread.

        Args:
            has_stepped: Function that returns whether a step is done.
        """

        def wait_and_open() -> None:
            latest = time.monotonic() + _LONGEST_SECONDS
            stepped = False
            while time.monotonic() < latest and not stepped:
                with contextlib.suppress(Exception):  # the optimizer is in use by another thread
                    stepped = has_stepped()
                if not stepped and self._needed.wait(_LOOK_SECONDS):
                    break
            self._needed.wait(_LOOK_SECONDS)  # for Keras to end the step, which it counts before
            self._open()
            if self.error is not None and not self._needed.is_set():
                self.interrupted = True
                _thread.interrupt_main()  # `open_run` raises the error in place of it

        self._thread = threading.Thread(target=wait_and_open, name="kx-opening", daemon=True)
        self._thread.start()

    def _open(self) -> None:
        try:
            tracker = self._opening()
            with self._change:
                for name, arguments in self._calls:
                    getattr(tracker, name)(*arguments)
                self._tracker = tracker
        except BaseException as error:
            self.error = error

    def failure(self) -> BaseException | None:
        """Waits for the run, or opens it now; returns the error if it cannot be opened."""
        self._needed.set()
        if self._thread is not None:
            self._thread.join()
        elif self._tracker is None and self.error is None:
            self._open()
        return self.error

    def opened(self) -> Tracker:
        """Returns the tracker of the open run; waits for it, or opens the run now.

        Raises:
            KxError: If the run could not be opened.
        """
        if (error := self.failure()) is not None:
            raise error
        assert self._tracker is not None
        return self._tracker

    def _call(self, name: str, *arguments: Any) -> None:
        with self._change:
            if self.error is not None:
                raise self.error
            if self._tracker is None:
                self._calls.append((name, arguments))
                return
        getattr(self._tracker, name)(*arguments)

    @property
    def run_id(self) -> str:  # type: ignore[override]
        """Returns the id of the run; waits for it."""
        return self.opened().run_id

    def metrics(
        self, values: Mapping[str, float], step: int = 0, time_ms: int | None = None
    ) -> None:
        """Logs metrics of a step, once the run is open."""
        self._call("metrics", dict(values), step, time_ms or int(time.time() * 1000))

    def steps(self, name: str) -> set[int] | None:
        """Returns the logged steps of a metric."""
        return self.opened().steps(name)

    def tags(self, values: Mapping[str, Any]) -> None:
        """Logs tags, once the run is open."""
        self._call("tags", dict(values))

    def artifacts(self, folder: Path, path: str | None = None) -> None:
        """Logs the files of a folder."""
        self.opened().artifacts(folder, path)

    def text(self, text: str, path: str) -> None:
        """Logs a text as a file, once the run is open."""
        self._call("text", text, path)

    def figure(self, figure: Any, path: str) -> None:
        """Logs a figure as an image file, once the run is open."""
        self._call("figure", figure, path)

    def model(self, model: Any, *, signature: Any, pip_requirements: Sequence[str]) -> None:
        """Logs a Keras model."""
        self.opened().model(model, signature=signature, pip_requirements=pip_requirements)

    def end(self, status: str) -> None:
        """Ends the run."""
        self.opened().end(status)
