"""Checks of what a config gives to a task: classes, class weights, losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from kx.contracts.specs import Spec
from kx.errors import ConfigError, did_you_mean


def refuse_texts(targets: Spec, task: str) -> None:
    """Raises an error if targets are token ids, which are neither classes nor numbers.

    Args:
        targets: Spec of one target.
        task: Name of the task, for the message.

    Raises:
        ConfigError: If they are.
    """
    if targets.vocabulary_size is not None or targets.dtype == "string":
        raise ConfigError(
            f"task={task} does not write texts, and the targets of the data are texts:"
            " task=translation."
        )


def one_class_each(targets: Spec, task: str) -> int:
    """Returns the number of classes of targets with one class for each example.

    Args:
        targets: Spec of one target.
        task: Name of the task, for messages.

    Raises:
        ConfigError: If the targets are of another kind, or have a single class.
    """
    refuse_texts(targets, task)
    if targets.class_names is None or targets.shape != ():
        what = "numbers" if targets.class_names is None else "several labels for each example"
        fitting = "regression" if targets.class_names is None else "multilabel"
        if targets.kind == "mask":
            what, fitting = "a class for each pixel", "segmentation"
        raise ConfigError(
            f"task={task} expects one class for each example. The data has {what}: task={fitting}."
        )
    if len(targets.class_names) < 2:
        raise ConfigError(
            f"task={task} expects two classes or more. The data has one only:"
            f" {targets.class_names[0]!r}. Is this the column, or the folder, of the classes?"
        )
    return len(targets.class_names)


def check_class_weights(given: Any, class_names: Sequence[str]) -> str | tuple[float, ...] | None:
    """Returns the class weights of a config in the order of the classes.

    Args:
        given: None, `"balanced"`, or class name to weight; a class that is not named has 1.
        class_names: Name of each class.

    Raises:
        ConfigError: If the value is of another kind, a class is unknown, or a weight is negative
            or not finite.
    """
    if given is None or given == "balanced":
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(
            "task.class_weights: expected null, balanced, or {class name: weight}."
            f" Received: {given!r}."
        )
    for name, weight in given.items():
        if str(name) not in class_names:
            raise ConfigError(
                f"task.class_weights: there is no class {name!r}."
                f" {did_you_mean(str(name), class_names)}"
            )
        if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise ConfigError(
                f"task.class_weights.{name}: expected a finite number, 0 or more."
                f" Received: {weight!r}."
            )
    weights = {str(name): float(weight) for name, weight in given.items()}
    if not any(counts := tuple(weights.get(name, 1.0) for name in class_names)):
        raise ConfigError("task.class_weights: each class counts 0, and nothing would be learned.")
    return counts


def check_loss(loss: Any, default: Callable[[], keras.losses.Loss]) -> keras.losses.Loss:
    """Returns the loss of a config, or the default.

    Args:
        loss: Loss of the config, or None.
        default: Function that returns the default loss.

    Raises:
        ConfigError: If the loss is not a Keras loss, or takes probabilities.
    """
    if loss is None:
        return default()
    if not isinstance(loss, keras.losses.Loss):
        raise ConfigError(
            "task.loss: expected a Keras loss: {_target_: keras.losses.NAME, …}."
            f" Received: {loss!r}."
        )
    if getattr(loss, "_fn_kwargs", {}).get("from_logits") is False:
        raise ConfigError(
            f"task.loss: models give raw scores (logits), and {type(loss).__name__} takes"
            " probabilities. Add from_logits: true to it."
        )
    return loss
