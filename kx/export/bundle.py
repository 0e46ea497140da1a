"""Saves what a finished run needs besides its weights to predict and to be exported.

bundle/
  preparation/   SavedModel: raw examples to prepared ones
  spec.json      specs of inputs and targets, kind of the raw examples
  examples/      some raw test examples, and the trained model's answers
  model.keras    only where MLflow does not keep the model
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import kx
from kx.config import Composed
from kx.contracts.fields import map_fields, named_fields, values_of
from kx.contracts.specs import Data, Spec, Specs, identity
from kx.contracts.task import Task
from kx.data.texts.host import after_host
from kx.export.requirements import pip_requirements, signature
from kx.extras import import_extra
from kx.fit.model.checks import ends_of
from kx.paths import PATTERN_LETTERS
from kx.process import quiet_saving
from kx.tracking.run_folder import RunFolder
from kx.tracking.tracker import Tracker

_NUM_EXAMPLES = 16


def own_inputs(task: Task, data: Data) -> Specs | None:
    """Returns the specs of what a model takes where these are no examples of the data.

    Args:
        task: Task of the model.
        data: Data of the run.

    Returns:
        The inputs of the task (noise), the observations of an environment, or None.
    """
    if data.environment is not None:
        return data.inputs
    return task.own_inputs


class Preparation(tf.Module):
    """Prepares a batch of raw examples with a function that can be saved.

    Args:
        data: Data with the `prepare` function.
        own: Specs of what the model takes in place of the examples of the data, which need no
            preparation. Defaults to None: the examples.
    """

    def __init__(self, data: Data, own: Specs | None = None) -> None:
        super().__init__()
        self.assets = list(data.assets)
        if data.target_texts is not None:
            text = tf.TensorSpec([], tf.string)
            self.prepare_target = tf.function(data.target_texts.prepare, input_signature=[text])
        if own is None:
            raw, specs, preparing = data.train.element_spec[0], data.inputs, data.prepare
        else:
            raw = map_fields(lambda spec: tf.TensorSpec(spec.shape, spec.dtype), own)
            specs, preparing = own, identity
        names = {name: name for name in raw} if isinstance(raw, Mapping) else "inputs"
        self.raw = map_fields(
            lambda spec, name: tf.TensorSpec([None, *spec.shape], spec.dtype, name=name), raw, names
        )
        prepared = map_fields(lambda spec: tf.TensorSpec(spec.shape, spec.dtype), specs)
        one_by_one = preparing is not identity

        def in_dtypes(inputs: Any) -> Any:  # as they are stored for the training
            found = preparing(inputs)
            return map_fields(lambda one, spec: tf.cast(one, spec.dtype), found, prepared)

        def prepare(inputs: Any) -> Any:
            if not one_by_one:
                return in_dtypes(inputs)
            return tf.map_fn(in_dtypes, inputs, fn_output_signature=prepared)

        self.prepare = tf.function(prepare, input_signature=[self.raw])


def uncompiled(model: keras.Model) -> keras.Model:
    """Returns a model with the same weights, without optimizer, loss and metrics.

    This model is kept: it has a third of the size, and contains nothing that only the
    training needs, so that it loads without the task's code.
    """
    if not model.inputs or not model.outputs:  # subclassed
        return model
    return keras.Model(*ends_of(model), name=model.name)


@dataclass
class Bundle:
    """Holds the folder of a bundle.

    Args:
        folder: Folder with the files listed above.
    """

    folder: Path

    def spec(self) -> dict[str, Any]:
        """Returns the content of `spec.json`, with its specs as such."""
        values = json.loads((self.folder / "spec.json").read_text(encoding="utf-8"))
        for key in ("inputs", "targets", "own_inputs"):
            if values.get(key) is not None:  # an earlier version has no own_inputs
                values[key] = _specs_from_json(values[key])
        return values

    def preparation(self) -> Any:
        """Returns the saved preparation, an object with `prepare(batch)`.

        Raises:
            MissingExtraError: If a library that it needs is not installed.
        """
        for module in self.spec().get("facts", {}).get("modules", ()):  # TensorFlow needs them
            import_extra(module, extra="hub", needed_by="The preparation of this run")
        folder = self.folder / "preparation"
        if not PATTERN_LETTERS.intersection(str(folder)):
            return tf.saved_model.load(str(folder))
        with tempfile.TemporaryDirectory() as copy:  # TensorFlow would read the path as a pattern
            return tf.saved_model.load(shutil.copytree(folder, Path(copy, "preparation")))

    def examples(self) -> tuple[Any, dict[str, np.ndarray]]:
        """Returns a batch of raw examples, after host steps, and the trained model's answers."""
        folder = self.folder / "examples"
        dtypes = self.spec()["raw_dtype"]
        names = {name: name for name in dtypes} if isinstance(dtypes, Mapping) else ""
        raw = map_fields(
            lambda dtype, name: tf.io.parse_tensor(_inputs_file(folder, name).read_bytes(), dtype),
            dtypes,
            names,
        )
        answers = {}
        for path in sorted(folder.glob("answer_*.tensor")):
            name, kind = path.stem.removeprefix("answer_").rsplit("-", 1)
            answers[name] = tf.io.parse_tensor(path.read_bytes(), kind).numpy()
        return raw, answers


def _inputs_file(folder: Path, name: str) -> Path:
    """Returns the file of the raw examples, or of a field of them."""
    return folder / (f"inputs-{name}.tensor" if name else "inputs.tensor")


