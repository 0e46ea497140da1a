"""Batches of a split of raw examples.

    raw ─ prepare ─> stored ─ order, batch ─> augment ─ encode ─ mix ─> prefetch

A split is prepared once and stored (`kx.data.store`). Training is one stream over all
epochs, whose order and augmentation are functions of seed and epoch. The autotuning of
tf.data is off everywhere: deleting an autotuned iterator blocks for seconds at the end of
an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from kx.contracts.fields import map_fields
from kx.data.augment import Chain
from kx.data.random import example_seeds
from kx.data.samplers import Sampled, Sampler, shuffle
from kx.data.store import NUM_PARALLEL_CALLS, Stored, no_autotune
from kx.errors import ConfigError

_PREFETCH_BATCHES = 4
Encode = Callable[[Any, Any], tuple[Any, ...]]


def train_batches(
    stored: Stored,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    encode: Encode,
    augment: Chain | None = None,
    weigh: Callable[[Any], Any] | None = None,
    drop_remainder: bool = True,
    steps_per_epoch: int | None = None,
    first_epoch: int = 0,
    sampler: Sampler | None = None,
) -> tf.data.Dataset:
    """Returns one stream of the training batches of all epochs.

    Args:
        stored: Prepared training split.
        batch_size: Number of examples in a batch.
        epochs: Epoch at which the stream ends, which it does not include.
        seed: Seed of the run; order and augmentation are functions of the seed, the epoch and
            the example.
        encode: Function from a batch of inputs and targets to those that the model and the loss
            take, and weights if there are some.
        augment: Chain of augmentations; those that mix examples run after `encode`, all others
            before it. Defaults to None.
        weigh: Function from encoded targets to the weight of each example. Defaults to None: no
            weights.
        drop_remainder: Whether the last, smaller batch of an epoch is dropped. Defaults to True.
        steps_per_epoch: Maximum number of batches of an epoch. Defaults to None: all.
        first_epoch: Epoch at which the stream begins. Defaults to 0.
        sampler: Function from the seed and the epoch to the indices of an epoch, for a split in
            memory. Defaults to None: each example once, shuffled.

    Returns:
        Batches `(inputs, targets)`, or `(inputs, targets, weights)` with `weigh`.

    Raises:
        ConfigError: If an epoch would have no batch.
    """
    if drop_remainder:
        refuse_large_batch(batch_size, stored)
    epoch_of = _epoch_from_file
    if stored.dataset is None:
        epoch_of = partial(_epoch_in_memory, sampler or _shuffled(stored.num_examples))

    # Without Python's control flow on tensors: to look for it takes longer than to trace it.
    @tf.autograph.experimental.do_not_convert
    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        batches = epoch_of(stored, epoch, seed, batch_size, drop_remainder)
        return batches.take(steps_per_epoch) if steps_per_epoch else batches

    stream = tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)

    def finish(epoch: tf.Tensor, index: tf.Tensor, *example: Any) -> Any:
        # Examples in memory are gathered here, outside the flat_map, so that the parallel map
        # does not stop at the end of an epoch.
        if not example:
            example = tuple(map_fields(partial(_gather, index), one) for one in stored.tensors)
        inputs, targets, *weights = example
        seeds = None if augment is None else example_seeds(seed, epoch, index)
        if augment is not None:
            inputs, targets = augment.before_encoding(inputs, targets, seeds)
        inputs, targets, *more = encode(inputs, targets)
        if augment is not None:
            inputs, targets = augment.after_encoding(inputs, targets, seeds)
        weights += [*more, *([] if weigh is None else [weigh(targets)])]
        return (inputs, targets, _product(weights)) if weights else (inputs, targets)

    batches = stream.map(finish, num_parallel_calls=NUM_PARALLEL_CALLS, deterministic=True)
    return batches.prefetch(_PREFETCH_BATCHES).with_options(no_autotune())


def _gather(index: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    return tf.gather(values, index)


def _product(weights: Sequence[Any]) -> Any:
    """Returns the product of weights; those of fields are multiplied by those of examples."""
    product = weights[0]
    for other in weights[1:]:
        if not isinstance(product, Mapping) and isinstance(other, Mapping):
            product, other = other, product
        if isinstance(other, Mapping):
            product = {name: _times(product[name], other[name]) for name in product}
        else:
            product = map_fields(lambda one, other=other: _times(one, other), product)
    return product


def _times(one: Any, other: Any) -> Any:
    """Returns the product of weights of examples and of, say, their pixels."""
    one, other = (tf.cast(weight, tf.float32) for weight in (one, other))
    rank = max(one.shape.rank, other.shape.rank)
    for _ in range(rank - one.shape.rank):
        one = one[..., None]
    for _ in range(rank - other.shape.rank):
        other = other[..., None]
    return one * other


def refuse_large_batch(batch_size: int, stored: Stored) -> None:
    """Refuses a batch size above the size of the split, which would leave no batch.

    Args:
        batch_size: Number of examples in a batch.
        stored: Prepared training split.

    Raises:
        ConfigError: If the batch size is too large, with the largest possible one.
    """
    if batch_size > stored.num_examples:
        raise ConfigError(
            f"batch_size={batch_size} is larger than the training split of {stored.num_examples}"
            f" examples. Choose {stored.num_examples} or less."
        )


def _shuffled(num_examples: int) -> Sampler:
    return shuffle(Sampled(num_examples, None, None, 0))


def _epoch_in_memory(
    sampler: Sampler,
    stored: Stored,
    epoch: tf.Tensor,
    seed: int,
    batch_size: int,
    drop_remainder: bool,
) -> tf.data.Dataset:
    """Yields `(epoch, indices)` of each batch of one epoch."""
    order = sampler(tf.stack([tf.cast(seed, tf.int64), epoch]))
    batches = tf.data.Dataset.from_tensor_slices(order)
    if order.shape.rank == 1:  # else the rows are batches
        batches = batches.batch(batch_size, drop_remainder=drop_remainder)
    return batches.map(lambda index: (epoch, index))


def _epoch_from_file(
    stored: Stored, epoch: tf.Tensor, seed: int, batch_size: int, drop_remainder: bool
) -> tf.data.Dataset:
    """Yields `(epoch, indices, inputs, targets)` of each batch of one epoch."""
    assert stored.dataset is not None
    numbered = stored.dataset.enumerate()
    shuffled = numbered.shuffle(
        min(stored.num_examples, stored.shuffle_buffer),
        seed=tf.cast(seed, tf.int64) * 1_000_003 + epoch,
        reshuffle_each_iteration=False,
    )
    batches = shuffled.batch(batch_size, drop_remainder=drop_remainder)
    return batches.map(lambda index, example: (epoch, index, *example))


def eval_batches(
    stored: Stored,
    *,
    batch_size: int,
    encode: Encode,
    augment: Chain | None = None,
    seed: int = 0,
) -> tf.data.Dataset:
    """Returns the batches of one pass over a split, in order, each example once.

    Args:
        stored: Prepared split.
        batch_size: Number of examples in a batch; the last batch may be smaller.
        encode: Function from a batch of inputs and targets to those that the model and the loss
            take, and weights if there are some.
        augment: Chain of augmentations that makes views, the same in each pass. Defaults to None.
        seed: Seed of the run, for the views.
    """
    examples = stored.dataset
    if examples is None:
        examples = tf.data.Dataset.from_tensor_slices(stored.tensors)
    if augment is not None:
        examples = examples.enumerate()
    batches = examples.batch(batch_size, num_parallel_calls=NUM_PARALLEL_CALLS, deterministic=True)

    def encoded(*example: Any) -> Any:
        index, values = example if augment is not None else (None, example)
        inputs, targets, *weights = values
        if augment is not None:
            before_the_first = tf.constant(-1, tf.int64)  # an epoch that is not trained
            seeds = example_seeds(seed, before_the_first, index)
            inputs, targets = augment.before_encoding(inputs, targets, seeds)
        inputs, targets, *more = encode(inputs, targets)
        weights = (*weights, *more)
        return (inputs, targets, _product(weights)) if weights else (inputs, targets)

    mapped = batches.map(encoded, num_parallel_calls=NUM_PARALLEL_CALLS, deterministic=True)
    return mapped.prefetch(_PREFETCH_BATCHES).with_options(no_autotune())
