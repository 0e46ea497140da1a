"""Augmentation of a batch: plain functions, stateless, keyed by example.

Each is `(inputs, targets, seeds, *, strength …) -> (inputs, targets)`: inputs
uint8 or float of shape `(batch, height, width, channels)`, seeds of shape
`(batch, 2)`. An entry of the `augment` config names one; a chain runs in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import tensorflow as tf

from kx.config import build
from kx.data.random import example_seeds, fold_in, uniform
from kx.data.specs import Spec
from kx.errors import ConfigError

Batch = tuple[Any, Any]
Augment = Callable[[Any, Any, tf.Tensor], Batch]


def chain(entries: Mapping[str, Any]) -> Augment | None:
    """Builds the `augment` config: its entries in order, each with a random stream of its own.

    Args:
        entries: name to a node with `_target_`; null entries are left out.

    Returns:
        One function `(inputs, targets, seeds)`, or None if there is no entry.
    """
    functions = [
        build(node, place=f"augment.{name}", partial=True)
        for name, node in entries.items()
        if node is not None
    ]
    return partial(_chained, functions) if functions else None


def check_fits(augment: Augment, inputs: Spec, names: Iterable[str]) -> None:
    """Refuses a chain that cannot take the prepared examples, before any is taken.

    Args:
        augment: the chain.
        inputs: the spec of one prepared example.
        names: of its entries, for the message.

    Raises:
        ConfigError: with what the examples are.
    """
    batch = tf.TensorSpec((None, *inputs.shape), inputs.dtype)

    def once(images: tf.Tensor) -> tf.Tensor:
        seeds = example_seeds(0, tf.constant(0, tf.int64), tf.range(tf.shape(images)[0]))
        return augment(images, (), seeds)[0]

    try:
        tf.function(once).get_concrete_function(batch)
    except Exception as error:  # what TensorFlow makes of a function's error has no common base
        expected = ""
        if len(inputs.shape) != 3:
            expected = " Expected images (height, width, channels); else choose augment=none."
        raise ConfigError(
            f"augment=[{','.join(names)}] cannot take these examples. Received: examples of shape"
            f" {inputs.shape}, {inputs.dtype}.{expected} ({str(error).splitlines()[-1].strip()})"
        ) from error


def _chained(functions: list[Augment], inputs: Any, targets: Any, seeds: tf.Tensor) -> Batch:
    for number, function in enumerate(functions):
        inputs, targets = function(inputs, targets, fold_in(seeds, number))
    return inputs, targets


def flip(inputs: Any, targets: Any, seeds: tf.Tensor, *, probability: float = 0.5) -> Batch:
    """Mirrors images left and right.

    Args:
        inputs: images.
        targets: passed on.
        seeds: shape `(batch, 2)`.
        probability: of mirroring an image.
    """
    rows, columns = tf.range(inputs.shape[1])[None, :], tf.range(inputs.shape[2])
    mirrored = uniform(seeds, 1) < probability  # (batch, 1)
    return _pixels(inputs, rows, tf.where(mirrored, columns[::-1], columns)), targets


def crop_flip(
    inputs: Any, targets: Any, seeds: tf.Tensor, *, padding: int = 4, probability: float = 0.5
) -> Batch:
    """Pads with zeros, crops back to the size at a random place, and mirrors.

    Args:
        inputs: images.
        targets: passed on.
        seeds: shape `(batch, 2)`.
        padding: pixels on each side.
        probability: of mirroring an image.

    Source: He et al. 2015, "Deep Residual Learning", section 4.2.
    """
    height, width = inputs.shape[1], inputs.shape[2]
    draws = uniform(seeds, 3)
    offsets = tf.cast(draws[:, :2] * (2 * padding + 1), tf.int32)  # 0 … 2 * padding
    rows = offsets[:, :1] + tf.range(height)  # (batch, height)
    columns = offsets[:, 1:] + tf.range(width)  # (batch, width)
    mirrored = draws[:, 2:] < probability
    columns = tf.where(mirrored, columns[:, ::-1], columns)
    around = [padding, padding]
    padded = tf.pad(inputs, [[0, 0], around, around, [0, 0]])
    return _pixels(padded, rows, columns), targets


def translate(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    height_fraction: float = 0.1,
    width_fraction: float = 0.1,
    fill_value: int = 0,
) -> Batch:
    """Shifts images by whole pixels.

    Args:
        inputs: images.
        targets: passed on.
        seeds: shape `(batch, 2)`.
        height_fraction: the largest shift up or down, as a part of the height.
        width_fraction: likewise left or right.
        fill_value: of the pixels that come in.
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

    One flat gather is some three times as fast as a map over single images, and
    six times as fast as a choice between an image and its mirror image.
    """
    shape = tf.shape(images)
    height, width, channels = shape[1], shape[2], images.shape[3]
    first = tf.range(shape[0])[:, None, None] * (height * width)
    flat = first + rows[:, :, None] * width + columns[:, None, :]  # (batch, h, w)
    return tf.gather(tf.reshape(images, (-1, channels)), flat)


def rotate(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    max_degrees: float = 15.0,
    fill_value: float = 0.0,
) -> Batch:
    """Turns images about their centre, with bilinear interpolation.

    Args:
        inputs: images.
        targets: passed on.
        seeds: shape `(batch, 2)`.
        max_degrees: the largest angle, either way.
        fill_value: of the pixels that come in.
    """
    bound = math.radians(max_degrees)
    angles = uniform(seeds, 1, -bound, bound)[:, 0]
    cosine, sine = tf.cos(angles), tf.sin(angles)
    return _affine(inputs, cosine, -sine, sine, cosine, fill_value), targets


def zoom(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    max_fraction: float = 0.1,
    fill_value: float = 0.0,
) -> Batch:
    """Zooms images in or out about their centre, with bilinear interpolation.

    Args:
        inputs: images.
        targets: passed on.
        seeds: shape `(batch, 2)`.
        max_fraction: the largest change of size, either way.
        fill_value: of the pixels that come in.
    """
    scale = 1.0 / uniform(seeds, 1, 1.0 - max_fraction, 1.0 + max_fraction)[:, 0]
    nothing = tf.zeros_like(scale)
    return _affine(inputs, scale, nothing, nothing, scale, fill_value), targets


def _affine(inputs: Any, a: Any, b: Any, c: Any, d: Any, fill_value: float) -> Any:
    """Maps output pixels to input pixels by [[a, b], [c, d]] about the centre."""
    height, width = inputs.shape[1], inputs.shape[2]
    y, x = (height - 1) / 2.0, (width - 1) / 2.0
    nothing = tf.zeros_like(a)
    transforms = tf.stack([a, b, x - a * x - b * y, c, d, y - c * x - d * y, nothing, nothing], 1)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(inputs, tf.float32),
        transforms=transforms,
        output_shape=(height, width),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=fill_value,
    )
    if inputs.dtype.is_integer:
        moved = tf.round(moved)
    return tf.cast(moved, inputs.dtype)
