"""Defines the interface of a tracker, and the tracker that keeps nothing.

Imports no MLflow: with `tracking=none` a run starts two seconds earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


class Tracker:
    """Tracks a run without keeping anything (`tracking=none`); the base class of trackers.

    Args:
        run_id: Id of the run.
        run_name: Name of the run.
    """

    kept = False

    def __init__(self, run_id: str, run_name: str) -> None:
        self.run_id = run_id
        self.run_name = run_name

    def begin(self, has_stepped: Callable[[], bool]) -> None:
        """Receives, before the training, a function that returns whether a step is done."""

    def metrics(
        self, values: Mapping[str, float], step: int = 0, time_ms: int | None = None
    ) -> None:
        """Logs metrics of a step, at a time in milliseconds since 1970. Defaults to now."""

    def steps(self, name: str) -> set[int] | None:
        """Returns the logged steps of a metric, or None if they are not known."""
        return None

    def tags(self, values: Mapping[str, Any]) -> None:
        """Logs tags, which can be changed later."""

    def artifacts(self, folder: Path, path: str | None = None) -> None:
        """Logs the files of a folder as artifacts."""

    def text(self, text: str, path: str) -> None:
        """Logs a text as a file."""

    def figure(self, figure: Any, path: str) -> None:
        """Logs a Matplotlib figure as an image file."""

    def model(self, model: Any, *, signature: Any, pip_requirements: Sequence[str]) -> None:
        """Logs a Keras model with the signature of its inputs and outputs and its requirements."""

    def end(self, status: str) -> None:
        """Ends the run as FINISHED, FAILED or KILLED."""
