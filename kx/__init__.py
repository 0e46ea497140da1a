"""kx: a Keras experiment toolkit.

One config line in; a trained, tracked, explained, exported model out::

    import kx

    run = kx.train("model=cnn", "data=digits", epochs=3)
    run.metrics["test/accuracy"]
    run.export("exports/digits")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Read by MLflow when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

__version__ = "0.1.0"

# Imported late: `kx --help` and a typing mistake in a config are answered
# before TensorFlow, Keras and MLflow are imported (some ten seconds).
_PUBLIC = {
    "Data": "kx.data",
    "Examples": "kx.data",
    "Outputs": "kx.data",
    "Preparation": "kx.data",
    "Run": "kx.runs",
    "Spec": "kx.data",
    "Task": "kx.tasks",
    "load_run": "kx.runs",
    "train": "kx.api",
}

__all__ = [
    "Data", "Examples", "Outputs", "Preparation", "Run", "Spec", "Task", "__version__", "load_run",
    "train",
]  # fmt: skip

if TYPE_CHECKING:
    from kx.api import train
    from kx.data import Data, Examples, Outputs, Preparation, Spec
    from kx.runs import Run, load_run
    from kx.tasks import Task


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kx' has no attribute {name!r}")
    import importlib

    if name in ("Run", "Task", "load_run", "train"):  # what imports TensorFlow
        from kx.process import import_quietly

        import_quietly()
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
