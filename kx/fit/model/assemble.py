"""Builds the model, its phases and its optimizer."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras
from omegaconf import DictConfig

from kx.config import build, plain
from kx.contracts.fields import named_fields
from kx.contracts.specs import Data, DataIssue, Spec, Specs
from kx.contracts.task import Task
from kx.errors import ConfigError
from kx.fit.model.checks import (
    STEPS,
    check_scores,
    normalized_specs,
    own_methods,
    refuse_own_steps,
    refuse_several_fields,
)
from kx.fit.model.learner import Built, make_learner, refuse_other_backend
from kx.fit.model.trimming import trimmer
from kx.fit.model.vectors import begin_with_vectors


def assemble(
    config: DictConfig,
    data: Data,
    task: Task,
    core: keras.Model | None = None,
    named: Mapping[str, Any] | None = None,
) -> Built:
    """Builds the model that is saved, normalization and then the config's model, and its learner.

    Args:
        config: Config of the run.
        data: Data, for the specs and the normalization.
        task: Task, for the outputs that the model must have.
        core: Model in place of the config's. One with a training step of its own is its own
            learner. Defaults to None: the config's.
        named: Finished runs by argument of the model's builder. Defaults to None: none.

    Raises:
        ConfigError: If the outputs of the model are not the scores that the task needs.
    """
    remat = config.rematerialize
    with keras.RematScope(mode=remat) if remat else contextlib.nullcontext():
        own = core is not None and bool(own_methods(core, STEPS))
        if core is None:
            specs = normalized_specs(data, task)
            refuse_several_fields(config.model["_target_"], specs)
            core = build(config.model, specs, task.outputs, place="model", **(named or {}))
            if not isinstance(core, keras.Model):
                raise ConfigError(
                    f"model ({config.model['_target_']}): expected a keras.Model."
                    f" Received: {core!r}."
                )
            refuse_own_steps(core)
        begin_with_vectors(core, data)
        (task.check or partial(check_scores, task=task, data=data))(core)
        model, feed = core, None
        if task.inputs is None and not (
            data.normalize is None and _takes_as_it_is(core, data.inputs)
        ):
            model = _normalizing(core, data)
            feed = partial(_normalized, data) if own and data.normalize is not None else None
        if not own:
            trim = trimmer(config, data, task, model)
            return Built(model, make_learner(task, model), trim)
        if task.learner is not None:
            raise ConfigError(
                f"The model {core.name!r} ({type(core).__name__}) has a training step of its own,"
                " and so has the task. Give a model without one, or task=classification …"
            )
        refuse_other_backend(core)
        return Built(model, core, feed)


def _normalized(data: Data, inputs: Any, *rest: Any) -> tuple[Any, ...]:
    """Returns a batch whose inputs are normalized, in TensorFlow's graph."""
    layers = named_fields(data.normalize, "")
    found = {
        name: value if layers.get(name) is None else layers[name](value)
        for name, value in named_fields(inputs, "").items()
    }
    return (found if isinstance(inputs, Mapping) else found[""], *rest)


def _takes_as_it_is(core: keras.Model, inputs: Specs) -> bool:
    """Returns whether a model's inputs have the names and dtypes of the prepared examples."""
    if not getattr(core, "inputs", None):
        return False
    if isinstance(inputs, Spec):
        return bool(core.inputs[0].dtype == inputs.dtype)
    return {one.name: one.dtype for one in core.inputs} == {n: s.dtype for n, s in inputs.items()}


def _normalizing(core: keras.Model, data: Data) -> keras.Model:
    """Returns a model of normalization layers before a model."""
    layers = named_fields(data.normalize, "")

    def normalized(name: str, spec: Spec) -> tuple[keras.KerasTensor, Any]:
        x = keras.Input(_shape_in(core, name, spec), dtype=spec.dtype, name=name or "inputs")
        layer = layers.get(name)
        return x, x if layer is None else layer(x)

    made = {name: normalized(name, spec) for name, spec in named_fields(data.inputs, "").items()}
    if isinstance(data.inputs, Spec):
        x, h = made[""]
        return keras.Model(x, core(h), name=core.name)
    inputs = {name: x for name, (x, _) in made.items()}
    return keras.Model(inputs, core({name: h for name, (_, h) in made.items()}), name=core.name)


