"""Augmentations that change the values of pixels: colours, light, sharpness."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from kx.data.augment.operations import (
    Batch,
    changes_images,
    counts_to_255,
    fused,
    like,
    require_ordered,
    some,
)
from kx.data.random import uniform
from kx.errors import ConfigError
from kx.types import Count, HueFraction, Positive, Probability

_GRAY = (0.2989, 0.587, 0.114)  # weights of red, green and blue
# Principal components of ImageNet's pixels from 0 to 255, and their standard deviations.
_LIGHT_DEVIATIONS = (55.46, 4.794, 1.148)
_LIGHT_DIRECTIONS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


@counts_to_255
@changes_images
@fused
def color(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    brightness: Probability = 0.2,
    contrast: Probability = 0.2,
    saturation: Probability = 0.2,
    hue: HueFraction = 0.05,
    probability: Probability = 1.0,
) -> Batch:
    """Changes brightness, contrast, saturation and hue, in this order.

    As `keras.layers.RandomBrightness`, `RandomContrast` and `RandomHue` do; saturation blends
    with grey. For images of one channel, only brightness and contrast change.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        brightness: Largest change, up or down, as a fraction of the range 0 to 255. Defaults to
            0.2.
        contrast: Largest change of the distance from the mean, as a fraction of it. Defaults to
            0.2.
        saturation: Largest change of the distance from grey, as a fraction of it. Defaults to
            0.2.
        hue: Largest rotation of the colour circle, in both directions, as a fraction of it: 0.5
            covers all hues. Defaults to 0.05.
        probability: Probability of changing an image. Defaults to 1.
    """
    draws = uniform(seeds, 4, -1.0, 1.0)[:, :, None, None]
    images = tf.cast(inputs, tf.float32)
    if brightness:
        images = _cut(images + draws[:, :1] * (255.0 * brightness))
    if contrast:
        images = adjust_contrast(images, 1.0 + draws[:, 1:2] * contrast)
    if inputs.shape[-1] == 3:
        if saturation:
            images = _cut(blend(gray(images), images, 1.0 + draws[:, 2:3] * saturation))
        if hue:
            images = turn_hue(images, draws[:, 3:] * hue)
    return some(inputs, like(images, inputs), seeds, probability), targets


def adjust_contrast(images: Any, factor: Any) -> Any:
    """Scales the distance of pixels from the mean of their image and channel.

    Args:
        images: Images, float32 from 0 to 255.
        factor: Factor of the distance, shape `(batch, 1, 1, 1)`.
    """
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    return _cut(blend(mean, images, factor))


def turn_hue(images: Any, turn: Any) -> Any:
    """Rotates the hues of images.

    Args:
        images: Images of three channels, float32 from 0 to 255.
        turn: Rotation as a fraction of the colour circle, shape `(batch, 1, 1, 1)`.
    """
    hue, saturation, value = tf.split(tf.image.rgb_to_hsv(images / 255.0), 3, axis=-1)
    turned = tf.math.floormod(hue + turn, 1.0)
    return tf.image.hsv_to_rgb(tf.concat([turned, saturation, value], axis=-1)) * 255.0


@changes_images
@fused
def grayscale(
    inputs: Any, targets: Any, seeds: tf.Tensor, *, probability: Probability = 0.2
) -> Batch:
    """Converts some images to grey, as `keras.layers.RandomGrayscale` does.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        probability: Probability of converting an image. Defaults to 0.2.
    """
    if inputs.shape[-1] == 1:
        return inputs, targets
    images = tf.cast(inputs, tf.float32)
    return some(
        inputs, like(gray(images) + tf.zeros_like(images), inputs), seeds, probability
    ), targets


def gray(images: Any) -> Any:
    """Returns images converted to one grey channel.

    Args:
        images: Images, float32; those of one channel are returned unchanged.
    """
    if images.shape[-1] == 1:
        return images
    return tf.tensordot(images, tf.constant(_GRAY), 1)[..., None]


def blend(first: Any, second: Any, factor: Any) -> Any:
    """Interpolates between two images, or extrapolates if the factor is not within 0 to 1.

    Args:
        first: Result at factor 0.
        second: Result at factor 1.
        factor: Weight of `second`.
    """
    return first + (second - first) * factor


@counts_to_255
@changes_images
@fused
def light(inputs: Any, targets: Any, seeds: tf.Tensor, *, standard_deviation: float = 0.1) -> Batch:
    """Adds a random colour to each image, along the principal components of ImageNet's colours.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`; those of another
            number of channels than three are returned unchanged.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        standard_deviation: Standard deviation of the strength along each component. Defaults to
            0.1.

    Source: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural
    Networks", section 4.1.
    """
    if inputs.shape[-1] != 3:
        return inputs, targets
    strengths = normal(seeds, 3) * standard_deviation * tf.constant(_LIGHT_DEVIATIONS)
    # Not a matrix product: its rounding depends on the size of the batch.
    added = tf.reduce_sum(strengths[:, None, :] * tf.constant(_LIGHT_DIRECTIONS), axis=-1)
    images = tf.cast(inputs, tf.float32) + added[:, None, None, :]
    return like(_cut(images), inputs), targets


def normal(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """Draws standard normal numbers for each example (Box & Muller 1958).

    Args:
        seeds: Seeds of the examples, shape `(batch, 2)`.
        count: Number of draws for each example.

    Returns:
        Float32 tensor of shape `(batch, count)`.
    """
    draws = uniform(seeds, 2 * count)
    radius = tf.sqrt(-2.0 * tf.math.log(1.0 - draws[:, :count]))
    return radius * tf.cos(2.0 * math.pi * draws[:, count:])


@counts_to_255
@changes_images
@fused
def autocontrast(
    inputs: Any, targets: Any, seeds: tf.Tensor, *, probability: Probability = 1.0
) -> Batch:
    """Stretches each channel to the range 0 to 255, as `keras.layers.AutoContrast` does.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        probability: Probability of stretching an image. Defaults to 1.
    """
    images = tf.cast(inputs, tf.float32)
    low = tf.reduce_min(images, axis=(1, 2), keepdims=True)
    high = tf.reduce_max(images, axis=(1, 2), keepdims=True)
    stretched = tf.where(
        high > low, (images - low) * (255.0 / tf.maximum(high - low, 1e-6)), images
    )
    return some(inputs, like(stretched, inputs), seeds, probability), targets


@changes_images
@fused
def blur(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    kernel_size: Count = 3,
    min_sigma: Positive = 0.1,
    max_sigma: Positive = 1.0,
    probability: Probability = 0.5,
) -> Batch:
    """Blurs images by a Gaussian of random width; pixels at the edge are repeated outside it.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        kernel_size: Size of the Gaussian in pixels, odd. Defaults to 3.
        min_sigma: Smallest standard deviation, in pixels. Defaults to 0.1.
        max_sigma: Largest standard deviation, in pixels. Defaults to 1.
        probability: Probability of blurring an image. Defaults to 0.5.

    Raises:
        ConfigError: If the kernel size is even.
    """
    if kernel_size % 2 == 0:
        raise ConfigError(f"augment.blur.kernel_size: expected an odd number: {kernel_size}.")
    require_ordered("blur", ("min_sigma", min_sigma), ("max_sigma", max_sigma))
    sigma = uniform(seeds, 1, min_sigma, max_sigma)
    blurred = gaussian_blur(tf.cast(inputs, tf.float32), sigma, kernel_size)
    return some(inputs, like(blurred, inputs), seeds, probability), targets


def gaussian_blur(images: Any, sigma: Any, kernel_size: int) -> Any:
    """Blurs each image by a Gaussian of its own width, along each axis in turn.

    Args:
        images: Images, float32, shape `(batch, height, width, channels)`.
        sigma: Standard deviation in pixels, shape `(batch, 1)`.
        kernel_size: Size of the Gaussian in pixels, odd.
    """
    radius = kernel_size // 2
    distances = tf.range(-radius, radius + 1, dtype=tf.float32)
    weights = tf.nn.softmax(-(distances**2) / (2.0 * sigma**2))[:, :, None, None, None]
    for axis, size in ((1, images.shape[1]), (2, images.shape[2])):
        # The pixels at the edge are repeated, which TensorFlow's `pad` cannot do.
        places = tf.clip_by_value(tf.range(-radius, size + radius), 0, size - 1)
        padded = tf.gather(images, places, axis=axis)
        shifted = [
            padded[:, i : i + size] if axis == 1 else padded[:, :, i : i + size]
            for i in range(kernel_size)
        ]
        images = tf.add_n([part * weights[:, i] for i, part in enumerate(shifted)])
    return images


def _cut(images: Any) -> Any:
    return tf.clip_by_value(images, 0.0, 255.0)
