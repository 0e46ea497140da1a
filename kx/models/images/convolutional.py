"""Plain convolutional nets for small images."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.layers import batch_normalized, penalty, require_image, scores
from kx.types import Count, Fraction, NonNegative


def cnn(
    inputs: Spec,
    outputs: Outputs,
    *,
    filters: Sequence[Count] = (32, 64, 128),
    kernel_size: Count = 3,
    dense_units: Count = 512,
    dropout: Fraction = 0.5,
    activation: str = "relu",
    batch_normalization: bool = False,
    kernel_initializer: str = "glorot_uniform",
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
) -> keras.Model:
    """Builds convolutions with a max-pool each, then a dense layer.

    With its defaults it has 1,147,466 parameters at 32x32x3 and 10 classes.

    Args:
        inputs: spec of one image, shape `(height, width, channels)`.
        outputs: what to give.
        filters: one same-padding convolution and one 2x2 max-pool a width.
        kernel_size: of the convolutions, in pixels.
        dense_units: of the dense layer.
        dropout: before the scores.
        activation: of convolutions and dense layer.
        batch_normalization: before each activation of a convolution.
        kernel_initializer: of the weights.
        l1: strength of the L1 penalty.
        l2: strength of the L2 penalty.

    Returns:
        A model that gives scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: if the image is too small for so many max-pools.
    """
    require_image(inputs, "cnn")
    if min(inputs.shape[:2]) < 2 ** len(filters):
        raise ConfigError(
            f"model.filters has {len(filters)} widths, each followed by a max-pool that halves"
            f" the image: it must have at least {2 ** len(filters)} pixels a side. Received:"
            f" {inputs.shape[0]}x{inputs.shape[1]}. Name fewer widths."
        )
    x = h = keras.Input(inputs.shape, name="inputs")
    for width in filters:
        h = keras.layers.Conv2D(
            width,
            kernel_size,
            padding="same",
            use_bias=not batch_normalization,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
        )(h)
        if batch_normalization:
            h = batch_normalized(h)
        h = keras.layers.Activation(activation)(h)
        h = keras.layers.MaxPooling2D()(h)
    h = keras.layers.Flatten()(h)
    h = keras.layers.Dense(
        dense_units,
        activation=activation,
        kernel_initializer=kernel_initializer,
        kernel_regularizer=penalty(l1, l2),
    )(h)
    h = keras.layers.Dropout(dropout)(h)
    y = scores(h, outputs.units, l1, l2, kernel_initializer=kernel_initializer)
    return keras.Model(x, y, name="cnn")


def mnist_cnn(
    inputs: Spec,
    outputs: Outputs,
    *,
    filters: Sequence[Count] = (32, 64),
    kernel_size: Count = 3,
    convolution_dropout: Fraction = 0.25,
    dense_units: Count = 128,
    dropout: Fraction = 0.5,
    activation: str = "relu",
    kernel_initializer: str = "glorot_uniform",
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
) -> keras.Model:
    """Builds the two-convolution net of the early Keras MNIST example.

    With its defaults it has 1,199,882 parameters at 28x28x1 and 10 classes.

    Args:
        inputs: spec of one image, shape `(height, width, channels)`.
        outputs: what to give.
        filters: one valid convolution a width, one 2x2 max-pool after the last.
        kernel_size: of the convolutions, in pixels.
        convolution_dropout: after the max-pool.
        dense_units: of the dense layer.
        dropout: before the scores.
        activation: of convolutions and dense layer.
        kernel_initializer: of the weights.
        l1: strength of the L1 penalty.
        l2: strength of the L2 penalty.

    Returns:
        A model that gives scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: if the image is smaller than the convolutions take away.
    """
    require_image(inputs, "mnist_cnn")
    smallest = len(filters) * (kernel_size - 1) + 2
    if min(inputs.shape[:2]) < smallest:
        raise ConfigError(
            f"model=mnist_cnn with {len(filters)} valid {kernel_size}x{kernel_size} convolutions"
            f" needs at least {smallest} pixels a side. Received:"
            f" {inputs.shape[0]}x{inputs.shape[1]}."
        )
    x = h = keras.Input(inputs.shape, name="inputs")
    for width in filters:
        h = keras.layers.Conv2D(
            width,
            kernel_size,
            activation=activation,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
        )(h)
    h = keras.layers.MaxPooling2D()(h)
    h = keras.layers.Dropout(convolution_dropout)(h)
    h = keras.layers.Flatten()(h)
    h = keras.layers.Dense(
        dense_units,
        activation=activation,
        kernel_initializer=kernel_initializer,
        kernel_regularizer=penalty(l1, l2),
    )(h)
    h = keras.layers.Dropout(dropout)(h)
    y = scores(h, outputs.units, l1, l2, kernel_initializer=kernel_initializer)
    return keras.Model(x, y, name="mnist_cnn")
