"""The contract of a task, and what most tasks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from kx.contracts.findings import Findings


@dataclass
class Task:
    """Holds what is being learnt.

    Args:
        outputs: what the model must give.
        encode: function, in TensorFlow's graph, from a batch of targets to what
            loss and metrics take.
        loss: on encoded targets and scores.
        metrics: function that makes new Keras metrics (they belong to one model).
        decode: function, in TensorFlow's graph, from a batch of scores to
            answers by name: `{"label": …, "confidence": …, "probabilities": …}`.
        report: function `(targets, scores, options) -> Findings` on NumPy arrays.
        monitor: the metric by which runs and epochs are judged, as Keras names
            it: `val_accuracy`.
        monitor_mode: `"max"` or `"min"`.
        class_weights: how much an example of a class counts in the training's loss: None for
            1, `"balanced"`, or one number for each class. Encoded targets have a number for
            each class then, and sum to 1.
        average: function from the scores of several models, or of several views of an
            example, of shape `(num, batch, units)`, to those of all together. Defaults to
            their mean.
    """

    outputs: Outputs
    encode: Callable[[Any], Any]
    loss: keras.losses.Loss
    metrics: Callable[[], list[keras.metrics.Metric]]
    decode: Callable[[Any], dict[str, Any]]
    report: Callable[[Any, Any, Any], Findings]
    monitor: str
    monitor_mode: str
    class_weights: str | tuple[float, ...] | None = None
    average: Callable[[Any], Any] = partial(keras.ops.mean, axis=0)

    def compile(
        self, model: keras.Model, optimizer: keras.optimizers.Optimizer, **options: Any
    ) -> None:
        """Compiles a model for this task.

        Args:
            model: that gives `outputs.units` scores.
            optimizer: the optimizer.
            **options: of `keras.Model.compile`: `jit_compile`, `run_eagerly` …
        """
        model.compile(optimizer=optimizer, loss=self.loss, metrics=self.metrics(), **options)

    def monitors(self, *, with_validation: bool) -> list[str]:
        """Returns the metrics that callbacks can look at."""
        names = ["loss", *(metric.name for metric in self.metrics())]
        return names + [f"val_{name}" for name in names if with_validation]


def average_probabilities(scores: Any) -> Any:
    """Returns the scores whose softmax is the mean of several scores' softmax.

    Args:
        scores: shape `(num, batch, num_classes)`.

    Source: Lakshminarayanan et al. 2017, "Simple and scalable predictive uncertainty
    estimation using deep ensembles", section 2.4.

    Example:
    >>> scores = keras.ops.array([[[0.0, 20.0]], [[0.0, 0.0]]])  # of a sure model, and another
    >>> keras.ops.softmax(average_probabilities(scores)).numpy().round(2).tolist()
    [[0.25, 0.75]]
    """
    return keras.ops.logsumexp(keras.ops.log_softmax(scores, axis=-1), axis=0) - math.log(
        scores.shape[0]
    )


def average_sigmoid(scores: Any) -> Any:
    """Returns the log-odds whose sigmoid is the mean of several log-odds' sigmoid.

    Args:
        scores: shape `(num, batch, num_labels)`.
    """
    # log(mean p) - log(mean (1 - p)), without the rounding of p to 1
    given = keras.ops.logsumexp(keras.ops.log_sigmoid(scores), axis=0)
    return given - keras.ops.logsumexp(keras.ops.log_sigmoid(-scores), axis=0)


def one_class_each(targets: Spec, task: str) -> int:
    """Returns the number of classes, of targets that are one class for each example.

    Raises:
        ConfigError: if they are not, with the tasks that fit, or if there is one class only.
    """
    if targets.class_names is None or targets.shape != ():
        what = "numbers" if targets.class_names is None else "several labels for each example"
        fitting = "regression" if targets.class_names is None else "multilabel"
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
    """Returns the class weights of a config: a name's weight by its place.

    Args:
        given: None, `"balanced"`, or names and their weights; others count 1.
        class_names: one for each class.

    Raises:
        ConfigError: for another word, an unknown class, or a weight that is none.
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
        raise ConfigError("task.class_weights: each class counts 0, and nothing would be learnt.")
    return counts


def check_loss(loss: Any, default: Callable[[], keras.losses.Loss]) -> keras.losses.Loss:
    """Returns the loss of a config, or the default.

    Raises:
        ConfigError: if it is no Keras loss, or one that takes probabilities.
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
