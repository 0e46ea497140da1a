"""Autoencoders: an image through a few numbers, and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.layers import require_image, score_dtype
from kx.types import Count, Fraction, NonNegative


def autoencoder(
    inputs: Spec,
    outputs: Outputs,
    *,
    filters: list[Count] = [32, 64],  # noqa: B006
    latent_units: Count = 32,
    noise: NonNegative = 0.0,
    dropout: Fraction = 0.0,
) -> keras.Model:
    """Builds a convolutional autoencoder, which may remove noise that it adds in training.

    Args:
        inputs: Spec of one image, shape `(height, width, channels)`.
        outputs: Description of the scores, with the axes of the image.
        filters: Number of filters of each convolution, each of which halves the image. Defaults
            to [32, 64].
        latent_units: Size of the code between both halves. Defaults to 32.
        noise: Standard deviation of the noise that is added to the image in training, in units
            of the normalized pixels. Defaults to 0.
        dropout: Dropout rate of the code. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, height, width, outputs.units)`.

    Raises:
        ConfigError: If the task has no scores at each pixel.

    Source: Vincent et al. 2010, "Stacked denoising autoencoders", section 3.

    Example:
    >>> model = autoencoder(Spec((9, 8, 1), "float32"), Outputs(1, axes=(9, 8)), filters=[4])
    >>> model.output_shape
    (None, 9, 8, 1)
    """

    def code(h: Any) -> Any:
        h = keras.layers.Dense(latent_units, name="code")(h)
        return keras.layers.Dropout(dropout)(h) if dropout else h

    return _through(inputs, outputs, filters, code, noise, "autoencoder")


def vae(
    inputs: Spec,
    outputs: Outputs,
    *,
    filters: list[Count] = [32, 64],  # noqa: B006
    latent_units: Count = 2,
    beta: NonNegative = 1.0,
) -> keras.Model:
    """Builds a variational autoencoder: its code is drawn in training, and the mean otherwise.

    So the model answers deterministically. Its divergence is added to the loss, divided by the
    number of pixels, of which the loss of a reconstruction is the mean.

    Args:
        inputs: Spec of one image, shape `(height, width, channels)`.
        outputs: Description of the scores, with the axes of the image.
        filters: Number of filters of each convolution, each of which halves the image. Defaults
            to [32, 64].
        latent_units: Size of the code. Defaults to 2.
        beta: Weight of the divergence (Higgins et al. 2017). Defaults to 1.

    Returns:
        Model with raw scores of shape `(batch, height, width, outputs.units)`.

    Raises:
        ConfigError: If the task has no scores at each pixel.

    Source: Kingma & Welling 2013, "Auto-Encoding Variational Bayes", section 3.
    """
    weight = beta / math.prod((*inputs.shape[:2], outputs.units))

    def code(h: Any) -> Any:
        mean = keras.layers.Dense(latent_units, name="code")(h)
        log_variance = keras.layers.Dense(latent_units, name="log_variance")(h)
        return DrawnCode(weight, name="drawn_code")([mean, log_variance])

    return _through(inputs, outputs, filters, code, 0.0, "vae")


@keras.saving.register_keras_serializable("kx")
class DrawnCode(keras.layers.Layer):
    """Draws a code around its mean in training, and adds the divergence from a standard normal.

    Args:
        weight: Weight of the divergence in the loss.
        seed: Seed of the noise. Defaults to None: of Keras's global seed.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, weight: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weight, self.seed = weight, seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns the drawn code, or the mean outside of training.

        Args:
            inputs: Mean and logarithm of the variance, each of shape `(batch, units)`.
            training: Whether the model is in training. Defaults to False.
        """
        ops = keras.ops
        mean, log_variance = inputs
        divergence = -0.5 * ops.sum(
            1 + log_variance - ops.square(mean) - ops.exp(log_variance), axis=-1
        )
        self.add_loss(self.weight * ops.mean(divergence))
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.generator)
        return mean + ops.exp(0.5 * log_variance) * noise

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the code."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments."""
        return {**super().get_config(), "weight": self.weight, "seed": self.seed}


def _through(
    inputs: Spec,
    outputs: Outputs,
    filters: list[int],
    code: Callable[[Any], Any],
    noise: float,
    name: str,
) -> keras.Model:
    """Returns a model from an image to a code and back to scores at each pixel."""
    require_image(inputs, name)
    height, width = inputs.shape[:2]
    if tuple(outputs.axes) != (height, width):
        raise ConfigError(
            f"model={name} gives scores at each pixel, and this task has"
            f" {outputs.axes or 'one vector of scores'}: task=reconstruction, or another model."
        )
    x = keras.Input(inputs.shape, name="inputs")
    h = keras.layers.GaussianNoise(noise)(x) if noise else x
    for count in filters:
        h = keras.layers.Conv2D(count, 3, strides=2, padding="same", activation="relu")(h)
    small = tuple(h.shape[1:])
    h = code(keras.layers.Flatten()(h))
    h = keras.layers.Dense(math.prod(small), activation="relu")(h)
    h = keras.layers.Reshape(small)(h)
    for count in reversed(filters):
        h = keras.layers.Conv2DTranspose(count, 3, strides=2, padding="same", activation="relu")(h)
    down, right = h.shape[1] - height, h.shape[2] - width
    if down or right:  # sizes that cannot be halved so often
        h = keras.layers.Cropping2D(((0, down), (0, right)))(h)
    dtype = score_dtype()
    y = keras.layers.Conv2D(outputs.units, 3, padding="same", dtype=dtype, name="scores")(h)
    return keras.Model(x, y, name=name)
