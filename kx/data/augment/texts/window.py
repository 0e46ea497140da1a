"""A part of each text, drawn in each epoch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kx.data.augment.operations import Batch, changes_texts
from kx.data.random import uniform
from kx.errors import ConfigError
from kx.types import Count


@changes_texts
def window(inputs: Any, targets: Any, seeds: tf.Tensor, *, length: Count = 256) -> Batch:
    """Takes a part of each text that begins at a random token.

    Args:
        inputs: Token ids, shape `(batch, text_length)`, with padding (0) after each text.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        length: Number of tokens that a language model predicts of each text; the part has one
            more, before them. Texts that are shorter stay whole. Defaults to 256.

    Returns:
        Token ids, shape `(batch, length + 1)`, and the targets.

    Raises:
        ConfigError: If the inputs are no token ids.

    Example:
    >>> tokens = tf.range(1, 9)[None]
    >>> window(tokens, {}, tf.constant([[0, 1]], tf.int64), length=3)[0].shape
    TensorShape([1, 4])
    """
    if isinstance(inputs, dict) or inputs.shape.rank != 2 or not inputs.dtype.is_integer:
        raise ConfigError("augment=window takes a part of each text: token ids. augment=none.")
    size: int = inputs.shape[1]
    if size <= length + 1:
        return inputs, targets
    held = tf.math.count_nonzero(inputs, axis=1, dtype=tf.int32)
    num_places = tf.maximum(held - length, 1)
    drawn = uniform(seeds, 1)[:, 0] * tf.cast(num_places, tf.float32)
    start = tf.minimum(tf.cast(drawn, tf.int32), num_places - 1)
    places = start[:, None] + tf.range(length + 1)[None]
    return tf.gather(inputs, places, batch_dims=1), targets
