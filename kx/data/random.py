"""Stateless, vectorized random numbers for augmentation, one stream for each example.

`tf.random.stateless_uniform` takes one seed for a whole tensor. Here, each example of a
batch has a seed of its own, so that its augmentation is a function of the seed of the run,
the epoch and the example, independent of its batch.
"""

from __future__ import annotations

import tensorflow as tf

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: the increment of SplitMix64


def _mix(z: tf.Tensor) -> tf.Tensor:
    """Scrambles uint64 (the finalizer of SplitMix64, Steele et al. 2014, figure 12)."""
    shift = tf.bitwise.right_shift
    z = tf.bitwise.bitwise_xor(z, shift(z, tf.constant(30, tf.uint64)))
    z = z * tf.constant(0xBF58476D1CE4E5B9, tf.uint64)
    z = tf.bitwise.bitwise_xor(z, shift(z, tf.constant(27, tf.uint64)))
    z = z * tf.constant(0x94D049BB133111EB, tf.uint64)
    return tf.bitwise.bitwise_xor(z, shift(z, tf.constant(31, tf.uint64)))


def example_seeds(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Returns one seed for each example, shape `(batch, 2)`, int64.

    Args:
        seed: Seed of the run.
        epoch: Number of the epoch, a scalar.
        index: Index of each example in its split, shape `(batch,)`.
    """
    of_epoch = tf.cast(seed, tf.int64) * 1_000_003 + tf.cast(epoch, tf.int64)
    index = tf.cast(index, tf.int64)
    return tf.stack([tf.broadcast_to(of_epoch, tf.shape(index)), index], axis=1)


def fold_in(seeds: tf.Tensor, number: int) -> tf.Tensor:
    """Returns the seeds of another stream of the same epoch, such as one for each entry of a chain.

    Args:
        seeds: Seeds of the examples, shape `(batch, 2)`.
        number: Number of the stream.
    """
    first = seeds[:, 0] * 1_000_003 + number + 1
    return tf.stack([first, seeds[:, 1]], axis=1)


def uniform(seeds: tf.Tensor, count: int, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
    """Draws `count` numbers for each example from [low, high).

    Args:
        seeds: Seeds as `example_seeds` returns them, shape `(batch, 2)`.
        count: Number of draws for each example.
        low: Lower bound, included. Defaults to 0.
        high: Upper bound, excluded. Defaults to 1.

    Returns:
        Float32 tensor of shape `(batch, count)`.
    """
    pair = tf.bitcast(seeds, tf.uint64)
    golden = tf.constant(_GOLDEN, tf.uint64)
    state = _mix(_mix(pair[:, 0] * golden + golden) + pair[:, 1] * golden)
    steps = tf.cast(tf.range(1, count + 1), tf.uint64) * golden
    bits = _mix(state[:, None] + steps[None, :])
    top = tf.bitwise.right_shift(bits, tf.constant(40, tf.uint64))  # 24 bits: all of float32
    return tf.cast(tf.cast(top, tf.int64), tf.float32) * ((high - low) / 2**24) + low
