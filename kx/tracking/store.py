"""Where the MLflow store is. Imports no MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import urlopen

from kx.config import project_dir
from kx.errors import KxError, MissingExtraError
from kx.tracking.provenance import redact

_ANSWER_SECONDS = 5.0


def store_uri(uri: str | None = None) -> str:
    """Returns the tracking URI that runs go to.

    It is the one given, else that of the environment (MLFLOW_TRACKING_URI),
    else `mlflow.db` in the project's folder.

    Args:
        uri: any MLflow tracking URI.
    """
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_dir()}/mlflow.db"


def artifact_location(uri: str, experiment: str) -> str | None:
    """Returns where the artifacts of a new experiment go: `mlartifacts/` beside a SQLite store.

    Args:
        uri: the tracking URI. Other stores choose by themselves (None).
        experiment: its name.
    """
    if not uri.startswith("sqlite:///"):
        return None
    folder = os.path.dirname(os.path.abspath(uri.removeprefix("sqlite:///")))
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in experiment)
    return f"file://{folder}/mlartifacts/{safe}"


def unusable(uri: str, error: Exception) -> KxError:
    """Returns the error of a store that cannot be reached, with the ways out.

    Args:
        uri: of the store.
        error: what was raised.
    """
    advice = "Choose another (tracking.uri=…) or train without: tracking=none."
    if isinstance(error, ImportError) and "psycopg" in str(error):
        return MissingExtraError(
            "A tracking store in PostgreSQL needs a driver. Expected psycopg; it is not installed:"
            ' pip install "kx[postgres]"'
        )
    return KxError(f"The tracking store {redact(uri)} cannot be used: {error}\n{advice}")


def await_server(uri: str, seconds: float) -> None:
    """Waits for a tracking server that is away for a while; of other stores, for nothing.

    Args:
        uri: of the store.
        seconds: to wait at most.
    """
    end = time.monotonic() + seconds
    while uri.startswith(("http://", "https://")) and time.monotonic() < end:
        try:
            with urlopen(f"{uri.rstrip('/')}/health", timeout=_ANSWER_SECONDS):
                return
        except HTTPError:  # it answers, in its own way
            return
        except OSError:
            time.sleep(1.0)


@contextmanager
def current_store(uri: str | None) -> Iterator[None]:
    """Makes a store MLflow's current one, and leaves all as it was.

    MLflow's own `set_tracking_uri` also sets the environment, where the next run
    of this process would find it.

    Args:
        uri: the tracking URI.
    """
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    before = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with _use_tracking_uri(uri or ""):
            yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before
