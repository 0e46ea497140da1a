"""Reconstruction: a model that gives back its own input."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from kx.contracts.answers import Answers
from kx.contracts.specs import Outputs, Spec, Specs
from kx.contracts.task import Task
from kx.contracts.task_checks import check_loss
from kx.errors import ConfigError


def reconstruction(
    targets: Specs,
    inputs: Specs,
    *,
    monitor: str = "val_loss",
    monitor_mode: str = "min",
    loss: Any = None,
) -> Task:
    """Makes the task of giving back images; what the data has as targets is not used.

    Augmentations change the image that is to be given back, too. For noise that is to be removed,
    a model has an argument (`noise` of `autoencoder`).

    Args:
        targets: Specs of the targets. Not used.
        inputs: Spec of one image of uint8 pixels.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_loss"`.
        monitor_mode: `"max"` or `"min"`. Defaults to `"min"`.
        loss: Keras loss of pixels in [0, 1] and raw scores. Defaults to None: binary cross
            entropy.

    Returns:
        Task whose models give a score for each pixel and channel; its sigmoid is the pixel.

    Raises:
        ConfigError: If the inputs are not one image.

    Example:
    >>> digits = Spec((8, 8, 1), "uint8", kind="image")
    >>> reconstruction(Spec((), "int32"), digits).outputs.shape
    (8, 8, 1)
    """
    if not isinstance(inputs, Spec) or len(inputs.shape) != 3:
        form = f"shape {inputs.shape}" if isinstance(inputs, Spec) else f"fields {list(inputs)}"
        raise ConfigError(
            f"task=reconstruction expects images (height, width, channels). Received: {form}."
        )
    if inputs.dtype != "uint8":  # of other numbers, the range is not known
        raise ConfigError(
            f"task=reconstruction expects pixels from 0 to 255, uint8. Received: {inputs.dtype}."
            " Of floats in [0, 1]: (255 * images).round().astype('uint8')."
        )

    def encode(images: Any, _: Any) -> tuple[Any, Any]:
        return images, tf.cast(images, tf.float32) / 255

    def answer(model: Any, images: Any) -> dict[str, Any]:
        made = decode(model(images, training=False))
        gaps = made["reconstruction"] - tf.cast(images, tf.float32) / 255
        return {**made, "squared_error": tf.reduce_mean(tf.square(gaps), axis=(1, 2, 3))}

    def report(answers: Answers, options: Any) -> Any:
        from kx.report.reconstructions import reconstruction_findings

        return reconstruction_findings(answers, options)

    return Task(
        outputs=Outputs(inputs.shape[-1], axes=tuple(inputs.shape[:-1])),
        encode=encode,
        loss=check_loss(loss, lambda: keras.losses.BinaryCrossentropy(from_logits=True)),
        metrics=lambda: [keras.metrics.MeanMetricWrapper(squared_error, name="squared_error")],
        decode=decode,
        report=report,
        monitor=monitor,
        monitor_mode=monitor_mode,
        answer=answer,
    )


def decode(scores: Any) -> dict[str, Any]:
    """Returns the reconstructed images of a batch of scores, in [0, 1].

    Args:
        scores: Raw scores, shape `(batch, height, width, channels)`.
    """
    return {"reconstruction": tf.sigmoid(tf.cast(scores, tf.float32))}


@keras.saving.register_keras_serializable("kx")
def squared_error(y_true: Any, y_pred: Any) -> Any:
    """Returns the mean squared error of each image.

    Args:
        y_true: Pixels in [0, 1].
        y_pred: Raw scores, whose sigmoid is the pixel.
    """
    gaps = keras.ops.sigmoid(keras.ops.cast(y_pred, "float32")) - y_true
    return keras.ops.mean(keras.ops.square(gaps), axis=(1, 2, 3))
