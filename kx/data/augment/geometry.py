"""Augmentations that move pixels: flip, shift, crop, rotate, zoom, shear."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from kx.data.augment.chaining import Batch, fused, like, moves_pixels, require_ordered
from kx.data.random import uniform
from kx.types import AtLeastOne, Degrees, Fraction, NonNegative, NonNegativeInt, Probability, Share


@moves_pixels
@fused
def flip(inputs: Any, targets: Any, seeds: tf.Tensor, *, probability: Probability = 0.5) -> Batch:
    """Flips images horizontally.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        probability: Probability of flipping an image. Defaults to 0.5.
    """
    mirrored = uniform(seeds, 1)[:, :, None, None] < probability
    return tf.where(mirrored, inputs[:, :, ::-1], inputs), targets


@moves_pixels
@fused
def crop_flip(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    padding: NonNegativeInt = 4,
    probability: Probability = 0.5,
) -> Batch:
    """Pads images with zeros, crops them to their size at a random place, and flips them.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        padding: Number of pixels on each side. Defaults to 4.
        probability: Probability of flipping an image. Defaults to 0.5.

    Source: He et al. 2015, "Deep Residual Learning", section 4.2.
    """
    height, width = inputs.shape[1], inputs.shape[2]
    require_ordered("crop_flip", ("padding", padding), ("the image's side", min(height, width)))
    draws = uniform(seeds, 3)
    offsets = tf.cast(draws[:, :2] * (2 * padding + 1), tf.int32)  # 0 … 2 * padding
    rows = offsets[:, :1] + tf.range(height)  # (batch, height)
    # From right to left where mirrored. By arithmetic, which XLA fuses into one loop; reversing
    # the tensor costs up to half the speed.
    mirrored = tf.cast(draws[:, 2:] < probability, tf.int32)
    columns = offsets[:, 1:] + mirrored * (width - 1) + (1 - 2 * mirrored) * tf.range(width)
    around = [padding, padding]
    padded = tf.pad(inputs, [[0, 0], around, around, [0, 0]])
    return _pixels(padded, rows, columns), targets


@moves_pixels
@fused
def translate(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    height_fraction: Fraction = 0.1,
    width_fraction: Fraction = 0.1,
    fill_value: int = 0,
) -> Batch:
    """Shifts images by whole pixels.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        height_fraction: Largest shift up or down, as a fraction of the height. Defaults to 0.1.
        width_fraction: Largest shift left or right, as a fraction of the width. Defaults to 0.1.
        fill_value: Value of pixels from outside the image. Defaults to 0.
    """
    height, width = inputs.shape[1], inputs.shape[2]
    up, left = round(height * height_fraction), round(width * width_fraction)
    draws = uniform(seeds, 2)
    rows = tf.cast(draws[:, :1] * (2 * up + 1), tf.int32) + tf.range(height)
    columns = tf.cast(draws[:, 1:] * (2 * left + 1), tf.int32) + tf.range(width)
    fill = tf.cast(fill_value, inputs.dtype)
    padded = tf.pad(inputs, [[0, 0], [up, up], [left, left], [0, 0]], constant_values=fill)
    return _pixels(padded, rows, columns), targets


def _pixels(images: Any, rows: tf.Tensor, columns: tf.Tensor) -> Any:
    """Gathers whole pixels: `out[b, i, j] = images[b, rows[b, i], columns[b, j]]`.

    One flat gather is about three times as fast as a map over single images.
    """
    shape = tf.shape(images)
    height, width, channels = shape[1], shape[2], images.shape[3]
    first = tf.range(shape[0])[:, None, None] * (height * width)
    flat = first + rows[:, :, None] * width + columns[:, None, :]  # (batch, h, w)
    return tf.gather(tf.reshape(images, (-1, channels)), flat)


@moves_pixels
@fused
def rotate(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    max_degrees: Degrees = 15.0,
    fill_value: float = 0.0,
) -> Batch:
    """Rotates images about their centre, with bilinear interpolation.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        max_degrees: Largest angle in degrees, in both directions. Defaults to 15.
        fill_value: Value of pixels from outside the image. Defaults to 0.
    """
    bound = math.radians(max_degrees)
    angles = uniform(seeds, 1, -bound, bound)[:, 0]
    cosine, sine = tf.cos(angles), tf.sin(angles)
    return affine(inputs, cosine, -sine, sine, cosine, fill_value), targets


@moves_pixels
@fused
def zoom(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    max_fraction: Fraction = 0.1,
    fill_value: float = 0.0,
) -> Batch:
    """Zooms images in or out about their centre, with bilinear interpolation.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        max_fraction: Largest change of size as a fraction, in or out. Defaults to 0.1.
        fill_value: Value of pixels from outside the image. Defaults to 0.
    """
    scale = 1.0 / uniform(seeds, 1, 1.0 - max_fraction, 1.0 + max_fraction)[:, 0]
    nothing = tf.zeros_like(scale)
    return affine(inputs, scale, nothing, nothing, scale, fill_value), targets


@moves_pixels
@fused
def shear(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    x_fraction: NonNegative = 0.2,
    y_fraction: NonNegative = 0.0,
    fill_value: float = 0.0,
) -> Batch:
    """Shears images about their centre, with bilinear interpolation.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        x_fraction: Largest shift of a row, left or right, as a fraction of its distance from the
            centre. Defaults to 0.2.
        y_fraction: Largest shift of a column, up or down, as a fraction of its distance from the
            centre. Defaults to 0.
        fill_value: Value of pixels from outside the image. Defaults to 0.
    """
    draws = uniform(seeds, 2, -1.0, 1.0)
    one = tf.ones_like(draws[:, 0])
    return affine(
        inputs, one, draws[:, 0] * x_fraction, draws[:, 1] * y_fraction, one, fill_value
    ), targets


@moves_pixels
@fused
def resized_crop(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    min_area_fraction: Share = 0.25,
    max_aspect_ratio: AtLeastOne = 4 / 3,
) -> Batch:
    """Crops each image at a random place, size and aspect ratio, and resizes it back.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        min_area_fraction: Smallest area of the crop as a fraction of the image; the largest is 1.
            Defaults to 0.25; the paper has 0.08, for large photographs.
        max_aspect_ratio: Largest aspect ratio of the crop, tall or wide, relative to that of the
            image. Defaults to 4/3.

    Source: Szegedy et al. 2014, "Going Deeper with Convolutions", section 6.
    """
    height, width = inputs.shape[1], inputs.shape[2]
    draws = uniform(seeds, 4)
    area = min_area_fraction + draws[:, 0] * (1 - min_area_fraction)
    bound = math.log(max_aspect_ratio)
    aspect = tf.exp((2 * draws[:, 1] - 1) * bound)
    tall = tf.minimum(tf.sqrt(area / aspect), 1.0)
    wide = tf.minimum(tf.sqrt(area * aspect), 1.0)
    # Distance from the centre of the image to the centre of the crop, in pixels.
    down = (draws[:, 2] - 0.5) * (1 - tall) * height
    right = (draws[:, 3] - 0.5) * (1 - wide) * width
    nothing = tf.zeros_like(tall)
    return affine(
        inputs, wide, nothing, nothing, tall, right=right, down=down, fill_mode="NEAREST"
    ), targets


def affine(
    inputs: Any,
    a: Any,
    b: Any,
    c: Any,
    d: Any,
    fill_value: float = 0.0,
    *,
    right: Any = 0.0,
    down: Any = 0.0,
    fill_mode: str = "CONSTANT",
) -> Any:
    """Maps output pixels to input pixels by [[a, b], [c, d]] about the centre and a shift.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        a: Factor from the output's x to the input's x, shape `(batch,)`.
        b: Factor from the output's y to the input's x, shape `(batch,)`.
        c: Factor from the output's x to the input's y, shape `(batch,)`.
        d: Factor from the output's y to the input's y, shape `(batch,)`.
        fill_value: Value of pixels from outside the image. Defaults to 0.
        right: Shift of the centre in the input, in pixels to the right. Defaults to 0.
        down: Shift of the centre in the input, in pixels down. Defaults to 0.
        fill_mode: `"CONSTANT"` for `fill_value` outside the image, or `"NEAREST"` for the pixel
            at the edge. Defaults to `"CONSTANT"`.
    """
    height, width, channels = inputs.shape[1:]
    middle_y, middle_x = (height - 1) / 2.0, (width - 1) / 2.0
    y = tf.range(height, dtype=tf.float32)[None, :, None] - middle_y
    x = tf.range(width, dtype=tf.float32)[None, None, :] - middle_x
    a, b, c, d = (tf.reshape(value, (-1, 1, 1)) for value in (a, b, c, d))
    right, down = (tf.reshape(tf.cast(value, tf.float32), (-1, 1, 1)) for value in (right, down))
    y, x = c * x + d * y + (middle_y + down), a * x + b * y + (middle_x + right)
    if fill_mode == "NEAREST":
        y, x = tf.clip_by_value(y, 0.0, height - 1.0), tf.clip_by_value(x, 0.0, width - 1.0)
    # A frame of one pixel, to which places farther outside are clipped.
    fill = tf.cast(fill_value, inputs.dtype)
    framed = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=fill)
    y, x = tf.clip_by_value(y + 1.0, 0.0, height + 1.0), tf.clip_by_value(x + 1.0, 0.0, width + 1.0)
    pixels, wide = tf.reshape(framed, (-1, channels)), width + 2
    above, left = tf.floor(y), tf.floor(x)
    part_y, part_x = (y - above)[..., None], (x - left)[..., None]
    first = tf.range(tf.shape(inputs)[0])[:, None, None] * ((height + 2) * wide)
    row = first + tf.cast(above, tf.int32) * wide
    below = first + tf.cast(tf.minimum(above + 1.0, height + 1.0), tf.int32) * wide
    column = tf.cast(left, tf.int32)
    right_of_it = tf.cast(tf.minimum(left + 1.0, width + 1.0), tf.int32)

    def at(places: Any) -> Any:
        return tf.cast(tf.gather(pixels, places), tf.float32)

    # Not TensorFlow's ImageProjectiveTransform: XLA fuses this into one loop.
    top = at(row + column) * (1.0 - part_x) + at(row + right_of_it) * part_x
    bottom = at(below + column) * (1.0 - part_x) + at(below + right_of_it) * part_x
    return like(top * (1.0 - part_y) + bottom * part_y, inputs)
