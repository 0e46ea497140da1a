"""Words of a text left out or exchanged, drawn in each epoch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kx.data.augment.operations import Batch, changes_words, chosen
from kx.data.random import uniform
from kx.types import Fraction


@changes_words
def delete_words(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    rate: Fraction = 0.1,
    probability: Fraction = 0.5,
) -> Batch:
    """Leaves out words of texts; at least one stays.

    Args:
        inputs: Token ids, shape `(batch, text_length)`, with padding (0) after each text.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        rate: Probability of each word to be left out. Defaults to 0.1.
        probability: Probability of each text to be changed. Defaults to 0.5.

    Returns:
        Token ids of the same shape, and the targets.

    Source: Wei & Zou 2019, "EDA: easy data augmentation techniques", section 2.

    Example:
    >>> tokens, seeds = tf.constant([[5, 6, 7, 0]]), tf.constant([[0, 1]], tf.int64)
    >>> delete_words(tokens, (), seeds, rate=1.0, probability=1.0)[0].numpy()[0, 1:].tolist()
    [0, 0, 0]
    """
    drawn = uniform(seeds, inputs.shape[1])
    # The word with the largest number stays in any case.
    real = inputs != 0
    last = tf.argmax(tf.where(real, drawn, -1.0), axis=1)
    stays = tf.one_hot(last, inputs.shape[1], on_value=True, off_value=False, dtype=tf.bool)
    kept = real & ((drawn >= rate) | stays)
    changed = pack(inputs, tf.where(kept, positions(inputs), inputs.shape[1]), kept)
    return tf.where(chosen(seeds, probability), changed, inputs), targets


@changes_words
def swap_words(
    inputs: Any,
    targets: Any,
    seeds: tf.Tensor,
    *,
    rate: Fraction = 0.1,
    probability: Fraction = 0.5,
) -> Batch:
    """Exchanges words of texts among themselves.

    Args:
        inputs: Token ids, shape `(batch, text_length)`, with padding (0) after each text.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        rate: Number of exchanged pairs, as a share of the words of a text; one at least. Defaults
            to 0.1.
        probability: Probability of each text to be changed. Defaults to 0.5.

    Returns:
        Token ids of the same shape, and the targets.

    Source: Wei & Zou 2019, "EDA: easy data augmentation techniques", section 2.
    """
    length = inputs.shape[1]
    real, places = inputs != 0, positions(inputs)
    num_words = tf.math.count_nonzero(inputs, axis=1, dtype=tf.int32)
    pairs = tf.maximum(tf.cast(tf.round(rate * tf.cast(num_words, tf.float32)), tf.int32), 1)
    count = tf.minimum(2 * pairs, num_words)[:, None]
    # Words in a random order: the first `count` of them are those that change places.
    order = tf.argsort(tf.where(real, uniform(seeds, length), 2.0), axis=1)
    rank = tf.argsort(order, axis=1)
    moves = rank < count
    # Each takes the word that comes next in that order, the last one that of the first.
    partner = tf.gather(order, tf.where(rank + 1 < count, rank + 1, 0), batch_dims=1)
    changed = tf.gather(inputs, tf.where(moves, partner, places), batch_dims=1)
    return tf.where(chosen(seeds, probability), changed, inputs), targets


def positions(ids: tf.Tensor) -> tf.Tensor:
    """Returns the position of each token, of the shape of the ids.

    Args:
        ids: Token ids, shape `(batch, text_length)`.
    """
    return tf.broadcast_to(tf.range(ids.shape[1])[None], tf.shape(ids))


def pack(ids: tf.Tensor, keys: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    """Returns the kept tokens in the order of their keys, with padding after them.

    Args:
        ids: Token ids, shape `(batch, text_length)`.
        keys: Number of each token; those that are not kept have the largest.
        kept: Whether each token is kept.
    """
    order = tf.argsort(keys, axis=1, stable=True)
    return tf.gather(tf.where(kept, ids, 0), order, batch_dims=1)
