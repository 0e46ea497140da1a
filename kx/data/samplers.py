"""The options of `sampler`: which examples come in an epoch, and in which order.

Each is a function from a split to a sampler: a function from the seed of the run and the number of
the epoch to the indices of the epoch's examples. So a run that was stopped continues with the same
batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from omegaconf import DictConfig

from kx.config import build, plain
from kx.contracts.fields import named_fields
from kx.contracts.specs import Data, Spec
from kx.data.store import Stored
from kx.errors import ConfigError, first_line
from kx.types import Count

# From `[seed, epoch]` of int64 to the indices of an epoch: `(num_examples,)`, of which batches are
# made, or `(num_batches, batch_size)`. The shape must be known, and the same in each epoch.
Sampler = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Sampled:
    """Describes the training split to a sampler.

    Args:
        num_examples: Number of examples.
        classes: Class of each example, shape `(num_examples,)`, or None where examples have no
            single class.
        class_names: Name of each class, or None.
        batch_size: Number of examples in a batch.
        lengths: Number of tokens of each example, or None where examples are not padded.
    """

    num_examples: int
    classes: np.ndarray | None
    class_names: Sequence[str] | None
    batch_size: int
    lengths: np.ndarray | None = None


def shuffle(split: Sampled) -> Sampler:
    """Gives each example once, in an order of each epoch.

    Args:
        split: Training split.

    Example:
    >>> sampler = shuffle(Sampled(4, None, None, 2))
    >>> sorted(sampler(tf.constant([0, 1], tf.int64)).numpy().tolist())
    [0, 1, 2, 3]
    """
    return lambda seeds: tf.random.experimental.stateless_shuffle(
        tf.range(split.num_examples), seed=seeds
    )


def in_order(split: Sampled) -> Sampler:
    """Gives each example once, in the order of the split: for series, or to look for an error.

    Args:
        split: Training split.
    """
    return lambda seeds: tf.range(split.num_examples)


def by_length(split: Sampled, *, window: Count = 50) -> Sampler:
    """Gives each example once, in batches of texts of like lengths, which need little padding.

    Args:
        split: Training split of texts.
        window: Number of batches whose texts are sorted among themselves. Defaults to 50.

    Raises:
        ConfigError: If the examples have no lengths.
    """
    if split.lengths is None:
        raise ConfigError("sampler=by_length expects texts. Take sampler=shuffle.")
    lengths, size = tf.constant(split.lengths, tf.int64), split.batch_size
    whole = split.num_examples // size * size

    def drawn(seeds: tf.Tensor) -> tf.Tensor:
        order = tf.random.experimental.stateless_shuffle(tf.range(split.num_examples), seed=seeds)
        chosen, rest = order[:whole], order[whole:]  # the rest of any length, for a smaller batch
        numbers = tf.range(whole, dtype=tf.int64) // (window * size)
        keys = numbers * (tf.reduce_max(lengths) + 1) + tf.gather(lengths, chosen)
        batches = tf.reshape(tf.gather(chosen, tf.argsort(keys, stable=True)), [-1, size])
        mixed = tf.random.experimental.stateless_shuffle(batches, seed=_mixed(seeds, 0, 0))
        return tf.concat([tf.reshape(mixed, [-1]), rest], axis=0)

    return drawn


def balanced(split: Sampled) -> Sampler:
    """Gives each class equally often: those of few examples come several times in an epoch.

    An epoch has as many examples as the split, or up to one more of each class.

    Args:
        split: Training split of examples with one class each.

    Raises:
        ConfigError: If examples have no single class.
    """
    members = _members(split, "balanced")
    count = -(-split.num_examples // len(members))

    def drawn(seeds: tf.Tensor) -> tf.Tensor:
        chosen = []
        for number, of_class in enumerate(members):
            rounds = [
                tf.random.experimental.stateless_shuffle(
                    tf.constant(of_class, tf.int32), seed=_mixed(seeds, number, turn)
                )
                for turn in range(-(-count // len(of_class)))
            ]
            chosen.append(tf.concat(rounds, axis=0)[:count])
        every = tf.concat(chosen, axis=0)
        return tf.random.experimental.stateless_shuffle(every, seed=_mixed(seeds, len(members), 0))

    return drawn


def episodes(
    split: Sampled,
    *,
    num_classes: Count = 5,
    num_shots: Count = 1,
    num_queries: Count = 5,
    num_episodes: Count = 100,
) -> Sampler:
    """Gives episodes for learning from few examples: each batch has a few classes.

    A batch has `num_shots + num_queries` different examples of each of its classes, those of one
    class together, the shots first.

    Args:
        split: Training split of examples with one class each.
        num_classes: Number of classes of an episode. Defaults to 5.
        num_shots: Number of examples of each class to learn from. Defaults to 1.
        num_queries: Number of examples of each class to be judged. Defaults to 5.
        num_episodes: Number of episodes of an epoch. Defaults to 100.

    Raises:
        ConfigError: If examples have no single class, if there are too few classes, a class has
            too few examples, or `batch_size` is not that of an episode.

    Source: Vinyals et al. 2016, "Matching networks for one shot learning", section 2.2.
    """
    members = _members(split, "episodes")
    each = num_shots + num_queries
    if num_classes > len(members):
        raise ConfigError(
            f"sampler.num_classes={num_classes}: the training split has {len(members)} classes."
        )
    fewest = min(map(len, members))
    if each > fewest:
        raise ConfigError(
            f"sampler: {num_shots} shots and {num_queries} queries need {each} examples of each"
            f" class. The smallest one has {fewest}."
        )
    if split.batch_size != num_classes * each:
        raise ConfigError(
            f"batch_size={split.batch_size}: an episode has num_classes * (num_shots +"
            f" num_queries) = {num_classes * each} examples. Set batch_size={num_classes * each}."
        )
    most = max(map(len, members))
    padded = np.zeros((len(members), most), "int32")
    known = np.zeros((len(members), most), "float32")
    for number, of_class in enumerate(members):
        padded[number, : len(of_class)], known[number, : len(of_class)] = of_class, 1

    def episode(seeds: tf.Tensor) -> tf.Tensor:
        order = tf.random.stateless_uniform([len(members)], _mixed(seeds, 0, 0))
        chosen = tf.math.top_k(order, num_classes).indices  # (num_classes,)
        keys = tf.random.stateless_uniform([num_classes, most], _mixed(seeds, 1, 0)) + 1e-6
        places = tf.math.top_k(keys * tf.gather(known, chosen), each).indices
        return tf.reshape(tf.gather(tf.gather(padded, chosen), places, batch_dims=1), [-1])

    def drawn(seeds: tf.Tensor) -> tf.Tensor:
        numbers = tf.range(num_episodes, dtype=tf.int64)
        found = tf.map_fn(
            lambda number: episode(_mixed(seeds, number, 7)), numbers, fn_output_signature=tf.int32
        )
        return tf.ensure_shape(found, [num_episodes, num_classes * each])

    return drawn


def _members(split: Sampled, name: str) -> list[np.ndarray]:
    """Returns the indices of the examples of each class that has some."""
    if split.classes is None:
        raise ConfigError(
            f"sampler={name} expects one class for each example, and these have none. Take"
            " sampler=shuffle."
        )
    found = [np.flatnonzero(split.classes == number) for number in np.unique(split.classes)]
    return found


def _mixed(seeds: tf.Tensor, one: Any, other: Any) -> tf.Tensor:
    """Returns a seed that is a function of seeds and two numbers."""
    numbers = tf.stack([tf.cast(one, tf.int64), tf.cast(other, tf.int64)])
    # An odd factor for each, so that no two pairs of small numbers give the same.
    return seeds * 1_000_003 + numbers * 7_919


def is_shuffle(config: DictConfig) -> bool:
    """Returns whether each example comes once an epoch, shuffled.

    Args:
        config: Config of the run; one of an earlier version has no sampler.
    """
    target = (config.get("sampler") or {}).get("_target_")
    return target in (None, f"{shuffle.__module__}.{shuffle.__name__}")


def make_sampler(config: DictConfig, data: Data, train: Stored) -> tuple[Sampler | None, int]:
    """Builds the sampler of a config.

    Args:
        config: Config of the run.
        data: Data, for the classes.
        train: Prepared training split.

    Returns:
        The sampler, or None for the default order, and the number of examples of an epoch.

    Raises:
        ConfigError: If the sampler does not fit the split, or returns no indices of it.
    """
    if is_shuffle(config):
        return None, train.num_examples
    node = plain(config.sampler, resolve=True)
    if train.dataset is not None:
        raise ConfigError(
            f"sampler ({node['_target_']}) chooses examples, and the training split is in a file,"
            " since it does not fit into memory. data.cache=memory, or sampler=shuffle."
        )
    spec = data.targets
    single = isinstance(spec, Spec) and spec.class_names is not None and spec.shape == ()
    classes = np.asarray(train.targets) if single else None
    names = spec.class_names if isinstance(spec, Spec) else None
    split = Sampled(train.num_examples, classes, names, config.batch_size, _lengths(data, train))
    sampler = build(node, split, place="sampler")
    shape = _shape_of(sampler, train.num_examples, node)
    if len(shape) == 2 and shape[1] != config.batch_size:
        raise ConfigError(
            f"sampler ({node['_target_']}): its batches have {shape[1]} examples. Set"
            f" batch_size={shape[1]}."
        )
    return sampler, int(np.prod(shape))


def _lengths(data: Data, train: Stored) -> np.ndarray | None:
    """Returns the number of tokens of each example, of its longest field, or None without any."""
    inputs = named_fields(train.inputs, "")
    found = [
        np.count_nonzero(np.asarray(inputs[name]) != spec.padding_value, axis=1)
        for name, spec in named_fields(data.inputs, "").items()
        if spec.padding_value is not None and len(spec.shape) == 1
    ]
    return np.max(found, axis=0) if found else None


def _shape_of(sampler: Any, num_examples: int, node: Any) -> tuple[int, ...]:
    """Returns the shape of the indices of an epoch, after looking at those of the first one."""
    try:  # in a graph, as the training draws them
        found = np.asarray(tf.function(sampler)(tf.constant([0, 0], tf.int64)))
    except Exception as error:  # errors in a traced function have no common base class
        raise ConfigError(
            f"sampler ({node['_target_']}): expected TensorFlow operations on the seeds, such as"
            f" tf.random.stateless_uniform. {first_line(error)}"
        ) from error
    good = found.ndim in (1, 2) and found.dtype.kind in "iu" and found.size > 0
    if not good or found.min() < 0 or found.max() >= num_examples:
        raise ConfigError(
            f"sampler ({node['_target_']}): expected indices from 0 to {num_examples - 1}, of shape"
            " (num_examples,) or (num_batches, batch_size). Received:"
            f" {found.dtype} {found.shape}, {found.ravel()[:5]}."
        )
    return found.shape
