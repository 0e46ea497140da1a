"""What follows a run: the contract of a tracker, and the one that keeps nothing.

Imports no MLflow: with `tracking=none` a run starts two seconds earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kx.config import Composed
from kx.contracts.specs import Data
from kx.tracking.run_folder import RunFolder


class Tracker:
    """Follows a run that is kept nowhere (`tracking=none`), and says what any tracker can do.

    Args:
        run_id: of the run.
        run_name: of the run.
    """

    kept = False

    def __init__(self, run_id: str, run_name: str) -> None:
        self.run_id = run_id
        self.run_name = run_name

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Logs numbers of a step."""

    def steps(self, name: str) -> set[int] | None:
        """Returns the steps of a metric that are kept; None if nobody can say."""
        return None

    def tags(self, values: Mapping[str, Any]) -> None:
        """Logs tags, which may change."""

    def artifacts(self, folder: Path, path: str | None = None) -> None:
        """Logs the files of a folder."""

    def text(self, text: str, path: str) -> None:
        """Logs a text as a file."""

    def model(self, model: Any, *, signature: Any, pip_requirements: Sequence[str]) -> None:
        """Logs a Keras model, with the signature of its inputs and outputs, and what it needs."""

    def end(self, status: str) -> None:
        """Ends the run as FINISHED, FAILED or KILLED."""


@contextmanager
def open_run(
    job: Composed, folder: RunFolder, data: Data, extra: Mapping[str, Any]
) -> Iterator[Tracker]:
    """Opens a run where the config says, in MLflow or nowhere: a new one, or the one that goes on.

    Args:
        job: the composed config.
        folder: of the run.
        data: for its fingerprint and the dataset inputs.
        extra: further tags.

    Yields:
        The tracker.
    """
    if not job.config.tracking.enabled:
        folder.begin(f"untracked-{folder.name}", None)
        yield Tracker(f"untracked-{folder.name}", folder.name)
        return
    from kx.tracking.mlflow.tracker import open_mlflow_run

    with open_mlflow_run(job, folder, data, extra) as tracker:
        yield tracker
