"""RandAugment and TrivialAugment: random choices among fourteen changes.

All images of a batch go through the same three steps, whose parameters each has its own: an
affine map (turn, shear, shift), a table of 256 values for each channel (brightness, contrast,
posterize, solarize, autocontrast, equalize), and a blend with a duller image (colour,
sharpness). For all but one of them an image has the parameters that change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from kx.data.augment.chaining import Batch, counts_to_255, fuse, like, moves_pixels, require_ordered
from kx.data.augment.geometry import affine
from kx.data.augment.pixels import blend, gray
from kx.data.random import fold_in, uniform
from kx.types import Count, NonNegative, Positive

OPERATIONS = (
    "identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y", "brightness",
    "contrast", "posterize", "solarize", "autocontrast", "equalize", "color", "sharpness",
)  # fmt: skip
_SIGNED = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y", "brightness", "contrast",
           "color", "sharpness")  # fmt: skip


@dataclass(frozen=True)
class Ranges:
    """Holds what the largest magnitude of each change is.

    Args:
        degrees: of the turn.
        shear: of a row, by its distance from the centre.
        shift: as a part of the side.
        max_shift_pixels: and no farther.
        factor: by which brightness, contrast, colour and sharpness change, either way.
        bits: that posterize takes away.
    """

    degrees: float
    shear: float
    shift: float
    max_shift_pixels: float
    factor: float
    bits: int


_RANDAUGMENT = Ranges(
    degrees=30.0, shear=0.3, shift=150 / 331, max_shift_pixels=math.inf, factor=0.9, bits=4
)
_TRIVIAL = Ranges(degrees=135.0, shear=0.99, shift=1.0, max_shift_pixels=32, factor=0.99, bits=6)


@counts_to_255
@moves_pixels
def randaugment(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    num_operations: Count = 2,
    magnitude: NonNegative = 9.0,
    max_magnitude: Positive = 30.0,
    fill_value: float = 0.0,
) -> Batch:
    """Changes each image in some ways, chosen at random, all of one magnitude.

    Args:
        inputs: images of one or three channels.
        targets: passed on.
        seeds: shape `(batch, 2)`.
        num_operations: one after the other.
        magnitude: of the changes, from 0 (none) to `max_magnitude`.
        max_magnitude: the end of the scale.
        fill_value: of the pixels that come in.

    Source: Cubuk et al. 2019, "RandAugment: Practical automated data augmentation with a reduced
    search space", section 3; the ranges are those of AutoAugment (Cubuk et al. 2018, table 6).
    """
    require_ordered("randaugment", ("magnitude", magnitude), ("max_magnitude", max_magnitude))
    level = magnitude / max_magnitude

    def strength(own: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.shape(own)[:1], level)

    for number in range(num_operations):
        own = fold_in(seeds, number)
        inputs = _once(inputs, own, strength, _RANDAUGMENT, fill_value)
    return inputs, targets


@counts_to_255
@moves_pixels
def trivial(inputs: Any, targets: Any, seeds: tf.Tensor, *, fill_value: float = 0.0) -> Batch:
    """Changes each image in one way and of one magnitude, both chosen at random.

    Args:
        inputs: images of one or three channels.
        targets: passed on.
        seeds: shape `(batch, 2)`.
        fill_value: of the pixels that come in.

    Source: Müller & Hutter 2021, "TrivialAugment: Tuning-free Yet State-of-the-Art Data
    Augmentation", section 3, its wide ranges.
    """

    def strength(own: tf.Tensor) -> tf.Tensor:
        return tf.floor(uniform(fold_in(own, 1), 1)[:, 0] * 31) / 30

    return _once(inputs, seeds, strength, _TRIVIAL, fill_value), targets


def _once(
    inputs: Any,
    seeds: tf.Tensor,
    strength: Callable[[tf.Tensor], tf.Tensor],
    ranges: Ranges,
    fill_value: float,
) -> Any:
    draws = uniform(seeds, 2)
    chosen = tf.cast(draws[:, 0] * len(OPERATIONS), tf.int32)
    sign = tf.where(draws[:, 1] < 0.5, -1.0, 1.0)
    return change(inputs, chosen, strength(seeds), sign, ranges, fill_value)


def change(
    inputs: Any, chosen: Any, level: Any, sign: Any, ranges: Ranges, fill_value: float = 0.0
) -> Any:
    """Changes each image of a batch in one way.

    Args:
        inputs: images of one or three channels, from 0 to 255.
        chosen: places in `OPERATIONS`, shape `(batch,)`.
        level: from 0 to 1, shape `(batch,)`.
        sign: -1 or 1, for changes that have two directions.
        ranges: what level 1 is.
        fill_value: of the pixels that come in.
    """

    def amount(name: str, most: float, otherwise: float = 0.0) -> Any:
        value = level * most * (sign if name in _SIGNED else 1.0)
        return tf.where(chosen == OPERATIONS.index(name), value, otherwise)

    def moved(images: Any) -> Any:
        height, width = inputs.shape[1], inputs.shape[2]
        angle = amount("rotate", math.radians(ranges.degrees))
        images = affine(
            tf.cast(images, tf.float32), tf.cos(angle),
            amount("shear_x", ranges.shear) - tf.sin(angle),
            amount("shear_y", ranges.shear) + tf.sin(angle), tf.cos(angle), fill_value,
            right=amount("translate_x", min(ranges.shift * width, ranges.max_shift_pixels)),
            down=amount("translate_y", min(ranges.shift * height, ranges.max_shift_pixels)),
        )  # fmt: skip
        return tf.cast(tf.clip_by_value(tf.round(images), 0.0, 255.0), tf.int32)

    def colored(pixels: Any, tables: Any) -> Any:
        images = _looked_up(pixels, tables)
        factor = 1.0 + amount("color", ranges.factor)[:, None, None, None]
        return blend(gray(images), images, factor)

    def sharpened(images: Any) -> Any:
        factor = 1.0 + amount("sharpness", ranges.factor)[:, None, None, None]
        images = blend(_smooth(images), images, factor)
        return like(tf.clip_by_value(images, 0.0, 255.0), inputs)

    # Each by itself: in one, XLA would compute a pixel anew for each use of it.
    pixels = fuse(moved)(inputs)
    tables = fuse(lambda pixels: _tables(pixels, chosen, level, amount, ranges))(pixels)
    return fuse(sharpened)(fuse(colored)(pixels, tables))


def _tables(
    pixels: Any, chosen: Any, level: Any, amount: Callable[..., Any], ranges: Ranges
) -> Any:
    """Returns what becomes of each value, shape `(batch, channels, 256)`."""
    values = tf.range(256, dtype=tf.float32)[None, None, :]

    def of(name: str) -> Any:
        return (chosen == OPERATIONS.index(name))[:, None, None]

    def factor(name: str) -> Any:
        return 1.0 + amount(name, ranges.factor)[:, None, None]

    table = values * factor("brightness")  # of the others, as it is
    mean = tf.reduce_mean(gray(tf.cast(pixels, tf.float32)), axis=(1, 2, 3))[:, None, None]
    table = tf.where(of("contrast"), blend(tf.round(mean), values, factor("contrast")), table)
    step = 2.0 ** tf.round(level * ranges.bits)[:, None, None]
    table = tf.where(of("posterize"), tf.floor(values / step) * step, table)
    threshold = tf.round(256.0 * (1.0 - level))[:, None, None]
    table = tf.where(of("solarize"), tf.where(values < threshold, values, 255.0 - values), table)
    low = tf.cast(tf.reduce_min(pixels, axis=(1, 2)), tf.float32)[:, :, None]
    high = tf.cast(tf.reduce_max(pixels, axis=(1, 2)), tf.float32)[:, :, None]
    stretched = (values - low) * (255.0 / tf.maximum(high - low, 1.0))
    table = tf.where(of("autocontrast") & (high > low), stretched, table)
    table = tf.where(of("equalize"), _equalizing(pixels), table)
    return tf.clip_by_value(table, 0.0, 255.0)


def _equalizing(pixels: Any) -> Any:
    """Returns the tables that make all values equally frequent, as Pillow's `equalize` does."""
    batch, channels = tf.shape(pixels)[0], pixels.shape[3]
    of_channel = tf.range(batch * channels) * 256
    places = tf.reshape(of_channel, (-1, 1, 1, channels)) + pixels
    flat = tf.reshape(places, (-1,))  # not `bincount`, which XLA does not know
    counts = tf.math.unsorted_segment_sum(tf.ones_like(flat), flat, batch * channels * 256)
    counts = tf.reshape(counts, (-1, channels, 256))
    last = tf.reduce_max(tf.where(counts > 0, tf.range(256), 0), axis=-1)
    step = (tf.reduce_sum(counts, -1) - tf.gather(counts, last, batch_dims=2)) // 255
    before = tf.cumsum(counts, axis=-1, exclusive=True) + step[..., None] // 2
    table = before // tf.maximum(step, 1)[..., None]
    table = tf.where(step[..., None] > 0, table, tf.range(256)[None, None, :])
    return tf.cast(tf.minimum(table, 255), tf.float32)


def _looked_up(pixels: Any, table: Any) -> Any:
    batch, channels = tf.shape(pixels)[0], pixels.shape[3]
    first = tf.reshape(tf.range(batch * channels) * 256, (-1, 1, 1, channels))
    return tf.gather(tf.reshape(tf.round(table), (-1,)), first + pixels)


def _smooth(images: Any) -> Any:
    """Returns Pillow's SMOOTH of images, a mean of nine pixels; the outermost ones stay.

    Not by a convolution, for which XLA takes thirty times as long.
    """
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    nine = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    inner = tf.round((nine + 4.0 * images[:, 1:-1, 1:-1]) / 13.0)
    middle = tf.concat([images[:, 1:-1, :1], inner, images[:, 1:-1, -1:]], axis=2)
    return tf.concat([images[:, :1], middle, images[:, -1:]], axis=1)
