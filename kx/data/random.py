"""Random numbers for augmentation: stateless, one stream for each example, vectorized.

`tf.random.stateless_uniform` takes one seed for a whole tensor; here each
example of a batch has its own, so that what happens to it is a function of the
run's seed, the epoch and the example, whatever batch it falls into.
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
        seed: of the run.
        epoch: scalar.
        index: of each example in its split, shape `(batch,)`.
    """
    of_epoch = tf.cast(seed, tf.int64) * 1_000_003 + tf.cast(epoch, tf.int64)
    index = tf.cast(index, tf.int64)
    return tf.stack([tf.broadcast_to(of_epoch, tf.shape(index)), index], axis=1)


def fold_in(seeds: tf.Tensor, number: int) -> tf.Tensor:
    """Returns seeds of another stream of the same epoch: the entries of a chain must not share one.

    Args:
        seeds: shape `(batch, 2)`.
        number: of the stream.
    """
    first = seeds[:, 0] * 1_000_003 + number + 1
    return tf.stack([first, seeds[:, 1]], axis=1)


def uniform(seeds: tf.Tensor, count: int, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
    """Draws `count` numbers for each example from [low, high).

    Args:
        seeds: shape `(batch, 2)`, as `example_seeds` gives them.
        count: numbers for each example.
        low: the least.
        high: the bound above.

    Returns:
        A float32 tensor of shape `(batch, count)`.
    """
    pair = tf.bitcast(seeds, tf.uint64)
    golden = tf.constant(_GOLDEN, tf.uint64)
    state = _mix(_mix(pair[:, 0] * golden + golden) + pair[:, 1] * golden)
    steps = tf.cast(tf.range(1, count + 1), tf.uint64) * golden
    bits = _mix(state[:, None] + steps[None, :])
    top = tf.bitwise.right_shift(bits, tf.constant(40, tf.uint64))  # 24 bits: all of float32
    return tf.cast(tf.cast(top, tf.int64), tf.float32) * ((high - low) / 2**24) + low
