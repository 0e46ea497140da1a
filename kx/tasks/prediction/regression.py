"""Regression: numbers that are standardized for the model, and reported in their own unit."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kx.contracts.answers import Answers
from kx.contracts.specs import Outputs, Spec, Specs
from kx.contracts.task import Task, encode_targets
from kx.contracts.task_checks import check_loss, refuse_texts
from kx.errors import ConfigError
from kx.tasks.baselines import of_numbers


def regression(
    targets: Spec,
    *,
    monitor: str = "val_mae",
    monitor_mode: str = "min",
    loss: Any = None,
    inputs: Specs | None = None,
) -> Task:
    """Makes the task of predicting numbers.

    The model learns targets of mean 0 and standard deviation 1 over the training
    split, so that learning rate and penalties do not depend on the unit. The loss
    is that of the standardized targets; metrics and predictions are in the
    target's unit.

    Args:
        targets: Spec of numbers, of shape `()` or `(num_targets,)`, with `mean`
            and `standard_deviation` of the training split.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_mae"`.
        monitor_mode: `"min"` or `"max"`. Defaults to `"min"`.
        loss: Keras loss on standardized targets. Defaults to None: mean squared error.
        inputs: Spec of one prepared input, or of each of its fields, for the baselines of the
            report. Defaults to None: the mean alone.

    Returns:
        Task whose models give one number for each target.

    Raises:
        ConfigError: If the targets are classes, or have more than one axis.
    """
    refuse_texts(targets, "regression")
    if targets.class_names is not None:
        fitting = "classification" if targets.shape == () else "multilabel"
        raise ConfigError(f"task=regression expects numbers. The data has classes: task={fitting}.")
    if len(targets.shape) > 1:
        raise ConfigError(
            "task=regression predicts numbers in a row. The data has targets of shape"
            f" {targets.shape}: reshape them to ({math.prod(targets.shape)},), or write a task for"
            " them (docs/architecture.md, Contracts)."
        )
    units = targets.shape[0] if targets.shape else 1
    mean = np.array(targets.mean or [0.0] * units, dtype="float32")
    deviation = np.array(targets.standard_deviation or [1.0] * units, dtype="float32")
    names = targets.column_names or tuple(f"target_{i}" for i in range(units))

    def absolute(truth: Any, answer: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(truth - answer) * deviation, axis=-1)

    def squared(truth: Any, answer: Any) -> Any:
        return keras.ops.mean(keras.ops.square((truth - answer) * deviation), axis=-1)

    def metrics() -> list[keras.metrics.Metric]:
        return [
            keras.metrics.MeanMetricWrapper(absolute, name="mae"),
            keras.metrics.MeanMetricWrapper(squared, name="mse"),
            keras.metrics.R2Score(name="r2"),
        ]

    def encode(numbers: Any) -> Any:
        return (tf.reshape(tf.cast(numbers, tf.float32), (-1, units)) - mean) / deviation

    def decode(scores: Any) -> dict[str, Any]:
        return {"value": tf.cast(scores, tf.float32) * deviation + mean}

    return Task(
        outputs=Outputs(units, None),
        encode=encode_targets(encode),
        loss=check_loss(loss, keras.losses.MeanSquaredError),
        metrics=metrics,
        decode=decode,
        report=partial(_report, names, mean, deviation),
        monitor=monitor,
        monitor_mode=monitor_mode,
        baselines=of_numbers(inputs, mean, deviation),
    )


def _report(names: Any, mean: Any, deviation: Any, answers: Answers, options: Any) -> Any:
    from kx.report.regression import number_findings

    scores = answers.scores
    truth = answers.targets.reshape(len(scores), -1).astype("float64")
    predicted = scores.astype("float64") * deviation + mean
    return number_findings(truth, predicted, names, options)
