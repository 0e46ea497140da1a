"""Makes a new SQLite store: a copy of an empty one in kx's cache, which MLflow made once.

MLflow takes seconds to make a store: it applies all changes of its schema, one by one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from pathlib import Path

import mlflow

from kx.paths import cache_dir
from kx.tracking.store import artifact_root


def make_store(file: Path, final: Path) -> None:
    """Makes an empty store.

    Args:
        file: Path to the file to write.
        final: Path to which the caller renames the file; the artifacts are kept beside it.
    """
    artifacts = artifact_root(final).as_uri()
    prepared = cache_dir() / "stores" / f"mlflow-{mlflow.__version__}.db"
    if not _copy_prepared(prepared, file, artifacts):
        _make_by_mlflow(file, artifacts)
        _keep_prepared(prepared, file)


def _make_by_mlflow(file: Path, artifacts: str) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{file}", artifacts)
    store.engine.dispose()


def _copy_prepared(prepared: Path, file: Path, artifacts: str) -> bool:
    """Copies the empty store of the cache; returns whether there was one that can be read."""
    if not prepared.is_file():
        return False
    try:
        shutil.copyfile(prepared, file)
        now = int(time.time() * 1000)
        with contextlib.closing(sqlite3.connect(file)) as store, store:
            changed = store.execute(
                "UPDATE experiments SET artifact_location = ? || '/' || experiment_id,"
                " creation_time = ?, last_update_time = ?",
                (artifacts, now, now),
            )
            return changed.rowcount == 1  # MLflow's experiment "Default"
    except (sqlite3.Error, OSError):  # damaged, or of a full disk
        file.unlink(missing_ok=True)
        return False


def _keep_prepared(prepared: Path, file: Path) -> None:
    half = prepared.with_name(f"{prepared.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):  # a cache that cannot be written: made anew each time
        prepared.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(file, half)
            half.replace(prepared)
        finally:
            half.unlink(missing_ok=True)
