"""Binary classification: one sigmoid score for each example."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from kx.contracts.answers import Answers
from kx.contracts.specs import Outputs, Spec, Specs
from kx.contracts.task import Task, average_sigmoid, encode_targets
from kx.contracts.task_checks import check_class_weights, check_loss, one_class_each
from kx.errors import ConfigError
from kx.tasks.baselines import of_two
from kx.tasks.metrics import AccuracyOnScores, AreaUnderCurve
from kx.types import Fraction, OpenFraction


def binary(
    targets: Spec,
    *,
    monitor: str = "val_accuracy",
    monitor_mode: str = "max",
    label_smoothing: Fraction = 0.0,
    threshold: OpenFraction = 0.5,
    class_weights: Any = None,
    loss: Any = None,
    inputs: Specs | None = None,
) -> Task:
    """Makes the task of predicting one of two classes by one score.

    Args:
        targets: Spec of class indices, with two `class_names`.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_accuracy"`.
        monitor_mode: `"max"` or `"min"`. Defaults to `"max"`.
        label_smoothing: Label smoothing of the default loss. Defaults to 0.
        threshold: Probability from which the second class is predicted. Defaults to 0.5.
        class_weights: Weights of the examples in the training loss: None for 1; `"balanced"` for
            the inverse of the class's share of the training split, 1 on average; or weights by
            class name, 1 for classes that are not named. Validation, test and metrics count each
            example once. Defaults to None.
        loss: Keras loss on targets of shape `(batch, 1)` and raw scores. Defaults to None: binary
            cross-entropy.
        inputs: Spec of one prepared input, or of each of its fields, for the baselines of the
            report. Defaults to None: the most frequent class alone.

    Returns:
        Task whose models give one score: the log-odds of the second class.

    Raises:
        ConfigError: If the number of classes is not two.
    """
    num_classes = one_class_each(targets, "binary")
    names = targets.class_names
    assert names is not None
    if num_classes != 2:
        raise ConfigError(
            f"task=binary expects two classes. The data has {num_classes}: task=classification."
        )

    def metrics() -> list[keras.metrics.Metric]:
        at = math.log(threshold / (1 - threshold))  # the threshold on raw scores
        return [
            AccuracyOnScores(threshold=at, name="accuracy"),
            AreaUnderCurve(from_logits=True, name="auc"),
        ]

    return Task(
        outputs=Outputs(1, names),
        encode=encode_targets(lambda labels: tf.cast(labels, tf.float32)[:, None]),
        loss=check_loss(
            loss,
            lambda: keras.losses.BinaryCrossentropy(
                from_logits=True, label_smoothing=label_smoothing
            ),
        ),
        metrics=metrics,
        decode=partial(decode, names, threshold),
        report=partial(_report, names, threshold),
        monitor=monitor,
        monitor_mode=monitor_mode,
        baselines=of_two(inputs),
        average=average_sigmoid,
        class_weights=check_class_weights(class_weights, names),
    )


def decode(class_names: tuple[str, ...], threshold: float, scores: Any) -> dict[str, Any]:
    """Returns labels, confidences and the probabilities of both classes.

    Args:
        class_names: Names of the two classes.
        threshold: Probability from which the second class is predicted.
        scores: Raw scores, shape `(batch, 1)`.

    Returns:
        Tensors `"label"` and `"confidence"`, shape `(batch,)`, and `"probabilities"`, shape
        `(batch, 2)`.
    """
    second = tf.sigmoid(tf.cast(scores, tf.float32))
    probabilities = tf.concat([1 - second, second], axis=-1)
    chosen = tf.cast(second[:, 0] >= threshold, tf.int32)
    return {
        "label": tf.gather(tf.constant(class_names), chosen),
        "confidence": tf.gather(probabilities, chosen, batch_dims=1),
        "probabilities": probabilities,
    }


def _report(class_names: tuple[str, ...], threshold: float, answers: Answers, options: Any) -> Any:
    import numpy as np
    from scipy.special import expit

    from kx.report.classes import class_findings

    second = expit(answers.scores.astype("float64"))
    probabilities = np.concatenate([1 - second, second], axis=-1)
    chosen = (second[:, 0] >= threshold).astype("int64")
    return class_findings(answers.targets, probabilities, class_names, options, answers=chosen)
