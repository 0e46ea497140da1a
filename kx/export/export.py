"""Implements `kx export`: saves a model that takes raw input, reloads it and compares it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kx.config import project_dir
from kx.contracts.fields import count_of, map_fields, named_fields
from kx.contracts.specs import class_names_of, single
from kx.contracts.task import Task
from kx.errors import ExportError
from kx.export.bundle import Bundle
from kx.export.exported import Exported
from kx.paths import PATTERN_LETTERS, expanded
from kx.process import quiet_saving

_KINDS = {"image": "encoded image bytes", "text": "text", "row": "a line of CSV"}
_RELOAD = Path(__file__).with_name("reload.py")
# Largest difference of a probability that rounding explains, by compute dtype.
_TOLERANCE = {"float32": 1e-4, "float64": 1e-6}
_LOW_PRECISION_TOLERANCE = 2e-2


class Servable(tf.Module):
    """Maps raw examples to answers: prepare, normalize, model, decode.

    Args:
        preparation: Object with `prepare(batch)`.
        model: Model that returns scores.
        task: Task that decodes the scores.
        raw: Spec of a batch of raw examples, or specs of fields by name.
    """

    def __init__(self, preparation: Any, model: keras.Model, task: Task, raw: Any) -> None:
        super().__init__()
        self.preparation = preparation
        self.assets = list(task.assets)
        self.model_variables = [v.value for v in model.variables]

        def serve(inputs: Any) -> dict[str, tf.Tensor]:
            return task.answer(model, preparation.prepare(inputs))

        self.serve = tf.function(serve, input_signature=[raw])


@dataclass(frozen=True)
class Trained:
    """Holds the parts of a finished run that are exported.

    Args:
        id: Run id.
        name: Run name.
        config: Resolved config, plain values.
        metrics: Final metrics.
        model: Trained model, from prepared input to raw scores.
        task: Task of the run.
        bundle: Preparation, specs and examples.
        num_converted: Number of images of the run's data that were converted first. Defaults to 0.
    """

    id: str
    name: str
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    model: keras.Model
    task: Task
    bundle: Bundle
    num_converted: int = 0


def export_run(run: Trained, folder: Path, *, overwrite: bool = False) -> Exported:
    """Exports a run's model: `saved_model/`, `model.keras`, `model.weights.h5`.

    The SavedModel and `model.keras` are reloaded in a fresh process and compared with the trained
    model's own answers to real examples. The folder is written only if they agree.

    Args:
        run: Finished run.
        folder: Folder of the export.
        overwrite: Whether to replace an existing export. Defaults to False.

    Raises:
        ExportError: If the folder exists and may not be replaced, if TensorFlow could not load
            from it, or if the reloaded model's answers differ.
    """
    folder = expanded(folder).absolute()
    _refuse_unsafe(folder, overwrite=overwrite)
    model, task, bundle = run.model, run.task, run.bundle
    with _draft_beside(folder) as temporary:
        draft = Path(temporary, "draft")
        draft.mkdir()
        preparation = bundle.preparation()
        examples, expected = bundle.examples()
        names = {name: name for name in examples} if isinstance(examples, Mapping) else "inputs"
        raw = map_fields(
            lambda one, name: tf.TensorSpec([None, *one.shape[1:]], one.dtype, name=name),
            examples,
            names,
        )
        servable = Servable(preparation, model, task, raw)
        where, signatures = str(draft / "saved_model"), {"serving_default": servable.serve}
        with quiet_saving():
            tf.saved_model.save(servable, where, signatures=signatures)
        model.save(draft / "model.keras")
        model.save_weights(draft / "model.weights.h5")
        (draft / "spec.json").write_text(_spec_text(run), encoding="utf-8")
        differences = _compare(run, draft, Path(temporary), examples, expected)
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    spec = bundle.spec()
    hosts = tuple(node["_target_"] for node in spec.get("host", {}).values())
    count, modules = count_of(examples), tuple(spec.get("facts", {}).get("modules", ()))
    return Exported(folder, differences, count, run.num_converted, hosts, modules)


def _draft_beside(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """Returns a temporary folder beside another one, on the same disk."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-")
    except OSError as error:
        raise ExportError(
            f"{folder} cannot be made: {error}. Choose another folder: --out DIR."
        ) from error


def _refuse_unsafe(folder: Path, *, overwrite: bool) -> None:
    """Raises if a folder may not be replaced, or if TensorFlow could not load from it."""
    if letters := sorted(PATTERN_LETTERS.intersection(str(folder))):
        raise ExportError(
            f"TensorFlow takes a path with {' '.join(letters)} for a pattern, and loads no"
            f" SavedModel from it: {folder}. Choose another folder: --out DIR."
        )
    if not folder.exists():
        return
    earlier = (folder / "saved_model").is_dir() and (folder / "spec.json").is_file()
    if not earlier and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder} exists and is no earlier export. Choose another folder.")
    if not overwrite:
        raise ExportError(f"{folder} exists. Choose another, or replace it: --overwrite.")