def _shape_in(core: keras.Model, name: str, spec: Spec) -> tuple[int | None, ...]:
    """Returns the shape of a field, with None for an axis of which the model takes any length."""
    taken = getattr(core, "inputs", None) or ()
    shapes = [one.shape[1:] for one in taken if not name or one.name == name]
    if len(shapes) != 1 or len(shapes[0]) != len(spec.shape):
        return spec.shape
    return tuple(
        None if one is None else size for one, size in zip(shapes[0], spec.shape, strict=True)
    )


def make_optimizer(
    config: DictConfig,
    steps_per_epoch: int,
    *,
    epochs: int | None = None,
    learning_rate: float | None = None,
) -> keras.optimizers.Optimizer:
    """Builds the optimizer, with its learning-rate schedule if there is one.

    Args:
        config: Config of the run.
        steps_per_epoch: Number of batches in an epoch.
        epochs: Number of epochs of the schedule. Defaults to None: all epochs of the run.
        learning_rate: Learning rate in place of the config's. Defaults to None: the config's.
    """
    node = plain(config.optimizer, resolve=True)
    if learning_rate is not None:
        node["learning_rate"] = learning_rate
    if not config.schedule:
        return build(node, place="optimizer")
    # Keras counts the steps of a schedule in batches, also when gradients are accumulated.
    schedule = build(
        config.schedule,
        node.pop("learning_rate"),
        steps_per_epoch,
        config.epochs if epochs is None else epochs,
        place="schedule",
    )
    return build(node, learning_rate=schedule, place="optimizer")


def begin_from(run: Any, model: keras.Model, data: Data) -> None:
    """Sets the weights of a model to those of a finished run (`init_from`).

    Args:
        run: Finished run.
        model: Model to change.
        data: Data of the model; it is told if the tokens of the run stand for other words.

    Raises:
        ConfigError: If the number or the shapes of the weights differ.
    """
    load_weights(model, run.model().weights, run.name)
    data.issues += other_vocabulary(run.bundle().spec()["inputs"], data, run.name)


def other_vocabulary(inputs: Specs, data: Data, name: str) -> tuple[DataIssue, ...]:
    """Returns an issue if the tokens of a run stand for other words than those of data.

    Args:
        inputs: Specs of the inputs of the run.
        data: Data.
        name: Name of the run.
    """
    here, there = (named_fields(specs, "") for specs in (data.inputs, inputs))
    known = {name: (spec.vocabulary, there[name].vocabulary) for name, spec in here.items()
             if name in there}  # fmt: skip
    differ = [name for name, (one, other) in known.items() if one and other and one != other]
    text = f"its tokens stand for other words: the embeddings of {name} begin as those of others"
    return tuple(DataIssue(f"init_from {field}".strip(), "kept", text) for field in differ)


def load_weights(model: keras.Model, source: Sequence[Any], name: str) -> None:
    """Sets the weights of a model to those of a finished run's model (`init_from`).

    Args:
        model: Model to change.
        source: Weights of that run's model.
        name: Name of the run in the config, for messages.

    Raises:
        ConfigError: If the number or the shapes of the weights differ.
    """
    shapes = [tuple(weight.shape) for weight in model.weights]
    others = [tuple(weight.shape) for weight in source]
    if shapes != others:
        differs = [(a, b) for a, b in zip(shapes, others, strict=False) if a != b]
        where = (
            f" First difference: {differs[0][0]} here, {differs[0][1]} there." if differs else ""
        )
        if any(getattr(layer, "lora_enabled", False) for layer in model._flatten_layers()):
            where += " A model with LoRA is kept with merged weights: set model.lora_rank=null."
        raise ConfigError(
            f"init_from={name}: the model {model.name!r} has {len(shapes)} weights, that of"
            f" the run has {len(others)}.{where} Both need the same model and data shapes."
        )
    for weight, other in zip(model.weights, source, strict=True):
        weight.assign(other)
