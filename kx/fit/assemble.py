"""Builds the model, its phases and its optimizer."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
from omegaconf import DictConfig

from kx.config import build, plain
from kx.contracts.specs import Data, Outputs, Spec
from kx.contracts.task import Task
from kx.errors import ConfigError
from kx.transfer import Phase

# What a model may override to train in its own way. Inside another model they are not called.
_STEPS = (
    "train_step", "test_step", "predict_step", "compute_loss", "compute_metrics",
    "fit", "make_train_function", "make_test_function", "make_predict_function",
)  # fmt: skip


def assemble(
    config: DictConfig, data: Data, task: Task, core: keras.Model | None = None
) -> keras.Model:
    """Builds the model that is trained and saved: normalization, then the config's model.

    Args:
        config: Config of the run.
        data: Data, for the specs and the normalization.
        task: Task, for the outputs that the model must have.
        core: Model in place of the config's. Defaults to None: the config's.

    Raises:
        ConfigError: If the outputs of the model are not the scores that the task needs.
    """
    remat = config.rematerialize
    with keras.RematScope(mode=remat) if remat else contextlib.nullcontext():
        if core is None:
            inputs = data.inputs
            if data.normalize is not None:
                inputs = replace(inputs, dtype=keras.config.floatx())
            core = build(config.model, inputs, task.outputs, place="model")
            if not isinstance(core, keras.Model):
                raise ConfigError(
                    f"model ({config.model['_target_']}): expected a keras.Model."
                    f" Received: {core!r}."
                )
        check_scores(core, task.outputs, data)
        as_it_is = data.normalize is None and getattr(core, "inputs", None)
        if as_it_is and core.inputs[0].dtype == data.inputs.dtype:
            return core
        refuse_own_steps(core)
        x = keras.Input(data.inputs.shape, dtype=data.inputs.dtype, name="inputs")
        h = data.normalize(x) if data.normalize is not None else x
        return keras.Model(x, core(h), name=core.name)


def own_methods(model: keras.Model, names: Sequence[str]) -> list[str]:
    """Returns which methods of `keras.Model` a model overrides, in its class or by itself.

    Args:
        model: Model.
        names: Names of methods.
    """
    return [
        name
        for name in names
        if name in vars(model) or getattr(type(model), name) is not getattr(keras.Model, name)
    ]


def refuse_own_steps(core: keras.Model) -> None:
    """Raises an error for a model with its own training step that would be nested in another.

    Args:
        core: Model.

    Raises:
        ConfigError: If the model overrides methods that would not be called. It names them.
    """
    own = own_methods(core, _STEPS)
    if own:
        raise ConfigError(
            f"The model {core.name!r} ({type(core).__name__}) has a {' and a '.join(own)} of its"
            " own, which would be left out: kx puts a layer before it that brings the examples"
            " into its form, and trains that model. Give a functional model of keras.Input(shape,"
            " dtype) as the examples are (data.normalize=none, where the data has it), or one"
            " without steps of its own, its loss as task.loss."
        )


def output_shape(core: keras.Model, inputs: Spec) -> Any:
    """Returns the output shape of a model, also of a subclassed one, or a list for several outputs.

    Args:
        core: Built model.
        inputs: Spec of one example.
    """
    known = getattr(core, "output_shape", None)
    if known is not None:
        return known
    scores = core(keras.Input(inputs.shape, dtype=inputs.dtype))
    return keras.tree.map_structure(lambda tensor: tensor.shape, scores)


def check_scores(core: keras.Model, outputs: Outputs, data: Data) -> None:
    """Raises an error if the output of a model cannot be the task's scores.

    Args:
        core: Model.
        outputs: Outputs that the task needs.
        data: Data, for the shape and dtype of an example.

    Raises:
        ConfigError: If the model takes other examples, has several inputs or outputs, another
            number of scores, or probabilities instead of raw scores.
    """
    inputs = getattr(core, "inputs", None) or [None]
    takes = getattr(inputs[0], "shape", (None,))[1:]
    given = data.inputs.shape
    same = all(t in (None, g) for t, g in zip(takes, given, strict=False))
    if inputs[0] is not None and not (same and len(takes) == len(given)):
        raise ConfigError(
            f"The model {core.name!r} takes examples of shape {tuple(takes)}. The data has"
            f" examples of shape {tuple(given)}: keras.Input({tuple(given)}), or another data."
        )
    if len(inputs) > 1:
        names = ", ".join(str(one.name) for one in inputs)
        raise ConfigError(
            f"The model {core.name!r} has {len(inputs)} inputs: {names}. Expected one."
        )
    floats = replace(data.inputs, dtype=keras.config.floatx())
    shape = output_shape(core, data.inputs if data.normalize is None else floats)
    several = not (isinstance(shape, tuple) and all(isinstance(n, int | None) for n in shape))
    if several:
        raise ConfigError(
            f"The model {core.name!r} has several outputs, of shapes {shape}. Expected one tensor:"
            f" {outputs.units} scores for each example."
        )
    if len(shape) < 2 or shape[-1] != outputs.units:
        names = ", ".join(outputs.class_names or ())
        what = f" (classes: {names[:200]})" if names else ""
        raise ConfigError(
            f"The model {core.name!r} must give {outputs.units} scores for each example{what}."
            f" Received: output shape {shape}. A builder takes the number from"
            " `outputs.units`."
        )
    activation = _last_activation(core)
    if activation in ("softmax", "sigmoid"):
        raise ConfigError(
            f"The model {core.name!r} ends in a {activation}. kx expects raw scores (logits),"
            " which are more exact: leave the last activation out; `predict` and `export` add it."
        )


def _last_activation(core: Any) -> str:
    """Returns the name of the last activation of a model, or of its last layer or operation."""
    last = core.layers[-1] if getattr(core, "layers", None) else None
    outputs = getattr(core, "outputs", None)
    if outputs and hasattr(outputs[0], "_keras_history"):
        last = outputs[0]._keras_history.operation
    if isinstance(last, keras.Model) and last is not core:
        return _last_activation(last)
    named = getattr(getattr(last, "activation", None), "__name__", "")
    return named if named not in ("", "linear") else type(last).__name__.lower()


def make_phases(config: DictConfig) -> list[Phase]:
    """Returns the phases of a training: one, or those that `transfer` plans.

    Args:
        config: Config of the run.
    """
    if not config.transfer:
        return [Phase("training", config.epochs)]
    return list(build(config.transfer, config.epochs, place="transfer"))


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
        raise ConfigError(
            f"init_from={name}: the model {model.name!r} has {len(shapes)} weights, that of"
            f" the run has {len(others)}.{where} Both need the same model and data shapes."
        )
    for weight, other in zip(model.weights, source, strict=True):
        weight.assign(other)
