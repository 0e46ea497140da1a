"""Random erasing, and the masks of rectangles that it shares with CutMix."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from kx.data.augment.operations import (
    Batch,
    changes_images,
    counts_to_255,
    fused,
    require_ordered,
    some,
)
from kx.data.random import fold_in, uniform
from kx.types import AtLeastOne, Probability, Share

_NOISE = 1  # number of the random stream of the noise


@counts_to_255
@changes_images
@fused
def erase(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    probability: Probability = 0.5,
    min_area_fraction: Share = 0.02,
    max_area_fraction: Share = 0.33,
    max_aspect_ratio: AtLeastOne = 3.3,
    fill_value: float | None = None,
) -> Batch:
    """Fills a rectangle of some images with noise.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        probability: Probability of erasing a rectangle of an image. Defaults to 0.5.
        min_area_fraction: Smallest area, as a fraction of the image. Defaults to 0.02.
        max_area_fraction: Largest area, as a fraction of the image. Defaults to 0.33.
        max_aspect_ratio: Largest aspect ratio of the rectangle, tall or wide. Defaults to 3.3.
        fill_value: Value of the erased pixels. Defaults to None: noise from 0 to 255, drawn for
            each pixel.

    Source: Zhong et al. 2017, "Random Erasing Data Augmentation", algorithm 1.
    """
    require_ordered(
        "erase", ("min_area_fraction", min_area_fraction), ("max_area_fraction", max_area_fraction)
    )
    height, width, channels = inputs.shape[1:]
    draws = uniform(seeds, 4)
    area = (min_area_fraction + draws[:, 0] * (max_area_fraction - min_area_fraction)) * (
        height * width
    )
    aspect = tf.exp((2 * draws[:, 1] - 1) * math.log(max_aspect_ratio))
    tall = tf.clip_by_value(tf.round(tf.sqrt(area * aspect)), 1, height)
    wide = tf.clip_by_value(tf.round(tf.sqrt(area / aspect)), 1, width)
    inside = rectangle(height, width, draws[:, 2], draws[:, 3], tall, wide)
    if fill_value is None:
        noise = uniform(fold_in(seeds, _NOISE), height * width * channels, 0.0, 256.0)
        filled = tf.floor(tf.reshape(noise, (-1, height, width, channels)))
    else:
        filled = tf.fill(tf.shape(inputs), float(fill_value))
    erased = tf.where(inside, tf.cast(filled, inputs.dtype), inputs)
    return some(inputs, erased, seeds, probability), targets


def rectangle(height: int, width: int, y: Any, x: Any, tall: Any, wide: Any) -> Any:
    """Returns the mask of a rectangle that lies within each image.

    Args:
        height: Height of the images, in pixels.
        width: Width of the images, in pixels.
        y: Place of the rectangle, from 0 (at the top) to 1 (at the bottom), shape `(batch,)`.
        x: Place of the rectangle, from 0 (left) to 1 (right), shape `(batch,)`.
        tall: Height of the rectangle in whole pixels, shape `(batch,)`.
        wide: Width of the rectangle in whole pixels, shape `(batch,)`.

    Returns:
        Boolean tensor of shape `(batch, height, width, 1)`.
    """

    def within(size: int, place: Any, length: Any) -> Any:
        first = tf.floor(place * (size - length + 1))[:, None]
        at = tf.range(size, dtype=tf.float32)[None, :]
        return (at >= first) & (at < first + length[:, None])

    rows, columns = within(height, y, tall), within(width, x, wide)
    return (rows[:, :, None] & columns[:, None, :])[..., None]
