"""Cuts the padding of a batch of texts down to what its longest text needs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from omegaconf import DictConfig

from kx.contracts.fields import map_fields, named_fields
from kx.contracts.specs import Data, DataIssue, Outputs, Spec
from kx.contracts.task import Task
from kx.data.samplers import by_length
from kx.strategy import ONE_DEVICE

_LENGTH = 16  # tokens of the texts by which a model is tried
_CLOSE = 1e-3


def trimmer(
    config: DictConfig, data: Data, task: Task, model: keras.Model
) -> Callable[..., tuple[Any, ...]] | None:
    """Returns a function that trims the padding of a batch, or None where it has to stay.

    Targets with a value for each token (`Outputs.along`) are trimmed with their input. Padding
    stays where the step is compiled for each length (XLA, JAX), where devices share a batch, and
    for a model whose input has a fixed length. If the scores of a model depend on the padding, it
    stays too, and `data.issues` says so; also that `sampler=by_length` has no padding to save.

    Args:
        config: Config of the run.
        data: Data, for the specs of the inputs.
        task: Task of the run.
        model: Model that takes the batch.
    """
    names, specs = _trimmable(config, data, task, model), task.inputs or data.inputs
    along = task.outputs.along if isinstance(task.outputs, Outputs) else None
    if names and _depends_on_padding(model, specs, names, along):
        names = []
        text = "other scores, or none, with less padding: each batch keeps texts of full length"
        _tell(data, DataIssue(f"model {model.name}", "kept", text))
    if names:
        fields = named_fields(specs, "")
        return partial(_trimmed_batch, {name: fields[name] for name in names}, along)
    # A config that a version before samplers recorded has none.
    sampler = (config.get("sampler") or {}).get("_target_")
    if sampler == f"{by_length.__module__}.{by_length.__name__}":
        text = "batches keep full padding here: texts of like lengths together gain nothing"
        _tell(data, DataIssue("sampler=by_length", "kept", text))
    return None


def _tell(data: Data, issue: DataIssue) -> None:
    if issue not in data.issues:  # the model may be built again, for another device
        data.issues += (issue,)


def _trimmable(config: DictConfig, data: Data, task: Task, model: keras.Model) -> list[str]:
    """Returns the padded fields that may be trimmed, as far as the config and the specs tell."""
    several_shapes = config.backend == "tensorflow" and config.jit_compile is False
    one_device = config.strategy["_target_"] in ONE_DEVICE
    plain = task.own_inputs is None and task.learner is None and data.environment is None
    outputs = task.outputs
    if not (several_shapes and one_device and plain and isinstance(outputs, Outputs)):
        return []
    names = _of_any_length(model, task.inputs or data.inputs)
    return [] if outputs.axes and outputs.along not in names else names


def _of_any_length(model: keras.Model, inputs: Any) -> list[str]:
    """Returns the padded fields that a model takes at any length."""
    if not getattr(model, "inputs", None):
        return []
    several = isinstance(inputs, Mapping)
    shapes = (
        {one.name: one.shape for one in model.inputs} if several else {"": model.inputs[0].shape}
    )
    return [
        name
        for name, spec in named_fields(inputs, "").items()
        if spec.padding_value is not None
        and spec.shape[0] > 1
        and shapes.get(name, (0, 0))[1] is None
    ]


def _depends_on_padding(
    model: keras.Model, inputs: Any, names: list[str], along: str | None
) -> bool:
    """Returns whether scores change with padding, or a model does not take short texts at all.

    The variables are others meanwhile: a bias of 0, as before a training, hides what it adds to
    padding, and a kernel of 0 hides everything.
    """
    generator = np.random.default_rng(0)
    kept = [(one, keras.ops.convert_to_numpy(one)) for one in model.trainable_variables]
    try:
        for one, value in kept:
            one.assign(value + generator.normal(scale=0.3, size=value.shape))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Keras, on texts of one token
            return any(
                _differs(model, _example(inputs, names, held, generator), names, held, along)
                for held in (1, 2, _LENGTH // 2)
            )
    except Exception:  # of any operation: a window is longer than the text …
        return True
    finally:
        for one, value in kept:
            one.assign(value)


def _example(inputs: Any, names: list[str], held: int, generator: np.random.Generator) -> Any:
    """Returns two examples whose texts have some tokens, and padding after them."""

    def made(spec: Spec, name: str) -> np.ndarray:
        shape = (min(_LENGTH, spec.shape[0]),) if name in names else spec.shape
        found: Any = generator.normal(size=(2, *shape))
        if "int" in spec.dtype:
            found = generator.integers(1, spec.vocabulary_size or 2, (2, *shape))
        if name in names:
            found[:, held:] = spec.padding_value
        return np.asarray(found, spec.dtype)

    return map_fields(made, inputs, _own_names(inputs))


def _own_names(inputs: Any) -> Any:
    return {name: name for name in inputs} if isinstance(inputs, Mapping) else ""


def _differs(
    model: keras.Model, whole: Any, names: list[str], held: int, along: str | None
) -> bool:
    short = map_fields(
        lambda one, name: one[:, :held] if name in names else one, whole, _own_names(whole)
    )
    one, other = (keras.ops.convert_to_numpy(model(x, training=False)) for x in (whole, short))
    one = one if along is None else one[:, :held]  # the scores of padding do not count
    return one.shape != other.shape or not np.allclose(one, other, rtol=_CLOSE, atol=_CLOSE)


def _trimmed_batch(
    names: Mapping[str, Spec], along: str | None, inputs: Any, *rest: Any
) -> tuple[Any, ...]:
    inputs = _trimmed(inputs, names)
    if along is None:
        return (inputs, *rest)
    length = tf.shape(inputs[along] if along else inputs)[1]
    return (inputs, *(one if one.shape.rank == 1 else one[:, :length] for one in rest))


def _trimmed(inputs: Any, names: Mapping[str, Spec]) -> Any:
    if not isinstance(inputs, Mapping):
        return _cut(inputs, names[""])
    return {
        name: _cut(value, names[name]) if name in names else value for name, value in inputs.items()
    }


def _cut(tokens: tf.Tensor, spec: Spec) -> tf.Tensor:
    """Returns tokens up to the last one of the batch that is not padding; at least one."""
    held = tf.reduce_any(tokens != tf.cast(spec.padding_value, tokens.dtype), axis=0)
    places = tf.where(held, tf.range(1, tf.shape(tokens)[1] + 1), 1)
    return tokens[:, : tf.reduce_max(places)]
