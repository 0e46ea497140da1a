"""The wide residual network of Zagoruyko & Komodakis 2016."""

from __future__ import annotations

from typing import Any

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.images.pretrained import on_base
from kx.models.layers import batch_normalized, penalty, require_image, scores
from kx.types import Count, Fraction, NonNegative


def wide_resnet(
    inputs: Spec,
    outputs: Outputs,
    *,
    depth: Count = 16,
    width: int = 4,
    dropout: Fraction = 0.0,
    activation: str = "relu",
    kernel_initializer: str = "he_normal",
    weights: str | None = None,
    trainable: bool = True,
    l1: NonNegative = 0.0,
    l2: NonNegative = 2.5e-4,
) -> keras.Model:
    """Builds WRN-depth-width for small images: fewer layers than a ResNet, and wider ones.

    Args:
        inputs: Spec of one image, shape `(height, width, channels)`.
        outputs: Description of the scores: their number and names.
        depth: Number of layers with weights, 6n + 4: 10, 16, 22, 28, 40. Defaults to 16.
        width: Factor of the number of filters: the stages have 16, 32 and 64 times this. Defaults
            to 4.
        dropout: Dropout rate between the convolutions of a block (the paper: 0.3, or none).
            Defaults to 0.
        activation: Activation before each convolution. Defaults to `"relu"`.
        kernel_initializer: Initializer of the convolutions. Defaults to `"he_normal"`.
        weights: Weights of the layer `base`, all before the average pooling: None for random
            ones, or a path to its weights (`.weights.h5`) or to a model of this kind (`.keras`).
            Defaults to None.
        trainable: Whether to train the base, too. Defaults to True.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Its gradient is twice this times the weight: 2.5e-4, the
            default, is the paper's weight decay of 5e-4.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not images, or the depth is not 6n + 4.

    Example:
    >>> wide_resnet(Spec((32, 32, 3), "uint8"), Outputs(10), depth=28, width=10).count_params()
    36497146

    Source: Zagoruyko & Komodakis 2016, "Wide Residual Networks", table 1.
    """
    require_image(inputs, "wide_resnet")
    if depth < 10 or (depth - 4) % 6:
        raise ConfigError(f"model.depth: expected 6n + 4 (10, 16, 22, 28, 40). Received: {depth}.")

    def convolution(h: Any, filters: int, size: int = 3, strides: int = 1) -> Any:
        return keras.layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
        )(h)

    def active(h: Any) -> Any:
        return keras.layers.Activation(activation)(batch_normalized(h))

    def block(h: Any, filters: int, strides: int) -> Any:
        first = active(h)
        same = h.shape[-1] == filters and strides == 1
        shortcut = h if same else convolution(first, filters, 1, strides)
        h = active(convolution(first, filters, 3, strides))
        if dropout:
            h = keras.layers.Dropout(dropout)(h)
        return keras.layers.Add()([shortcut, convolution(h, filters)])

    x = keras.Input(inputs.shape, name="inputs")
    h = convolution(x, 16)
    for stage, filters in enumerate((16 * width, 32 * width, 64 * width)):
        for number in range((depth - 4) // 6):
            h = block(h, filters, strides=2 if stage > 0 and number == 0 else 1)
    base = keras.Model(x, active(h), name="base")
    h = on_base(x, base, weights=weights, trainable=trainable)
    h = keras.layers.GlobalAveragePooling2D()(h)
    y = scores(h, outputs.units, l1, l2)
    return keras.Model(x, y, name=f"wide_resnet_{depth}_{width}")
