"""Checks whether a tracking store answers and accepts writes."""

from __future__ import annotations

import os
import platform
import time

from kx.errors import first_line
from kx.process import hidden_stderr
from kx.secrets import scrub
from kx.tracking.store import refuse_unreachable, sqlite_file

# The check should fail quickly if the server is unavailable.
_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}


def health(uri: str) -> tuple[bool, str]:
    """Returns whether a store works, and a description of the result.

    The store is written to and restored; a SQLite store that does not exist is not made.

    Args:
        uri: URI of the store.
    """
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        folder = file.parent
        if os.access(folder, os.W_OK):
            return True, "will be made with the first run"
        return False, f"{folder} cannot be written"
    begun = time.monotonic()
    before = {name: os.environ.get(name) for name in _QUICK}
    os.environ.update(_QUICK)
    try:
        refuse_unreachable(uri)
        with hidden_stderr():
            count = _write_and_delete(uri)
    except Exception as error:  # any error of a store, a driver or a network
        return False, scrub(first_line(error))
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    seconds = time.monotonic() - begun
    return True, f"{count} experiments; written to and read in {seconds:.1f} s"


def _write_and_delete(uri: str) -> int:
    """Sets and deletes a tag of an experiment, and returns the number of experiments."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiments = client.search_experiments()
    if experiments:
        own = experiments[0].experiment_id
        client.set_experiment_tag(own, "kx.doctor", platform.node())
        client.delete_experiment_tag(own, "kx.doctor")
    return len(experiments)
