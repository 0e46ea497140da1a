"""Logs the Keras model of a run in MLflow, at once or later from files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import mlflow
import mlflow.keras
from mlflow import MlflowClient
from mlflow.models import ModelSignature

from kx.tracking.store import current_store


def log_model(
    client: MlflowClient,
    run_id: str,
    model: keras.Model,
    signature: ModelSignature,
    pip_requirements: Sequence[str],
) -> None:
    """Logs a model, so that `mlflow.keras.load_model` reads it.

    Args:
        client: Client of the store.
        run_id: Id of the run.
        model: Keras model.
        signature: Signature of its inputs and outputs.
        pip_requirements: Packages that it needs. They are given, since MLflow's own search imports
            the model in a new process (20-35 s).
    """
    with (
        current_store(client.tracking_uri),
        mlflow.start_run(run_id=run_id, nested=True, log_system_metrics=False),
    ):
        mlflow.keras.log_model(
            model, name="model", signature=signature, pip_requirements=list(pip_requirements)
        )


def keep_model(
    folder: Path, model: keras.Model, signature: ModelSignature, pip_requirements: Sequence[str]
) -> None:
    """Writes the files that `log_kept_model` needs to a folder."""
    model.save(folder / "model.keras")
    about: dict[str, Any] = {"signature": signature.to_dict(), "pip": list(pip_requirements)}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def log_kept_model(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Logs the model that `keep_model` wrote.

    Args:
        client: Client of the store.
        run_id: Id of the run.
        folder: Folder that `keep_model` wrote.
    """
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    signature = ModelSignature.from_dict(about["signature"])
    model = keras.models.load_model(folder / "model.keras")
    log_model(client, run_id, model, signature, about["pip"])


def load_logged_model(run_id: str, uri: str | None) -> keras.Model:
    """Returns the model that a run logged.

    Args:
        run_id: Id of the run.
        uri: URI of its store, or None.
    """
    with current_store(uri):
        return mlflow.keras.load_model(f"runs:/{run_id}/model")
