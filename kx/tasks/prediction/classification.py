"""Multi-class classification: one class for each example."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import tensorflow as tf

from kx.contracts.answers import Answers
from kx.contracts.specs import Outputs, Spec, Specs
from kx.contracts.task import Task, average_probabilities, encode_targets
from kx.contracts.task_checks import check_class_weights, check_loss, one_class_each
from kx.tasks.baselines import of_classes
from kx.types import Count, Fraction


def classification(
    targets: Spec,
    *,
    monitor: str = "val_accuracy",
    monitor_mode: str = "max",
    label_smoothing: Fraction = 0.0,
    top_k: Count = 5,
    class_weights: Any = None,
    loss: Any = None,
    inputs: Specs | None = None,
) -> Task:
    """Makes the task of predicting one of several classes.

    Args:
        targets: Spec of class indices, with `class_names`.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_accuracy"`.
        monitor_mode: `"max"` or `"min"`. Defaults to `"max"`.
        label_smoothing: Label smoothing of the default loss (Szegedy et al. 2015, section 7).
            Defaults to 0.
        top_k: Number k of the top-k accuracy, measured if there are more than k classes. Defaults
            to 5.
        class_weights: Weights of the examples in the training loss: None for 1; `"balanced"` for
            the inverse of the class's share of the training split, 1 on average; or weights by
            class name, 1 for classes that are not named. Validation, test and metrics count each
            example once. Defaults to None.
        loss: Keras loss on one-hot targets and raw scores. Defaults to None: categorical
            cross-entropy.
        inputs: Spec of one prepared input, or of each of its fields, for the baselines of the
            report. Defaults to None: the most frequent class alone.

    Returns:
        Task whose models give one score for each class.

    Example:
    >>> classification(Spec((), "int32", class_names=("cat", "dog"))).outputs.units
    2
    """
    num_classes = one_class_each(targets, "classification")
    names = targets.class_names
    assert names is not None

    def metrics() -> list[keras.metrics.Metric]:
        found = [keras.metrics.CategoricalAccuracy(name="accuracy")]
        if num_classes > top_k:
            name = f"top_{top_k}_accuracy"
            found.append(keras.metrics.TopKCategoricalAccuracy(k=top_k, name=name))
        return found

    return Task(
        outputs=Outputs(num_classes, names),
        encode=encode_targets(partial(tf.one_hot, depth=num_classes)),
        loss=check_loss(
            loss,
            lambda: keras.losses.CategoricalCrossentropy(
                from_logits=True, label_smoothing=label_smoothing
            ),
        ),
        metrics=metrics,
        decode=partial(decode, names),
        report=partial(_report, names, top_k),
        monitor=monitor,
        monitor_mode=monitor_mode,
        baselines=of_classes(inputs, num_classes),
        average=average_probabilities,
        class_weights=check_class_weights(class_weights, names),
    )


def decode(class_names: tuple[str, ...], scores: Any) -> dict[str, Any]:
    """Returns labels, confidences and probabilities of a batch of scores.

    Args:
        class_names: Name of each class.
        scores: Raw scores, shape `(batch, num_classes)`.

    Returns:
        Tensors `"label"` and `"confidence"`, shape `(batch,)`, and `"probabilities"`, shape
        `(batch, num_classes)`.
    """
    probabilities = tf.nn.softmax(tf.cast(scores, tf.float32))
    best = tf.argmax(probabilities, axis=-1)
    return {
        "label": tf.gather(tf.constant(class_names), best),
        "confidence": tf.reduce_max(probabilities, axis=-1),
        "probabilities": probabilities,
    }


def _report(class_names: tuple[str, ...], top_k: int, answers: Answers, options: Any) -> Any:
    from scipy.special import softmax

    from kx.report.classes import class_findings

    probabilities = softmax(answers.scores.astype("float64"), axis=-1)
    return class_findings(answers.targets, probabilities, class_names, options, top_k=top_k)
