"""Opens a run in the tracker that the config chooses."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from kx.config import Composed
from kx.contracts.specs import Data
from kx.tracking.late import LateTracker
from kx.tracking.records import point_to
from kx.tracking.run_folder import RunFolder
from kx.tracking.store import full_uri, refuse_no_file, refuse_unreachable, sqlite_file, unusable
from kx.tracking.tracker import Tracker


@contextlib.contextmanager
def open_run(
    job: Composed,
    folder: RunFolder,
    data: Data,
    extra: Mapping[str, Any],
    *,
    may_be_late: bool = False,
) -> Iterator[Tracker]:
    """Opens a new or resumed run, in MLflow or untracked, as the config says.

    Args:
        job: Composed config.
        folder: Folder of the run.
        data: Data of the run, for its fingerprint and the dataset inputs.
        extra: Additional tags.
        may_be_late: Whether a new run may be opened after the first step of its training. It is
            in a process that has not imported MLflow. Defaults to False.

    Yields:
        The tracker.
    """
    if not job.config.tracking.enabled:
        folder.begin(f"untracked-{folder.name}", None)
        yield Tracker(f"untracked-{folder.name}", folder.name)
        return
    # An error of a late opening interrupts the main thread, which must be the one that trains.
    is_late = may_be_late and not folder.resumed and _is_main_thread()
    if is_late and not _mlflow_is_imported():
        with _open_late(job, folder, data, extra) as tracker:
            yield tracker
        return
    from kx.tracking.mlflow.tracker import open_mlflow_run

    with open_mlflow_run(job, folder, data, extra) as tracker:
        yield tracker


@contextlib.contextmanager
def _open_late(
    job: Composed, folder: RunFolder, data: Data, extra: Mapping[str, Any]
) -> Iterator[Tracker]:
    """Opens a run in MLflow while its training has begun; see `LateTracker`."""
    _refuse_absent_store(full_uri(None, job.config.tracking.uri))
    point_to(folder.path)  # so that a run is found that is killed before it is open
    with contextlib.ExitStack() as opened:

        def opening() -> Tracker:
            from kx.tracking.mlflow.tracker import open_mlflow_run

            return opened.enter_context(open_mlflow_run(job, folder, data, extra))

        tracker = LateTracker(folder.name, opening)
        try:
            yield tracker
            tracker.opened()
        except BaseException as error:
            # Also the store keeps how the run ended. Where it cannot be opened, this interrupts
            # the training, which TensorFlow or a user's handler may turn into another error; an
            # error of the training itself is more important.
            failed = tracker.failure()
            if failed is not None and (tracker.interrupted or isinstance(error, KeyboardInterrupt)):
                raise failed from None
            raise


def _mlflow_is_imported() -> bool:
    return "mlflow" in sys.modules


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _refuse_absent_store(uri: str) -> None:
    """Raises, before the training, for what can be known of a store without MLflow.

    Raises:
        KxError: If a server does not answer, or if a file cannot be a store.
    """
    try:
        refuse_unreachable(uri)
        file = sqlite_file(uri)
        if file is not None:
            refuse_no_file(file)
    except OSError as error:
        raise unusable(uri, error) from None
