"""The U-Net of Ronneberger et al. 2015."""

from __future__ import annotations

from typing import Any

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.layers import batch_normalized, require_image, score_dtype
from kx.types import Count, Fraction


def unet(
    inputs: Spec,
    outputs: Outputs,
    *,
    filters: Count = 16,
    num_levels: Count = 4,
    dropout: Fraction = 0.0,
    batch_normalization: bool = True,
    kernel_initializer: str = "he_normal",
) -> keras.Model:
    """Builds a U-Net: scores at each pixel, from a path that halves the image and one back up.

    Unlike the paper's, its convolutions keep the size of the image, and are batch-normalized.

    Args:
        inputs: Spec of one image, shape `(height, width, channels)`; sizes that cannot be halved
            so often are padded inside the model.
        outputs: Description of the scores, with the axes of the image.
        filters: Number of filters of the first level, doubled at each level below. Defaults to 16;
            the paper has 64.
        num_levels: How often the image is halved. Defaults to 4.
        dropout: Dropout rate at the lowest level. Defaults to 0.
        batch_normalization: Whether to batch-normalize each convolution. Defaults to True.
        kernel_initializer: Initializer of the weights. Defaults to `"he_normal"`.

    Returns:
        Model with raw scores of shape `(batch, height, width, outputs.units)`.

    Raises:
        ConfigError: If the task has no scores at each pixel.

    Source: Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation", section 2.

    Example:
    >>> model = unet(Spec((20, 20, 3), "float32"), Outputs(2, axes=(20, 20)), filters=4)
    >>> model.output_shape
    (None, 20, 20, 2)
    """
    require_image(inputs, "unet")
    height, width = inputs.shape[:2]
    if tuple(outputs.axes) != (height, width):
        raise ConfigError(
            "model=unet gives scores at each pixel, and this task has"
            f" {outputs.axes or 'one vector of scores'}: task=segmentation, or another model."
        )

    def convolved(h: Any, count: int) -> Any:
        for _ in range(2):
            h = keras.layers.Conv2D(
                count,
                3,
                padding="same",
                use_bias=not batch_normalization,
                kernel_initializer=kernel_initializer,
            )(h)
            if batch_normalization:
                h = batch_normalized(h)
            h = keras.layers.Activation("relu")(h)
        return h

    x = keras.Input(inputs.shape, name="inputs")
    side = 2**num_levels
    around = [(-size % side) for size in (height, width)]
    before = [(missing // 2, missing - missing // 2) for missing in around]
    h = keras.layers.ZeroPadding2D(before)(x) if any(around) else x
    kept = []
    for level in range(num_levels):
        h = convolved(h, filters * 2**level)
        kept.append(h)
        h = keras.layers.MaxPooling2D()(h)
    h = convolved(h, filters * 2**num_levels)
    if dropout:
        h = keras.layers.Dropout(dropout)(h)
    for level in reversed(range(num_levels)):
        h = keras.layers.Conv2DTranspose(
            filters * 2**level, 2, strides=2, kernel_initializer=kernel_initializer
        )(h)
        h = convolved(keras.layers.Concatenate()([kept[level], h]), filters * 2**level)
    if any(around):
        h = keras.layers.Cropping2D(before)(h)
    y = keras.layers.Conv2D(outputs.units, 1, dtype=score_dtype(), name="scores")(h)
    return keras.Model(x, y, name="unet")
