"""Pad-crop and flip of a batch, as one would write it by hand with TensorFlow."""

from __future__ import annotations

import tensorflow as tf

PADDING = 4


def _padded(images: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """Pads, and draws which pixel of the padded image each pixel of the crop is."""
    batch, side = tf.shape(images)[0], images.shape[1]
    around = [PADDING, PADDING]
    offsets = tf.random.uniform([batch, 2], 0, 2 * PADDING + 1, tf.int32)
    rows = offsets[:, :1] + tf.range(side)  # (batch, side)
    columns = offsets[:, 1:] + tf.range(side)
    mirrored = tf.random.uniform([batch, 1]) < 0.5
    columns = tf.where(mirrored, columns[:, ::-1], columns)
    return tf.pad(images, [[0, 0], around, around, [0, 0]]), (rows, columns)


def one_flat_gather(images: tf.Tensor) -> tf.Tensor:
    """Gathers whole pixels once, by computed indices."""
    padded, (rows, columns) = _padded(images)
    side = padded.shape[1]
    first = tf.range(tf.shape(images)[0])[:, None, None] * (side * side)
    flat = first + rows[:, :, None] * side + columns[:, None, :]  # (batch, side, side)
    return tf.gather(tf.reshape(padded, (-1, images.shape[3])), flat)


def two_gathers(images: tf.Tensor) -> tf.Tensor:
    """Gathers rows, then columns."""
    padded, (rows, columns) = _padded(images)
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def per_image(image: tf.Tensor) -> tf.Tensor:
    """Does it to a single image, with `tf.image`."""
    side, channels = image.shape[0], image.shape[2]
    padded = tf.image.resize_with_crop_or_pad(image, side + 2 * PADDING, side + 2 * PADDING)
    cropped = tf.image.random_crop(padded, (side, side, channels))
    return tf.image.random_flip_left_right(cropped)