def _spec_text(run: Trained) -> str:
    spec = run.bundle.spec()
    own = spec.get("own_inputs")
    inputs = single(spec["inputs"] if own is None else own)
    kind = spec["kind"] if own is None else map_fields(lambda _: "array", own)
    values = {
        "run": run.id,
        "name": run.name,
        "input": map_fields(lambda kind: _KINDS.get(kind, "array"), kind),
        # What is done to the raw input first, in Python: each is a function, with its arguments.
        "host": spec.get("host", {}),
        # What is imported before TensorFlow loads the SavedModel: it has their operations.
        "modules": spec.get("facts", {}).get("modules", []),
        "column_names": None if inputs is None else inputs.column_names,
        "class_names": class_names_of(spec["targets"]),
        "metrics": {k: v for k, v in run.metrics.items() if k.startswith("test/")},
    }
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def reloaded(settings: Path) -> subprocess.CompletedProcess[str]:
    """Runs `reload.py` in a fresh process.

    Args:
        settings: Path to the JSON file of its settings.
    """
    return subprocess.run(
        [sys.executable, str(_RELOAD), str(settings)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def _compare(
    run: Trained, draft: Path, work: Path, examples: Any, expected: dict[str, np.ndarray]
) -> dict[str, float]:
    """Returns the largest difference of each reloaded file; raises above the tolerance."""
    prepared = run.bundle.preparation().prepare(examples)
    taken = run.task.model_inputs(prepared, run.bundle.spec()["targets"])
    scores = map_fields(np.asarray, run.model(taken, training=False))
    for name, value in named_fields(examples, "inputs").items():
        (work / f"raw-{name}.tensor").write_bytes(tf.io.serialize_tensor(value).numpy())
    arrays = {name: value.numpy() for name, value in named_fields(taken, "inputs").items()}
    np.savez(work / "prepared.npz", **arrays)
    settings = {
        "saved_model": str(draft / "saved_model"),
        "keras": str(draft / "model.keras"),
        "raw": {name: one.dtype.name for name, one in named_fields(examples, "inputs").items()},
        "fields": isinstance(taken, Mapping),
        "operations": run.bundle.spec().get("facts", {}).get("modules", []),
        "modules": _modules(run),
        "path": [str(project_dir())],
        "work": str(work),
    }
    (work / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    done = reloaded(work / "settings.json")
    if done.returncode:
        raise ExportError(
            "The exported model cannot be loaded in a fresh process; it was removed.\n"
            + done.stderr.strip()[-2000:]
        )
    got = np.load(work / "answers.npz", allow_pickle=False)
    # Labels and class indices are decoded again: of two scores that are nearly equal, another
    # device than that of the training may choose the other.
    asked = run.model if run.task.generates else lambda *_, **__: scores
    again = run.task.answer(asked, prepared)
    now = {name: np.asarray(value) for name, value in again.items()}
    expected = {k: v if v.dtype.kind == "f" else now[k] for k, v in expected.items()}
    differences = {
        "saved_model": max(_difference(got[name], value) for name, value in expected.items()),
        "model.keras": max(
            _difference(got[f"keras_scores.{name}"], value)
            for name, value in named_fields(scores, "").items()
        ),
    }
    tolerance = _TOLERANCE.get(run.bundle.spec()["precision"], _LOW_PRECISION_TOLERANCE)
    for file, difference in differences.items():
        if not difference <= tolerance:
            raise ExportError(
                f"The exported {file} answers otherwise than the trained model: the largest"
                f" difference on {count_of(examples)} examples is {difference:.3g}, expected at"
                f" most {tolerance:g}. It was removed."
            )
    return differences


def _modules(run: Trained) -> list[str]:
    """Returns the modules of layers that are not Keras's: a user's, and those of kx that it has."""
    targets = [str(run.config.get(key, {}).get("_target_", "")) for key in ("model", "task")]
    modules = {target.rpartition(".")[0] for target in targets if "." in target}
    layers = {type(one).__module__ for one in run.model._flatten_layers()}
    own = {one for one in modules if not one.startswith("kx.")}
    hub = {"keras_hub"} if any(one.startswith("keras_hub.") for one in layers) else set()
    return sorted(own | hub | {one for one in layers if one.startswith("kx.")})


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the largest difference, relative above 1; infinite if labels or indices differ."""
    if a.shape != b.shape:
        return float("inf")
    if b.dtype.kind != "f":
        plain = b.astype(np.bytes_) if b.dtype == object else b
        return 0.0 if np.array_equal(a, plain) else float("inf")
    a, b = a.astype("float64"), b.astype("float64")
    same = np.isnan(a) & np.isnan(b)
    gaps = np.abs(a - b) / np.maximum(1.0, np.abs(b))
    return float(np.max(np.where(same, 0.0, gaps), initial=0.0))
