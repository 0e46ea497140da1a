"""What MLflow knows of a logged model: its signature, and the packages that it needs."""

from __future__ import annotations

from typing import Any

import keras

from kx.contracts.fields import map_fields
from kx.tracking.provenance import package_versions

_PIP_PACKAGES = ("tensorflow", "tensorflow-cpu", "keras")  # those that are installed
_HUB_PACKAGES = ("keras-hub",)  # of models with its layers


def signature(prepared: Any, scores: Any) -> Any:
    """Returns the signature of a model for MLflow.

    Args:
        prepared: Batch of what the model takes.
        scores: Its raw scores.
    """
    from mlflow.models import infer_signature

    return infer_signature(map_fields(lambda one: one.numpy(), prepared), scores)


def pip_requirements(model: keras.Model) -> list[str]:
    """Returns the packages that a logged model needs, with their versions.

    Args:
        model: Model.
    """
    # They are given, since MLflow's own search imports the model in a new process (20-35 s).
    versions = package_versions()
    hub = any(type(one).__module__.startswith("keras_hub.") for one in model._flatten_layers())
    names = (*_PIP_PACKAGES, *(_HUB_PACKAGES if hub else ()))
    return [f"{name}=={versions[name]}" for name in names if name in versions]
