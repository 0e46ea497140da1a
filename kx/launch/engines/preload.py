"""Imports packages in the fork server before the first job. Must not start TensorFlow.

A device query, an operation or a tensor would start threads, which do not survive a fork.
"""

import contextlib
import gc
import importlib
import os
import pkgutil

from kx.process import hidden_stderr, without_collections

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

# Modules that jobs import late, some inside other packages: about two seconds for each job.
_LATE = (
    "sklearn.datasets",
    "sklearn.metrics",
    "sklearn.model_selection",
    "kx.evaluation.write_reports",
    "kx.training",
    "kx.tracking.mlflow.tracker",
    "kx.tracking.mlflow.logged_model",
    "alembic.config",
    "mlflow.keras",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "git",
)


def _import_all() -> None:
    import keras  # noqa: F401
    import mlflow  # noqa: F401
    import tensorflow  # noqa: F401

    import kx.data
    import kx.models
    import kx.tasks

    ours = [
        module.name
        for room in (kx.data, kx.models, kx.tasks)
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}.")
    ]
    for name in (*_LATE, *ours):
        with contextlib.suppress(ImportError):  # an extra that is not installed
            importlib.import_module(name)


def _look_up() -> None:
    """Fills caches that each tracked job would otherwise fill itself."""
    from kx.tracking.provenance import installed_packages

    installed_packages()
    with contextlib.suppress(Exception):  # not part of MLflow's public API
        from mlflow.utils.requirements_utils import _init_packages_to_modules_map

        _init_packages_to_modules_map()


with hidden_stderr(), without_collections():
    _import_all()
    _look_up()
# Frozen objects are skipped by garbage collection in jobs, so their memory pages stay shared.
gc.collect()
gc.freeze()
