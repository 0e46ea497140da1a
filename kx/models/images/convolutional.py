"""Plain convolutional networks for small images."""

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
    """Builds convolutions, each followed by a max-pool, and a dense layer.

    With its defaults it has 1,147,466 parameters at 32x32x3 and 10 classes.

    Args:
        inputs: Spec of one image, shape `(height, width, channels)`.
        outputs: Description of the scores: their number and names.
        filters: Number of filters of each same-padding convolution; a 2x2 max-pool follows each.
            Defaults to `(32, 64, 128)`.
        kernel_size: Side of the convolution kernels in pixels. Defaults to 3.
        dense_units: Units of the dense layer. Defaults to 512.
        dropout: Dropout rate before the scores. Defaults to 0.5.
        activation: Activation of the convolutions and the dense layer. Defaults to `"relu"`.
        batch_normalization: Whether to normalize batches before the activation of each
            convolution. Defaults to False.
        kernel_initializer: Initializer of the weights. Defaults to `"glorot_uniform"`.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not images, or too small for the number of max-pools.
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
    """Builds the network of the early Keras MNIST example, with two convolutions.

    With its defaults it has 1,199,882 parameters at 28x28x1 and 10 classes.

    Args:
        inputs: Spec of one image, shape `(height, width, channels)`.
        outputs: Description of the scores: their number and names.
        filters: Number of filters of each valid convolution; a 2x2 max-pool follows the last.
            Defaults to `(32, 64)`.
        kernel_size: Side of the convolution kernels in pixels. Defaults to 3.
        convolution_dropout: Dropout rate after the max-pool. Defaults to 0.25.
        dense_units: Units of the dense layer. Defaults to 128.
        dropout: Dropout rate before the scores. Defaults to 0.5.
        activation: Activation of the convolutions and the dense layer. Defaults to `"relu"`.
        kernel_initializer: Initializer of the weights. Defaults to `"glorot_uniform"`.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not images, or too small for the convolutions.
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