def _specs_to_json(specs: Specs) -> dict[str, Any]:
    if isinstance(specs, Spec):
        return specs.to_json()
    return {"fields": {name: spec.to_json() for name, spec in specs.items()}}


def _specs_from_json(values: dict[str, Any]) -> Specs:
    if "fields" not in values:
        return Spec.from_json(values)
    return {name: Spec.from_json(spec) for name, spec in values["fields"].items()}


def examples_to_keep(data: Data, task: Task) -> list[Any]:
    """Returns raw examples to keep with the model.

    Call it before the training, since files may be removed during the training.

    Args:
        data: Data of the run.
        task: Task of the run.
    """
    if data.environment is not None:
        reset = data.environment.make().reset
        return [reset(tf.constant(seed, tf.int64))[1].numpy() for seed in range(_NUM_EXAMPLES)]
    if task.own_inputs is not None:
        return [map_fields(partial(_random, n), task.own_inputs) for n in range(_NUM_EXAMPLES)]
    split = data.test or data.validation or data.train
    inputs_only = split.map(lambda inputs, *_: inputs)
    kept = list(inputs_only.take(_NUM_EXAMPLES).as_numpy_iterator())

    def shapes(one: Any) -> list[tuple[int, ...]]:
        return [np.shape(value) for value in values_of(one)]

    # They form one batch: only those with the shape of the first one are kept.
    return [one for one in kept if shapes(one) == shapes(kept[0])]


def _random(seed: int, spec: Spec) -> np.ndarray:
    """Returns a random input of a spec: normal numbers, or numbers of categories or tokens."""
    generator = np.random.default_rng(seed)
    if spec.vocabulary_size or spec.sizes:
        high = spec.vocabulary_size or spec.sizes
        return np.asarray(generator.integers(0, high, spec.shape), spec.dtype)
    return np.asarray(generator.normal(size=spec.shape), spec.dtype)


def save_bundle(
    job: Composed,
    model: keras.Model,
    task: Task,
    data: Data,
    kept: Sequence[Any],
    tracker: Tracker,
    folder: RunFolder,
) -> Bundle:
    """Writes the bundle of a trained model, and logs the bundle and the model.

    Args:
        job: Composed config.
        model: Trained model.
        task: Task of the run.
        data: Data of the run, for its preparation.
        kept: Raw examples, which are written with the model's answers.
        tracker: Tracker of the run.
        folder: Folder of the run.

    Returns:
        The bundle in the run's folder. Its files are artifacts instead if the run logs its model.
    """
    bundle = Bundle(folder.path / "bundle")
    shutil.rmtree(bundle.folder, ignore_errors=True)  # left by a run that was killed
    bundle.folder.mkdir()
    own = own_inputs(task, data)
    preparation = Preparation(data, own)
    with quiet_saving():
        tf.saved_model.save(preparation, str(bundle.folder / "preparation"))
    values = {
        "kx": kx.__version__,
        "name": data.name,
        "kind": data.kind if isinstance(data.kind, str) else dict(data.kind),
        "inputs": _specs_to_json(data.inputs),
        "targets": _specs_to_json(data.targets),
        "own_inputs": None if own is None else _specs_to_json(own),
        "host": {name: dict(node) for name, node in data.host.items()},
        "target_host": data.target_texts and data.target_texts.host,
        "raw_dtype": map_fields(lambda spec: spec.dtype.name, preparation.raw),
        "facts": dict(data.facts),
        "precision": job.config.precision,
    }
    (bundle.folder / "spec.json").write_text(
        json.dumps(values, indent=2, ensure_ascii=False), encoding="utf-8"
    )
    kept = after_host(data.host, kept)
    asked = _save_examples(bundle.folder / "examples", preparation, model, task, data.targets, kept)
    if not (tracker.kept and job.config.tracking.log_model):
        uncompiled(model).save(bundle.folder / "model.keras")
        return bundle
    tracker.artifacts(bundle.folder, "bundle")
    tracker.model(
        uncompiled(model), signature=signature(*asked), pip_requirements=pip_requirements(model)
    )
    shutil.rmtree(bundle.folder)
    return bundle


def _save_examples(
    folder: Path, preparation: Preparation, model: keras.Model, task: Task, targets: Specs,
    kept: Sequence[Any],
) -> tuple[Any, Any]:  # fmt: skip
    """Writes raw examples with the model's answers; returns what the model took, and its scores."""
    folder.mkdir()

    def batch(spec: tf.TensorSpec, *each: Any) -> tf.Tensor:
        # TensorFlow converts a list of uint8 arrays to int32; NumPy strips trailing zeros of bytes.
        if spec.dtype == tf.string:
            return tf.stack(list(each))
        return tf.constant(np.stack(each), spec.dtype)

    raw = map_fields(batch, preparation.raw, *kept)
    prepared = preparation.prepare(raw)
    taken = task.model_inputs(prepared, targets)
    scores = map_fields(keras.ops.convert_to_numpy, model(taken, training=False))
    answers = task.answer(model, prepared)
    for name, value in named_fields(raw, "").items():
        _inputs_file(folder, name).write_bytes(tf.io.serialize_tensor(value).numpy())
    for name, value in answers.items():
        value = tf.convert_to_tensor(value)
        path = folder / f"answer_{name}-{value.dtype.name}.tensor"
        path.write_bytes(tf.io.serialize_tensor(value).numpy())
    return taken, scores
