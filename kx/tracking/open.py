"""Opens a run in the tracker that the config chooses."""

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
    """Opens a new or resumed run, in MLflow or untracked, as the config says.

    Args:
        job: Composed config.
        folder: Folder of the run.
        data: Data of the run, for its fingerprint and the dataset inputs.
        extra: Additional tags.

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
