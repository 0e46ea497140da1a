"""Checks whether a model fits the data and the task."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
from hydra.utils import get_object

from kx.contracts.fields import map_fields, named_fields
from kx.contracts.specs import Data, Outputs, Spec, Specs
from kx.contracts.task import Task
from kx.errors import ConfigError

# What a model may override to train in its own way. Inside another model they are not called.
STEPS = (
    "train_step", "test_step", "predict_step", "compute_loss", "compute_metrics",
    "fit", "make_train_function", "make_test_function", "make_predict_function",
)  # fmt: skip


def normalized_specs(data: Data, task: Task) -> Specs:
    """Returns the specs of what the model's builder receives: floats where they are normalized.

    Args:
        data: Data with the specs and the normalization.
        task: Task, which may have inputs of its own. These are not normalized.
    """
    if task.inputs is not None:
        return task.inputs
    layers = named_fields(data.normalize, "")
    if not isinstance(data.inputs, Spec):
        return {
            name: replace(spec, dtype=keras.config.floatx()) if layers.get(name) else spec
            for name, spec in data.inputs.items()
        }
    if data.normalize is None:
        return data.inputs
    return replace(data.inputs, dtype=keras.config.floatx())


def ends_of(model: keras.Model) -> tuple[Any, Any]:
    """Returns the inputs and the outputs of a model: one tensor, or tensors by name.

    Args:
        model: Functional or Sequential model.
    """
    # A Sequential model that was not called has them in lists alone.
    inputs, outputs = getattr(model, "input", None), getattr(model, "output", None)
    if inputs is None or outputs is None:
        return model.inputs[0], model.outputs[0]
    return inputs, outputs


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
    """Raises an error for a builder's model with its own training step.

    Args:
        core: Model that a builder returned.

    Raises:
        ConfigError: If the model overrides methods that would not be called. It names them.
    """
    own = own_methods(core, STEPS)
    if own:
        raise ConfigError(
            f"The model {core.name!r} ({type(core).__name__}) has a {' and a '.join(own)} of its"
            " own. A builder returns a model that gives scores; how it is trained belongs to the"
            " task: kx.Task(…, learner=…), a function from that model to a keras.Model that holds"
            " it and has the step (docs/architecture.md, Learners)."
        )


def refuse_several_fields(target: str, specs: Specs) -> None:
    """Raises an error if a builder takes one value, and an example has fields by name.

    Args:
        target: Path of the builder.
        specs: Spec of one example, or of each of its fields.

    Raises:
        ConfigError: If its argument `inputs` is annotated as one `Spec`.
    """
    parameters = inspect.signature(get_object(target)).parameters
    annotation = getattr(parameters.get("inputs"), "annotation", None)
    name = getattr(annotation, "__name__", str(annotation)).rpartition(".")[2]
    if isinstance(specs, Mapping) and name == "Spec":
        raise ConfigError(
            f"model ({target}) takes one value. The examples have the fields {', '.join(specs)}:"
            " model=fusion, or a builder of yours that takes a mapping of specs."
        )


def output_shape(core: keras.Model, inputs: Specs) -> Any:
    """Returns the output shape of a model, also of a subclassed one; several by name or in a list.

    Args:
        core: Built model.
        inputs: Spec of one example, or of each of its fields.
    """
    named = getattr(core, "output", None)
    if isinstance(named, Mapping):  # Keras has their shapes in a list
        return {name: tensor.shape for name, tensor in named.items()}
    known = getattr(core, "output_shape", None)
    if known is not None:
        return known
    scores = core(map_fields(lambda spec: keras.Input(spec.shape, dtype=spec.dtype), inputs))
    return keras.tree.map_structure(lambda tensor: tensor.shape, scores)


def check_scores(core: keras.Model, task: Task, data: Data) -> None:
    """Raises an error if the output of a model cannot be the task's scores.

    Args:
        core: Model.
        task: Task, for the output that it needs, or outputs by name.
        data: Data, for the shape and dtype of an example.

    Raises:
        ConfigError: If the model takes other examples, has other inputs or outputs than the task,
            another number of scores, or probabilities instead of raw scores.
    """
    outputs = task.outputs
    _check_inputs(core, data.inputs if task.inputs is None else task.inputs)
    shape = output_shape(core, normalized_specs(data, task))
    if isinstance(outputs, Mapping):
        if not isinstance(shape, Mapping) or set(shape) != set(outputs):
            has = ", ".join(shape) if isinstance(shape, Mapping) else f"shape {shape}"
            raise ConfigError(
                f"The model {core.name!r} must have outputs by name: {', '.join(outputs)}."
                f" Received: {has}. A builder returns keras.Model(inputs, {{name: scores}})."
            )
        for name, output in outputs.items():
            _check_shape(f"{core.name!r} ({name})", shape[name], output)
    else:
        if not (isinstance(shape, tuple) and all(isinstance(n, int | None) for n in shape)):
            raise ConfigError(
                f"The model {core.name!r} has several outputs, of shapes {shape}. Expected one"
                f" tensor: {outputs.units} scores for each example."
            )
        _check_shape(f"{core.name!r}", shape, outputs)
    activation = _last_activation(core)
    if activation in ("softmax", "sigmoid"):
        raise ConfigError(
            f"The model {core.name!r} ends in a {activation}. kx expects raw scores (logits),"
            " which are more exact: leave the last activation out; `predict` and `export` add it."
        )


def _check_inputs(core: keras.Model, specs: Specs) -> None:
    """Raises `ConfigError` if a model takes other examples."""
    inputs = getattr(core, "inputs", None)
    if not inputs:
        return
    if isinstance(specs, Spec) and len(inputs) > 1:
        names = ", ".join(str(one.name) for one in inputs)
        raise ConfigError(
            f"The model {core.name!r} has {len(inputs)} inputs: {names}. The data has one field."
        )
    if not isinstance(specs, Spec) and {one.name for one in inputs} != set(specs):
        raise ConfigError(
            f"The model {core.name!r} has the inputs {', '.join(str(one.name) for one in inputs)}."
            f" The data has the fields {', '.join(specs)}: expected a keras.Input(…, name=FIELD) of"
            " each (kx.models.layers.towers, or data without the field)."
        )
    for one in inputs:
        spec = specs if isinstance(specs, Spec) else specs[one.name]
        takes, given = one.shape[1:], spec.shape
        same = all(t in (None, g) for t, g in zip(takes, given, strict=False))
        if not (same and len(takes) == len(given)):
            what = "" if isinstance(specs, Spec) else f" as {one.name!r}"
            raise ConfigError(
                f"The model {core.name!r} takes examples of shape {tuple(takes)}{what}. The data"
                f" has examples of shape {tuple(given)}: keras.Input({tuple(given)}), or another"
                " data."
            )


def _check_shape(name: str, shape: Any, outputs: Outputs) -> None:
    """Raises `ConfigError` if an output has another number of scores, or other axes."""
    axes = outputs.axes
    fits = len(shape) == 2 + len(axes) if axes else len(shape) >= 2
    fits = fits and all(
        None in (want, has) or want == has for want, has in zip(axes, shape[1:-1], strict=False)
    )
    if fits and shape[-1] == outputs.units:
        return
    names = ", ".join(outputs.class_names or ())
    what = f" (classes: {names[:200]})" if names else ""
    where = f" at each of {axes}" if axes else " for each example"
    raise ConfigError(
        f"The model {name} must give {outputs.units} scores{where}{what}."
        f" Received: output shape {shape}. A builder takes the number from"
        " `outputs.units`."
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
