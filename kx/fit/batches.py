"""Makes the data of a config, and the batches of a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from hydra.utils import get_object
from omegaconf import DictConfig

from kx.config import build, plain
from kx.config.schema import PIPELINE_KEYS
from kx.contracts.examples import Examples
from kx.contracts.specs import Data, DataIssue, Outputs
from kx.contracts.task import Task, encode_examples
from kx.data.augment import Chain, check_fits, check_range
from kx.data.batches import eval_batches, refuse_large_batch, train_batches
from kx.data.samplers import make_sampler
from kx.data.split.checks import check_examples, check_parts
from kx.data.split.divided import divided
from kx.data.split.rules import stratified
from kx.data.store import Stored, first_examples, store
from kx.data.texts.configured import Tokenizers
from kx.errors import ConfigError
from kx.fit.adapt import adapt
from kx.process import quiet_first_steps
from kx.strategy import ONE_DEVICE

_LOOKED_AT = 64  # examples that are checked if the split is in a file


@dataclass
class Batches:
    """Holds the batches of a run.

    Args:
        stored: Prepared splits, by name.
        train_from: Function that takes the number of epochs that are done and returns one
            dataset of the batches of the remaining epochs.
        validation: Batches of the validation split, or None if there is none.
        test: Batches of the test split, or None if there is none.
        batch_size: Number of examples in a batch.
        steps_per_epoch: Number of training batches in an epoch.
        evaluation_steps: Number of batches of an evaluation, or None for all.
        examples_per_epoch: Number of training examples, or steps of an agent, in an epoch of all
            batches.
        first_epoch: Number of epochs that are done. Defaults to 0.
    """

    stored: dict[str, Stored]
    train_from: Callable[[int], tf.data.Dataset]
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None
    batch_size: int
    steps_per_epoch: int
    evaluation_steps: int | None
    examples_per_epoch: int
    first_epoch: int = 0


def make_examples(config: DictConfig) -> Examples | Data:
    """Builds the config's source of examples.

    Args:
        config: Config of the run.

    Raises:
        DataError: If the data is missing or cannot be read.
    """
    node = plain(config.data, resolve=True)
    found = build({k: v for k, v in node.items() if k not in PIPELINE_KEYS}, place="data")
    if not isinstance(found, Examples | Data):
        raise ConfigError(
            f"data ({node['_target_']}): expected kx.Examples, or kx.Data. Received: {found!r}."
        )
    return found


def make_data(
    config: DictConfig, given: Examples | Data | None = None, *, tokenize: bool = True
) -> Data:
    """Builds the config's data and divides it into splits.

    Args:
        config: Config of the run.
        given: Examples in place of the config's. Defaults to None.
        tokenize: Whether tokenizers learn from texts. Defaults to True. If not, texts stay
            strings, for a preparation that is known.

    Raises:
        ConfigError: If keys of `split` would have no effect.
        DataError: If the data is missing, cannot be read, or cannot be divided.
    """
    examples = make_examples(config) if given is None else given
    if isinstance(examples, Data):
        _refuse_split(config, examples)
        if tokenize:
            Tokenizers(config).refuse_unused(examples.name)
        return examples
    check_examples(examples)
    node = plain(config.split, resolve=True)
    parts = build(node, examples, place="split")
    if not isinstance(parts, Mapping):
        raise ConfigError(
            f"split ({node['_target_']}): expected positions by split name. Received: {parts!r}."
        )
    check_parts(parts, examples.num_examples, f"split ({node['_target_']})")
    if not tokenize:
        return divided(examples, parts)
    tokenizers = Tokenizers(config)
    data = divided(examples, parts, tokenizers)
    tokenizers.refuse_unused(data.name)
    return data


def _refuse_split(config: DictConfig, data: Data) -> None:
    """Raises an error if keys of `split` are set for data that divides itself.

    Raises:
        ConfigError: If a key does not have its default.
    """
    node = plain(config.split, resolve=True)
    defaults = inspect.signature(get_object(node["_target_"])).parameters
    given = [
        f"split.{key}={value}"
        for key, value in node.items()
        if key != "_target_" and (key not in defaults or value != defaults[key].default)
    ]
    if given or node["_target_"] != f"{stratified.__module__}.{stratified.__name__}":
        raise ConfigError(
            f"The data {data.name!r} is a kx.Data, which divides itself:"
            f" {', '.join(given) or 'split'} has no effect on it. Let its function return"
            " kx.Examples, which kx divides (docs/architecture.md, Contracts)."
        )


def make_batches(
    config: DictConfig,
    data: Data,
    task: Task,
    augment: Chain | None,
    cache_dir: Path,
    first_epoch: int = 0,
) -> Batches:
    """Prepares and stores the splits, adapts the normalization, and makes batches.

    Args:
        config: Config of the run.
        data: Data whose splits are used.
        task: Task, for the encoding of targets.
        augment: Augmentation of the training split, or None.
        cache_dir: Folder for splits that do not fit into memory.
        first_epoch: Number of epochs that are done. Defaults to 0.

    Raises:
        ConfigError: If batch_size is larger than a training split whose last, smaller batch
            is dropped.
    """
    augment = _of_examples(augment, data, task)
    with quiet_first_steps():
        stored = store(data, data.splits, cache_dir, config.data.cache)
    data.class_counts = {s: part.class_counts for s, part in stored.items() if part.class_counts}
    if augment is not None:
        check_range(config.augment, _some_inputs(stored["train"]))
    size, drop_remainder = config.batch_size, _drops_remainder(config)
    if drop_remainder:
        refuse_large_batch(size, stored["train"])
    weigh = _weigher(task, stored["train"])
    if config.overfit_batches:
        few = first_examples(stored["train"], config.overfit_batches * size)
        stored = dict.fromkeys(("train", "validation"), few)
    data.issues += adapt(data, stored["train"])
    sampler, num_drawn = make_sampler(config, data, stored["train"])
    num_batches = (num_drawn + (not drop_remainder) * (size - 1)) // size
    num_steps = steps_per_epoch(config, num_batches)
    if config.steps_per_epoch and config.steps_per_epoch > num_batches:
        told = f"{config.steps_per_epoch:,} are more than an epoch has: {num_batches:,} batches"
        data.issues += (DataIssue("steps_per_epoch", "kept", told),)
    encode = encode_examples(task)

    train = partial(
        train_batches, stored["train"], batch_size=size, epochs=config.epochs, seed=config.seed,
        encode=encode, augment=augment, weigh=weigh, drop_remainder=drop_remainder,
        steps_per_epoch=num_steps, sampler=sampler,
    )  # fmt: skip

    def evaluation(split: str) -> tf.data.Dataset | None:
        if split not in stored:
            return None
        views = augment if task.views > 1 and split == "validation" else None
        batches = eval_batches(
            stored[split], batch_size=size, encode=encode, augment=views, seed=config.seed
        )
        limit = config.evaluation_steps
        return batches.take(limit) if limit else batches

    return Batches(
        stored=stored,
        # Keras reads one batch even if no epoch is left to train.
        train_from=lambda epoch: train(first_epoch=min(epoch, config.epochs - 1)),
        validation=evaluation("validation"),
        test=evaluation("test"),
        batch_size=size,
        steps_per_epoch=num_steps,
        evaluation_steps=config.evaluation_steps,
        examples_per_epoch=num_drawn,
        first_epoch=first_epoch,
    )


def _of_examples(augment: Chain | None, data: Data, task: Task) -> Chain | None:
    """Returns the augmentation for the examples of the data, after a check that it fits them."""
    if augment is not None:
        known = data.facts.get("detokenize", {})
        tokens = {field: node["tokens"] for field, node in known.items()}
        check_fits(augment, data.inputs, data.targets, encode_examples(task), task.views, tokens)
        return augment.of(data.inputs, data.targets, task.views, tokens)
    if task.views > 1:
        raise ConfigError(
            f"augment=none: the task compares {task.views} views of each example, which would be"
            " equal. Choose augmentations: augment=[crop_flip,color] …"
        )
    return None


def steps_per_epoch(config: DictConfig, num_batches: int) -> int:
    """Returns the number of batches of an epoch, a multiple of `steps_per_execution`.

    Args:
        config: Config of the run.
        num_batches: Number of batches of one pass over the training split.

    Raises:
        ConfigError: If `steps_per_execution` is more than these.
    """
    wanted = min(num_batches, config.steps_per_epoch or num_batches)
    whole = wanted - wanted % config.steps_per_execution  # a rest would take from the next epoch
    if not whole:
        raise ConfigError(
            f"steps_per_execution={config.steps_per_execution} is more than the {wanted} batches"
            " of an epoch."
        )
    return whole


def _drops_remainder(config: DictConfig) -> bool:
    """Returns whether the last, smaller batch of an epoch is dropped.

    As in Keras, it is kept where it has no cost: several devices would divide it unevenly,
    and XLA would compile the step once more for its shape.
    """
    asked = config.data.drop_remainder
    if asked != "auto":
        return bool(asked)
    compiled = config.backend == "jax" or config.jit_compile is True
    return compiled or config.strategy["_target_"] not in ONE_DEVICE


def _weigher(task: Task, train: Stored) -> Callable[[Any], Any] | None:
    """Returns the function from encoded targets to weights of examples, or None without weights.

    A target that is a mixture of two classes has the same mixture of their weights.
    """
    if task.class_weights is None:
        return None
    if not isinstance(task.outputs, Outputs):
        raise ConfigError(
            "task.class_weights: a task of several outputs has no single class for each example."
            " Let its encode return weights: (inputs, targets, weights)."
        )
    if task.class_weights == "balanced":
        if train.class_counts is None:
            raise ConfigError(
                "task.class_weights=balanced: these targets have no single class for each example,"
                " of which the share could be counted. Give weights: {class name: weight}."
            )
        counts = np.array(train.class_counts)
        # As in scikit-learn, num_examples / (num_classes * count), over classes with examples.
        weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        weights = np.array(task.class_weights)
    of_classes = tf.constant(weights, tf.float32)
    # Binary: a target is 1 for the second class.
    if task.outputs.units == 1:
        return lambda targets: of_classes[0] + (of_classes[1] - of_classes[0]) * targets[:, 0]
    return lambda targets: tf.reduce_sum(tf.cast(targets, tf.float32) * of_classes, axis=-1)


def _some_inputs(train: Stored) -> Any:
    """Returns prepared inputs: all if they are in memory, or the first ones of a file."""
    if train.inputs is not None:
        return train.inputs
    assert train.dataset is not None
    return next(iter(train.dataset.batch(_LOOKED_AT)))[0]
