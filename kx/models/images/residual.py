"""The residual network for small images of He et al. 2015."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.images.pretrained import on_base
from kx.models.layers import batch_normalized, penalty, require_image, scores
from kx.types import Count, Fraction, NonNegative


def resnet(
    inputs: Spec,
    outputs: Outputs,
    *,
    depth: Count = 20,
    filters: Sequence[Count] = (16, 32, 64),
    activation: str = "relu",
    batch_normalization: bool = True,
    dropout: Fraction = 0.0,
    kernel_initializer: str = "he_normal",
    weights: str | None = None,
    trainable: bool = True,
    l1: NonNegative = 0.0,
    l2: NonNegative = 1e-4,
) -> keras.Model:
    """Builds ResNet-20, -32, -44, -56 … for CIFAR-sized images.

    Args:
        inputs: Spec of one image, shape `(height, width, channels)`.
        outputs: Description of the scores: their number and names.
        depth: Number of layers with weights, 6n + 2 with three stages. Defaults to 20.
        filters: Number of filters of each stage; each stage after the first halves the image.
            Defaults to `(16, 32, 64)`.
        activation: Activation of the convolutions and after each addition. Defaults to `"relu"`.
        batch_normalization: Whether to normalize batches after each convolution. Defaults to True.
        dropout: Dropout rate before the scores. Defaults to 0.
        kernel_initializer: Initializer of the weights. Defaults to `"he_normal"`.
        weights: Weights of the layer `base`, all before the average pooling: None for random
            ones, or a path to its weights (`.weights.h5`) or to a model of this kind (`.keras`).
            Defaults to None.
        trainable: Whether to train the base, too. Defaults to True.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Its gradient is twice this times the weight: the paper's
            weight decay of 1e-4 is 5e-5 here. Defaults to 1e-4.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not images, or the depth does not fit the stages.

    Source: He et al. 2015, "Deep Residual Learning", section 4.2; shortcuts of
    option A (zeros for the new channels), as in the paper.
    """
    require_image(inputs, "resnet")
    per_block = 2 * len(filters)
    if depth < per_block + 2 or (depth - 2) % per_block:
        good = ", ".join(str(per_block * n + 2) for n in (3, 5, 7, 9))
        raise ConfigError(
            f"model.depth: expected {per_block}n + 2 for {len(filters)} stages ({good} …)."
            f" Received: {depth}."
        )

    def convolution(h: Any, width: int, strides: int) -> Any:
        h = keras.layers.Conv2D(
            width,
            3,
            strides=strides,
            padding="same",
            use_bias=not batch_normalization,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
        )(h)
        return batch_normalized(h) if batch_normalization else h

    def block(h: Any, width: int, strides: int) -> Any:
        shortcut = _shortcut(h, width, strides)
        h = keras.layers.Activation(activation)(convolution(h, width, strides))
        h = convolution(h, width, 1)
        return keras.layers.Activation(activation)(keras.layers.Add()([shortcut, h]))

    x = keras.Input(inputs.shape, name="inputs")
    h = keras.layers.Activation(activation)(convolution(x, filters[0], 1))
    for stage, width in enumerate(filters):
        for number in range((depth - 2) // per_block):
            h = block(h, width, strides=2 if stage > 0 and number == 0 else 1)
    h = on_base(x, keras.Model(x, h, name="base"), weights=weights, trainable=trainable)
    h = keras.layers.GlobalAveragePooling2D()(h)
    if dropout:
        h = keras.layers.Dropout(dropout)(h)
    y = scores(h, outputs.units, l1, l2, kernel_initializer=kernel_initializer)
    return keras.Model(x, y, name=f"resnet{depth}")


def _shortcut(h: Any, width: int, strides: int) -> Any:
    """Returns the input of a block, subsampled and zero-padded to the new number of channels."""
    channels = h.shape[-1]
    if strides > 1:
        h = keras.layers.AveragePooling2D(1, strides=strides, padding="same")(h)
    if width > channels:
        before = (width - channels) // 2
        after = width - channels - before
        h = keras.ops.pad(h, [[0, 0], [0, 0], [0, 0], [before, after]])
    return h
