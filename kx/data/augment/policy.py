"""RandAugment and TrivialAugment: random choices among fourteen operations.

The same three steps are applied to all images of a batch, each image with its own parameters:
an affine map (rotation, shear, shift), a table of 256 values for each channel (brightness,
contrast, posterize, solarize, autocontrast, equalize), and a blend with a grey or smooth image
(colour, sharpness). All operations but the chosen one have parameters that change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from kx.data.augment.geometry import affine
from kx.data.augment.operations import (
    Batch,
    counts_to_255,
    fuse,
    like,
    moves_pixels,
    require_ordered,
)
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
    """Holds the largest magnitude of each operation.

    Args:
        degrees: Angle of a rotation, in degrees.
        shear: Shift of a row or column, as a fraction of its distance from the centre.
        shift: Shift as a fraction of the side of the image.
        max_shift_pixels: Upper limit of the shift, in pixels.
        factor: Change of the factor of brightness, contrast, colour and sharpness, up or down.
        bits: Number of bits that posterize removes.
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
    """Applies random operations to each image, all of one magnitude.

    Args:
        inputs: Images of one or three channels, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        num_operations: Number of operations for each image. Defaults to 2.
        magnitude: Magnitude of the operations, from 0 (no change) to `max_magnitude`. Defaults
            to 9.
        max_magnitude: Largest magnitude of the scale. Defaults to 30.
        fill_value: Value of pixels from outside the image. Defaults to 0.

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
    """Applies one random operation of a random magnitude to each image.

    Args:
        inputs: Images of one or three channels, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        fill_value: Value of pixels from outside the image. Defaults to 0.

    Source: Müller & Hutter 2021, "TrivialAugment: Tuning-free Yet State-of-the-Art Data
    Augmentation", section 3, with the wide ranges.
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
    """Applies one operation to each image of a batch.

    Args:
        inputs: Images of one or three channels, from 0 to 255, shape
            `(batch, height, width, channels)`.
        chosen: Index in `OPERATIONS` of each image, shape `(batch,)`.
        level: Magnitude from 0 to 1, shape `(batch,)`.
        sign: -1 or 1 for operations that have two directions, shape `(batch,)`.
        ranges: Magnitude of each operation at level 1.
        fill_value: Value of pixels from outside the image. Defaults to 0.
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

    # Fused separately: in one function, XLA would compute a pixel again for each use of it.
    pixels = fuse(moved)(inputs)
    tables = fuse(lambda pixels: _tables(pixels, chosen, level, amount, ranges))(pixels)
    return fuse(sharpened)(fuse(colored)(pixels, tables))


def _tables(
    pixels: Any, chosen: Any, level: Any, amount: Callable[..., Any], ranges: Ranges
) -> Any:
    """Returns the new value of each pixel value, shape `(batch, channels, 256)`."""
    values = tf.range(256, dtype=tf.float32)[None, None, :]

    def of(name: str) -> Any:
        return (chosen == OPERATIONS.index(name))[:, None, None]

    def factor(name: str) -> Any:
        return 1.0 + amount(name, ranges.factor)[:, None, None]

    table = values * factor("brightness")  # the factor is 1 for other operations
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
    flat = tf.reshape(places, (-1,))  # not `bincount`, which XLA does not support
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
    """Returns images smoothed as by Pillow's SMOOTH, with the outermost pixels unchanged.

    A convolution would take XLA thirty times as long.
    """
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    nine = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    inner = tf.round((nine + 4.0 * images[:, 1:-1, 1:-1]) / 13.0)
    middle = tf.concat([images[:, 1:-1, :1], inner, images[:, 1:-1, -1:]], axis=2)
    return tf.concat([images[:, :1], middle, images[:, -1:]], axis=1)
