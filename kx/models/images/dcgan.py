"""DCGAN: a generator of images, and its critic."""

from __future__ import annotations

import math

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.layers import score_dtype
from kx.types import Count, Fraction


def dcgan(
    inputs: Spec,
    outputs: Outputs,
    *,
    filters: list[Count] = [128, 64],  # noqa: B006
    kernel_size: Count = 5,
) -> keras.Model:
    """Builds a generator of images from noise.

    A dense layer makes a small image, which is doubled once for each number of filters.

    Args:
        inputs: Spec of the noise, shape `(latent_size,)`.
        outputs: Description of the scores, with the axes of the image.
        filters: Number of filters at each size of the image, the smallest first. Defaults to
            [128, 64].
        kernel_size: Height and width of the convolutions' kernels. Defaults to 5.

    Returns:
        Model with raw scores of shape `(batch, height, width, outputs.units)`, whose sigmoid is
        the pixel.

    Raises:
        ConfigError: If the inputs are no numbers, or if the task has no scores at each pixel.

    Source: Radford et al. 2016, "Unsupervised representation learning with deep convolutional
    generative adversarial networks", section 3.

    Example:
    >>> model = dcgan(Spec((16,), "float32"), Outputs(1, axes=(9, 8)), filters=[8, 4])
    >>> model.output_shape
    (None, 9, 8, 1)
    """
    axes = outputs.axes
    if len(inputs.shape) != 1 or len(axes) != 2 or None in axes:
        raise ConfigError(
            "model=dcgan expects noise of shape (latent_size,), for an image: task=adversarial."
            f" Received: inputs of shape {inputs.shape}, outputs with the axes {axes}."
        )
    height, width = (int(size or 0) for size in axes)
    scale = 2 ** len(filters)
    first = (math.ceil(height / scale), math.ceil(width / scale), filters[0])
    x = keras.Input(inputs.shape, dtype=inputs.dtype, name="inputs")
    h = keras.layers.Dense(math.prod(first), use_bias=False)(x)
    h = keras.layers.Reshape(first)(_normalized(h))
    for count in [*filters[1:], 0]:
        last = not count
        h = keras.layers.Conv2DTranspose(
            count or outputs.units, kernel_size, strides=2, padding="same", use_bias=last,
            dtype=score_dtype() if last else None,
        )(h)  # fmt: skip
        h = h if last else _normalized(h)
    cut = (first[0] * scale - height, first[1] * scale - width)
    if any(cut):
        h = keras.layers.Cropping2D([(size // 2, size - size // 2) for size in cut])(h)
    return keras.Model(x, h, name="dcgan")


def _normalized(h: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.ReLU()(keras.layers.BatchNormalization()(h))


def dcgan_critic(
    inputs: Spec,
    *,
    filters: list[Count] = [64, 128],  # noqa: B006
    kernel_size: Count = 5,
    dropout: Fraction = 0.3,
) -> keras.Model:
    """Builds a critic: a score of how real an image looks.

    It has no batch normalization, since the gradient penalty is that of each image.

    Args:
        inputs: Spec of one image of floats, shape `(height, width, channels)`.
        filters: Number of filters of each convolution, each of which halves the image. Defaults
            to [64, 128].
        kernel_size: Height and width of the convolutions' kernels. Defaults to 5.
        dropout: Dropout rate after each convolution. Defaults to 0.3.

    Returns:
        Model with one raw score for each image, shape `(batch, 1)`.

    Source: Radford et al. 2016, section 3; Gulrajani et al. 2017, "Improved training of
    Wasserstein GANs", section 4, for the missing normalization.

    Example:
    >>> dcgan_critic(Spec((8, 8, 1), "float32"), filters=[4]).output_shape
    (None, 1)
    """
    x = keras.Input(inputs.shape, dtype=inputs.dtype, name="inputs")
    h = x
    for count in filters:
        h = keras.layers.Conv2D(count, kernel_size, strides=2, padding="same")(h)
        h = keras.layers.LeakyReLU(0.2)(h)
        h = keras.layers.Dropout(dropout)(h) if dropout else h
    h = keras.layers.Flatten()(h)
    return keras.Model(x, keras.layers.Dense(1, dtype=score_dtype())(h), name="critic")
