"""Opens a tracking store: makes it once, adapts it after a move, or raises one clear error."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from kx.errors import KxError
from kx.secrets import redact
from kx.tracking.mlflow.new_store import make_store
from kx.tracking.records import all_records, is_locked
from kx.tracking.store import (
    artifact_root,
    refuse_no_file,
    refuse_unreachable,
    sqlite_file,
    store_uri,
    unusable,
)

_MAKING_SECONDS = 300.0  # for another process to make the store
# Tables and columns in which MLflow keeps the absolute paths of artifacts.
_PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
# MLflow logs each of its own steps at INFO, which is too much for short runs.
for _name in ("alembic", "mlflow"):
    logging.getLogger(_name).setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.ERROR)  # logs each retry; kx reports it once

_seen: set[str] = set()  # stores that have answered in this process


def open_client(uri: str | None) -> MlflowClient:
    """Returns an MLflow client of a store that answers.

    A SQLite store that does not exist is made by one process, while other processes wait.

    Args:
        uri: URI of the store, or None for that of the project.

    Raises:
        KxError: If the store cannot be used, for any reason.
    """
    uri = store_uri(uri)
    if uri in _seen:
        return MlflowClient(uri)
    try:
        refuse_unreachable(uri)
        file = sqlite_file(uri)
        if file is not None:
            refuse_no_file(file)
            _make_once(file)
            _find_artifacts(file)
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    except KxError:
        raise
    except Exception as error:  # any error of a store, a driver or a network
        raise unusable(uri, error) from None  # the cause may contain secrets of the URI
    _seen.add(uri)
    return client


def fetch_artifact(uri: str, run_id: str, path: str) -> Path:
    """Returns the local path of an artifact, downloaded if it is elsewhere.

    Args:
        uri: URI of the store.
        run_id: Id of the run.
        path: Path within the run's artifacts.

    Raises:
        FileNotFoundError: If there is no such artifact; the message has the run's artifact URI.
    """
    import mlflow.artifacts

    root = open_client(uri).get_run(run_id).info.artifact_uri
    if root.startswith("file://"):
        local = Path(url2pathname(urlsplit(root).path), path)
        if local.exists():
            return local
    try:
        where = mlflow.artifacts.download_artifacts(
            run_id=run_id, artifact_path=path, tracking_uri=uri
        )
    except (MlflowException, OSError) as error:
        raise FileNotFoundError(redact(root)) from error
    return Path(where)


def _make_once(file: Path) -> None:
    """Makes a SQLite store under another name, and renames it when it is complete."""
    # Two processes that make a store at once destroy it, and so does a kill during the making.
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{file}.lock", timeout=_MAKING_SECONDS):
            if file.exists():
                return
            begun = file.with_name(f"{file.name}.{os.getpid()}.part")
            begun.unlink(missing_ok=True)
            try:
                make_store(begun, file)
                begun.replace(file)
            finally:
                begun.unlink(missing_ok=True)
    except Timeout as error:
        raise KxError(
            f"The tracking store {file} is being made by another process, and does not become"
            f" ready. If there is none, remove {file}.lock"
        ) from error


def _find_artifacts(file: Path) -> None:
    """Updates the artifact paths in the store of a project that was moved."""
    root = artifact_root(file)
    if not root.is_dir():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(file, timeout=30)) as store:
        rows = store.execute(
            "SELECT artifact_location FROM experiments WHERE artifact_location LIKE 'file://%'"
        ).fetchall()
        moved = dict(filter(None, (_place_now(location, root) for (location,) in rows)))
        if not moved:
            return
        where = Path(unquote(urlsplit(next(iter(moved))).path)).parent
        at_work = any(r.status == "RUNNING" and is_locked(r.folder) for r in all_records())
        if where.exists() or at_work:  # a copy, or in use under another path
            print(f"note: the artifacts of {file} are in {where}", file=sys.stderr)
            return
        for before, after in moved.items():
            for table, columns in _PLACES.items():
                for column in columns:
                    store.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                        f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        (after, len(before) + 1, before, len(before) + 1, f"{before}/"),
                    )
        store.commit()
        print(f"note: the artifacts of {file} were in {where}, now in {root}", file=sys.stderr)


def _place_now(location: str, root: Path) -> tuple[str, str] | None:
    """Returns the old and the new URI of artifacts that were moved with the store, or None."""
    before, name = Path(unquote(urlsplit(location).path)), location.rpartition("/")[2]
    here = root / unquote(name)
    elsewhere = before.parent.name == root.name and before.parent != root
    return (location, here.as_uri()) if elsewhere and here.is_dir() else None
