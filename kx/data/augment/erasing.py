"""Rectangles of images: one that is erased, or where another image comes through."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from kx.data.augment.chaining import Batch, counts_to_255, fused, require_ordered, some
from kx.data.random import fold_in, uniform
from kx.types import AtLeastOne, Probability, Share

_NOISE = 1  # the stream of an erased rectangle's


@counts_to_255
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
        inputs: images.
        targets: passed on.
        seeds: shape `(batch, 2)`.
        probability: of erasing.
        min_area_fraction: the smallest rectangle, as a part of the image.
        max_area_fraction: the largest.
        max_aspect_ratio: of the rectangle, either way.
        fill_value: None is noise from 0 to 255, pixel by pixel.

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
    """Returns where a rectangle is, whole within each image: a mask `(batch, height, width, 1)`.

    Args:
        height: of the images.
        width: likewise.
        y: where it begins, from 0 (at the top) to 1 (as low as it fits), shape `(batch,)`.
        x: likewise from left to right.
        tall: its whole pixels, shape `(batch,)`.
        wide: likewise.
    """

    def within(size: int, place: Any, length: Any) -> Any:
        first = tf.floor(place * (size - length + 1))[:, None]
        at = tf.range(size, dtype=tf.float32)[None, :]
        return (at >= first) & (at < first + length[:, None])

    rows, columns = within(height, y, tall), within(width, x, wide)
    return (rows[:, :, None] & columns[:, None, :])[..., None]
