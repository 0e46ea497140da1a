"""Multi-label classification: any number of labels for each example."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from kx.contracts.answers import Answers
from kx.contracts.specs import Outputs, Spec
from kx.contracts.task import Task, average_sigmoid, encode_targets
from kx.contracts.task_checks import check_loss
from kx.errors import ConfigError
from kx.tasks.metrics import AccuracyOnScores, F1OnScores
from kx.types import Fraction, OpenFraction


def multilabel(
    targets: Spec,
    *,
    monitor: str = "val_f1",
    monitor_mode: str = "max",
    label_smoothing: Fraction = 0.0,
    threshold: OpenFraction = 0.5,
    loss: Any = None,
) -> Task:
    """Makes the task of predicting any number of labels.

    Args:
        targets: Spec of vectors of 0 and 1, shape `(num_labels,)`, with `class_names`.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_f1"`.
        monitor_mode: `"max"` or `"min"`. Defaults to `"max"`.
        label_smoothing: Label smoothing of the default loss. Defaults to 0.
        threshold: Probability from which a label is predicted. Defaults to 0.5.
        loss: Keras loss on vectors of 0 and 1 and raw scores. Defaults to None: binary
            cross-entropy.

    Returns:
        Task whose models give one score for each label: its log-odds.

    Raises:
        ConfigError: If the targets are not vectors of labels.
    """
    names = targets.class_names
    if names is None or len(targets.shape) != 1:
        fitting = "regression" if names is None else "classification or task=binary"
        raise ConfigError(
            "task=multilabel expects several labels for each example. For this data:"
            f" task={fitting}."
        )

    def metrics() -> list[keras.metrics.Metric]:
        at = math.log(threshold / (1 - threshold))  # the threshold on raw scores
        return [
            F1OnScores(average="micro", threshold=threshold, name="f1"),
            AccuracyOnScores(threshold=at, name="accuracy"),
        ]

    return Task(
        outputs=Outputs(len(names), names),
        encode=encode_targets(partial(tf.cast, dtype=tf.float32)),
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
        average=average_sigmoid,
    )


def decode(class_names: tuple[str, ...], threshold: float, scores: Any) -> dict[str, Any]:
    """Returns labels (joined by `|`), confidences and probabilities of a batch of scores.

    The confidence of an example is that of its least certain label.

    Args:
        class_names: Name of each label.
        threshold: Probability from which a label is predicted.
        scores: Raw scores, shape `(batch, num_labels)`.

    Returns:
        Tensors `"label"` and `"confidence"`, shape `(batch,)`, and `"probabilities"`, shape
        `(batch, num_labels)`.
    """
    probabilities = tf.sigmoid(tf.cast(scores, tf.float32))
    given = probabilities >= threshold
    names = tf.where(given, tf.constant(class_names)[None, :], "")
    joined = tf.strings.reduce_join(names, axis=-1, separator="|")
    joined = tf.strings.regex_replace(joined, r"\|+", "|")
    sure = tf.where(given, probabilities, 1 - probabilities)
    return {
        "label": tf.strings.regex_replace(joined, r"^\||\|$", ""),
        "confidence": tf.reduce_min(sure, axis=-1),
        "probabilities": probabilities,
    }


def _report(class_names: tuple[str, ...], threshold: float, answers: Answers, options: Any) -> Any:
    from scipy.special import expit

    from kx.report.multilabel import label_findings

    return label_findings(
        answers.targets, expit(answers.scores.astype("float64")), class_names, threshold, options
    )
