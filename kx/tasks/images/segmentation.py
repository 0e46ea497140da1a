"""Segmentation: a class for each pixel of an image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from kx.contracts.answers import Answers
from kx.contracts.specs import Outputs, Spec
from kx.contracts.task import Task, average_probabilities, encode_targets
from kx.contracts.task_checks import check_class_weights, check_loss
from kx.errors import ConfigError
from kx.types import NonNegative

_SMOOTH = 1.0  # pixels added to both parts of the Dice coefficient of a class


def segmentation(
    targets: Spec,
    *,
    monitor: str = "val_mean_iou",
    monitor_mode: str = "max",
    dice_weight: NonNegative = 1.0,
    class_weights: Any = None,
    loss: Any = None,
) -> Task:
    """Makes the task of finding the class of each pixel.

    Pixels of the mask's ignored class (its `padding_value`) count in no loss and no score.

    Args:
        targets: Spec of a mask: kind `"mask"`, with `class_names`.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_mean_iou"`.
        monitor_mode: `"max"` or `"min"`. Defaults to `"max"`.
        dice_weight: Weight of the Dice loss, which is added to the cross entropy. Defaults to 1.
        class_weights: Weights of pixels in the cross entropy by class name, 1 for classes that
            are not named. Defaults to None: 1.
        loss: Keras loss on class indices and raw scores, in place of both. Defaults to None.

    Returns:
        Task whose models give one score for each class at each pixel.

    Raises:
        ConfigError: If the targets are no masks.

    Source: Milletari et al. 2016, "V-Net", section 3 (Dice); Everingham et al. 2010, section 4.3
    (intersection over union).

    Example:
    >>> mask = Spec((8, 8), "int32", class_names=("ground", "cat"), kind="mask")
    >>> segmentation(mask).outputs.shape
    (8, 8, 2)
    """
    if targets.kind != "mask" or targets.class_names is None or len(targets.shape) != 2:
        raise ConfigError(
            "task=segmentation expects a mask: a class for each pixel. Received: targets of shape"
            f" {targets.shape}, kind {targets.kind!r}. Take data=image_masks, or a data function"
            " whose target_spec is kx.Spec((height, width), 'int32', class_names=…, kind='mask')."
        )
    names = targets.class_names
    ignored = None if targets.padding_value is None else int(targets.padding_value)
    if class_weights == "balanced":
        raise ConfigError(
            "task.class_weights: expected null, or {class name: weight} for masks. Received:"
            " 'balanced'."
        )
    weights = check_class_weights(class_weights, names)

    def metrics() -> list[keras.metrics.Metric]:
        return [
            PixelAccuracy(ignored_class=ignored, name="accuracy"),
            MeanIoU(len(names), ignored_class=ignored, name="mean_iou"),
        ]

    return Task(
        outputs=Outputs(len(names), names, axes=tuple(targets.shape)),
        encode=encode_targets(partial(tf.cast, dtype=tf.int32)),
        loss=check_loss(
            loss,
            lambda: PixelLoss(
                dice_weight=dice_weight,
                ignored_class=ignored,
                class_weights=None if weights is None else [float(one) for one in weights],
            ),
        ),
        metrics=metrics,
        decode=decode,
        report=partial(_report, names, ignored),
        monitor=monitor,
        monitor_mode=monitor_mode,
        average=average_probabilities,
    )


def decode(scores: Any) -> dict[str, Any]:
    """Returns the masks of a batch of scores, and the share of each class.

    Args:
        scores: Raw scores, shape `(batch, height, width, num_classes)`.

    Returns:
        Tensors `"mask"`, int32 of shape `(batch, height, width)`, and `"shares"`: the share of the
        pixels of each class, shape `(batch, num_classes)`.
    """
    mask = tf.argmax(scores, axis=-1, output_type=tf.int32)
    shares = tf.reduce_mean(tf.one_hot(mask, scores.shape[-1]), axis=(1, 2))
    return {"mask": mask, "shares": shares}


def _report(
    class_names: tuple[str, ...], ignored: int | None, answers: Answers, options: Any
) -> Any:
    from kx.report.masks import mask_findings

    return mask_findings(answers, class_names, ignored, options)


def _valid(y_true: Any, ignored: int | None) -> Any:
    """Returns 1 for pixels that count, and 0 for others."""
    if ignored is None:
        return keras.ops.ones_like(y_true, "float32")
    return keras.ops.cast(keras.ops.not_equal(y_true, ignored), "float32")


@keras.saving.register_keras_serializable("kx")
class PixelLoss(keras.losses.Loss):
    """Computes the cross entropy of pixels plus the Dice loss, without the ignored class.

    The value of an example is the mean over its pixels that count, and over its classes.

    Args:
        dice_weight: Weight of the Dice loss. Defaults to 1.
        ignored_class: Index of pixels that do not count. Defaults to None.
        class_weights: Weight of the pixels of each class in the cross entropy. Defaults to None:
            1.
        name: Name of the loss. Defaults to `"pixel_loss"`.
        **kwargs: Arguments of `keras.losses.Loss`.
    """

    def __init__(
        self,
        dice_weight: float = 1.0,
        ignored_class: int | None = None,
        class_weights: Sequence[float] | None = None,
        name: str = "pixel_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.dice_weight, self.ignored_class = dice_weight, ignored_class
        self.class_weights = None if class_weights is None else list(class_weights)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each example.

        Args:
            y_true: Class indices, shape `(batch, height, width)`.
            y_pred: Raw scores, shape `(batch, height, width, num_classes)`.
        """
        ops = keras.ops
        y_true, y_pred = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
        valid = _valid(y_true, self.ignored_class)
        truth = ops.one_hot(ops.where(valid > 0, y_true, 0), y_pred.shape[-1]) * valid[..., None]
        log_probabilities = ops.log_softmax(y_pred, axis=-1)
        weights = valid
        if self.class_weights is not None:
            weights = ops.sum(truth * ops.convert_to_tensor(self.class_weights, "float32"), axis=-1)
        entropy = -ops.sum(truth * log_probabilities, axis=-1) * weights
        total = ops.sum(entropy, axis=(1, 2)) / ops.maximum(ops.sum(weights, axis=(1, 2)), 1e-6)
        if not self.dice_weight:
            return total
        chances = ops.exp(log_probabilities) * valid[..., None]
        both = ops.sum(truth * chances, axis=(1, 2))
        sizes = ops.sum(truth, axis=(1, 2)) + ops.sum(chances, axis=(1, 2))
        dice = (2 * both + _SMOOTH) / (sizes + _SMOOTH)
        return total + self.dice_weight * (1 - ops.mean(dice, axis=-1))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "dice_weight": self.dice_weight,
            "ignored_class": self.ignored_class,
            "class_weights": self.class_weights,
        }


