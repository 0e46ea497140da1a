"""Opens a run where the config says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kx.config import Composed
from kx.contracts.specs import Data
from kx.tracking.run_folder import RunFolder
from kx.tracking.tracker import Tracker


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
