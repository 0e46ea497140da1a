"""Moves images, masks and boxes by affine maps.

A matrix, shape `(2, 3)`, maps the index `(x, y, 1)` of a pixel of the output to its place in the
input, in pixels. The middle of the pixel with index 0 is 0; in boxes, it is 0.5.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kx.data.augment.operations import like


def warp_mask(masks: Any, matrices: tf.Tensor, fill_value: int = 0) -> Any:
    """Moves masks: each pixel of the output has the class of the nearest pixel of the input.

    Args:
        masks: Classes, shape `(batch, height, width)` or `(batch, height, width, channels)`.
        matrices: Affine matrices, shape `(batch, 2, 3)`.
        fill_value: Class of pixels from outside the input. Defaults to 0.
    """
    height, width = masks.shape[1], masks.shape[2]
    y, x = tf.meshgrid(
        tf.range(height, dtype=tf.float32), tf.range(width, dtype=tf.float32), indexing="ij"
    )
    places = tf.reshape(tf.stack([x, y, tf.ones_like(x)], axis=-1), (-1, 3))
    found = tf.cast(tf.round(tf.einsum("pk,bik->bpi", places, matrices)), tf.int32)
    column, row = found[..., 0], found[..., 1]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = tf.clip_by_value(row, 0, height - 1) * width + tf.clip_by_value(column, 0, width - 1)
    shape = tf.shape(masks)
    flat = tf.reshape(masks, tf.concat([shape[:1], [height * width], shape[3:]], axis=0))
    moved = tf.gather(flat, index, batch_dims=1)
    if len(masks.shape) == 4:
        inside = inside[..., None]
    moved = tf.where(inside, moved, tf.cast(fill_value, masks.dtype))
    return tf.ensure_shape(tf.reshape(moved, shape), masks.shape)


def warp_boxes(
    boxes: Any, matrices: tf.Tensor, size: tuple[int, int], padding_value: float = -1.0
) -> tuple[Any, Any]:
    """Moves boxes, and clips them to the image.

    A turned box becomes the smallest upright one around it.

    Args:
        boxes: `(x_min, y_min, x_max, y_max)` in pixels, shape `(batch, num_boxes, 4)`.
        matrices: Affine matrices, shape `(batch, 2, 3)`.
        size: Height and width of the images.
        padding_value: Value of all four numbers of a row without a box. Defaults to -1.

    Returns:
        The moved boxes, and whether a row has no box now, shape `(batch, num_boxes)`: no box
        before, or one that has left the image.
    """
    height, width = size
    linear, shift = matrices[:, :, :2], matrices[:, :, 2:]
    back = tf.linalg.inv(linear)
    x_min, y_min, x_max, y_max = tf.unstack(tf.cast(boxes, tf.float32), axis=-1)
    corners = tf.stack(
        [
            tf.stack([x_min, x_max, x_min, x_max], axis=-1),
            tf.stack([y_min, y_min, y_max, y_max], axis=-1),
        ],
        axis=-1,
    )  # (batch, num_boxes, 4 corners, 2)
    offset = corners - 0.5 - shift[:, None, None, :, 0]
    moved = tf.einsum("bij,bnkj->bnki", back, offset) + 0.5
    low, high = tf.reduce_min(moved, axis=2), tf.reduce_max(moved, axis=2)
    limit = tf.constant([width, height], tf.float32)
    low, high = tf.clip_by_value(low, 0.0, limit), tf.clip_by_value(high, 0.0, limit)
    gone = tf.reduce_all(boxes == tf.cast(padding_value, boxes.dtype), axis=-1)
    gone |= tf.reduce_any(high <= low, axis=-1)
    result = tf.cast(tf.concat([low, high], axis=-1), boxes.dtype)
    return tf.where(gone[..., None], tf.cast(padding_value, boxes.dtype), result), gone


def about_centre(
    size: tuple[int, int], a: Any, b: Any, c: Any, d: Any, right: Any = 0.0, down: Any = 0.0
) -> tf.Tensor:
    """Returns the matrices of `[[a, b], [c, d]]` about the centre of the image, and a shift.

    Args:
        size: Height and width of the images.
        a: Factor from the output's x to the input's x, shape `(batch,)`.
        b: Factor from the output's y to the input's x, shape `(batch,)`.
        c: Factor from the output's x to the input's y, shape `(batch,)`.
        d: Factor from the output's y to the input's y, shape `(batch,)`.
        right: Shift of the centre in the input, in pixels to the right. Defaults to 0.
        down: Shift of the centre in the input, in pixels down. Defaults to 0.
    """
    y, x = (size[0] - 1) / 2.0, (size[1] - 1) / 2.0
    first = tf.stack([a, b, x + right - a * x - b * y], axis=-1)
    second = tf.stack([c, d, y + down - c * x - d * y], axis=-1)
    return tf.stack([first, second], axis=1)


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