@keras.saving.register_keras_serializable("kx")
class PixelAccuracy(keras.metrics.Metric):
    """Measures the share of pixels whose class is found, of those that count.

    Args:
        ignored_class: Index of pixels that do not count. Defaults to None.
        name: Name of the metric. Defaults to `"accuracy"`.
        **kwargs: Arguments of `keras.metrics.Metric`.
    """

    def __init__(
        self, ignored_class: int | None = None, name: str = "accuracy", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.ignored_class = ignored_class
        self.right = self.add_weight(name="right", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of class indices and raw scores; weights of examples do not count.

        Args:
            y_true: Class indices, shape `(batch, height, width)`.
            y_pred: Raw scores, shape `(batch, height, width, num_classes)`.
            sample_weight: Not used.
        """
        ops = keras.ops
        y_true = ops.cast(y_true, "int32")
        valid = _valid(y_true, self.ignored_class)
        found = ops.cast(
            ops.equal(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), y_true), "float32"
        )
        self.right.assign_add(ops.sum(found * valid))
        self.count.assign_add(ops.sum(valid))

    def result(self) -> Any:
        """Returns the share, or 0 before any pixel."""
        return keras.ops.divide_no_nan(self.right, self.count)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments."""
        return {**super().get_config(), "ignored_class": self.ignored_class}


@keras.saving.register_keras_serializable("kx")
class MeanIoU(keras.metrics.Metric):
    """Measures the mean, over classes, of intersection over union, without the ignored class.

    Classes of which there is no pixel, neither in the masks nor in the answers, do not count.

    Args:
        num_classes: Number of classes.
        ignored_class: Index of pixels that do not count. Defaults to None.
        name: Name of the metric. Defaults to `"mean_iou"`.
        **kwargs: Arguments of `keras.metrics.Metric`.
    """

    def __init__(
        self,
        num_classes: int,
        ignored_class: int | None = None,
        name: str = "mean_iou",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.num_classes, self.ignored_class = num_classes, ignored_class
        self.confusion = self.add_weight(
            name="confusion", shape=(num_classes, num_classes), initializer="zeros"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of class indices and raw scores; weights of examples do not count.

        Args:
            y_true: Class indices, shape `(batch, height, width)`.
            y_pred: Raw scores, shape `(batch, height, width, num_classes)`.
            sample_weight: Not used.
        """
        ops = keras.ops
        y_true = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        valid = _valid(y_true, self.ignored_class)
        answer = ops.reshape(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), (-1,))
        # A product of matrices, since `bincount` is not compiled on JAX and by XLA.
        truth = ops.one_hot(ops.where(valid > 0, y_true, 0), self.num_classes) * valid[:, None]
        counts = ops.matmul(ops.transpose(truth), ops.one_hot(answer, self.num_classes))
        self.confusion.assign_add(ops.cast(counts, self.confusion.dtype))

    def result(self) -> Any:
        """Returns the mean over the classes that have pixels, or 0 before any pixel."""
        ops = keras.ops
        both = ops.diagonal(self.confusion)
        union = ops.sum(self.confusion, axis=0) + ops.sum(self.confusion, axis=1) - both
        counted = ops.cast(union > 0, "float32")
        return ops.divide_no_nan(ops.sum(ops.divide_no_nan(both, union)), ops.sum(counted))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "ignored_class": self.ignored_class,
        }
