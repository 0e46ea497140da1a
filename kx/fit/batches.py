"""From the config's data to the batches of a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from hydra.utils import get_object
from keras.layers import Normalization
from omegaconf import DictConfig

from kx.config import build, plain
from kx.config.schema import PIPELINE_KEYS
from kx.contracts.examples import Examples
from kx.contracts.specs import Data, DataIssue
from kx.contracts.task import Task
from kx.data.augment import Augment, check_fits, check_range
from kx.data.batches import eval_batches, refuse_large_batch, train_batches
from kx.data.constant import leave_out_constant
from kx.data.split.divided import divided
from kx.data.split.rules import stratified
from kx.data.store import Stored, store
from kx.errors import ConfigError
from kx.process import quiet_first_steps

_ONE_DEVICE = ("tensorflow.distribute.get_strategy", "tensorflow.distribute.OneDeviceStrategy")
_LOOKED_AT = 64  # examples of a split in a file


@dataclass
class Batches:
    """Holds the batches of a run.

    Args:
        stored: the prepared splits, by name.
        train_from: function from the number of epochs that are done to one stream over the others.
        validation: one pass, or None.
        test: one pass, or None.
        batch_size: examples in a batch.
        steps_per_epoch: training batches in an epoch.
        evaluation_steps: batches that an evaluation looks at, or None for all.
        first_epoch: the number of epochs that are done.
    """

    stored: dict[str, Stored]
    train_from: Callable[[int], tf.data.Dataset]
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None
    batch_size: int
    steps_per_epoch: int
    evaluation_steps: int | None
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


def make_data(config: DictConfig, given: Examples | Data | None = None) -> Data:
    """Builds the config's data, divided into splits.

    Args:
        config: Config of the run.
        given: Examples in place of the config's. Defaults to None.

    Raises:
        ConfigError: If keys of `split` would have no effect.
        DataError: If the data is missing, cannot be read, or cannot be divided.
    """
    examples = make_examples(config) if given is None else given
    if isinstance(examples, Data):
        _refuse_split(config, examples)
        return examples
    parts = build(plain(config.split, resolve=True), examples, place="split")
    return divided(examples, parts)


def _refuse_split(config: DictConfig, data: Data) -> None:
    """Refuses keys of `split` for data that divides itself.

    Raises:
        ConfigError: With the keys that are not the defaults.
    """
    node = plain(config.split, resolve=True)
    defaults = inspect.signature(get_object(node["_target_"])).parameters
    given = [
        f"split.{key}={value}"
        for key, value in node.items()
        if key != "_target_" and value != defaults[key].default
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
    augment: Augment | None,
    cache_dir: Path,
    first_epoch: int = 0,
) -> Batches:
    """Prepares and stores the splits, adapts the normalization, and makes batches.

    Args:
        config: of the run.
        data: the data.
        task: for the encoding of targets.
        augment: on the training split alone.
        cache_dir: for splits that do not fit into memory.
        first_epoch: the number of epochs that are done.

    Raises:
        ConfigError: if batch_size is larger than a training split whose last, smaller batch
            is left out.
    """
    if augment is not None:
        names = [name for name, node in config.augment.items() if node is not None]
        check_fits(augment, data.inputs, names, data.targets, task.encode)
    cache = config.data.cache
    with quiet_first_steps():
        stored = {split: store(data, split, cache_dir, cache) for split in data.splits}
    data.class_counts = {s: part.class_counts for s, part in stored.items() if part.class_counts}
    if augment is not None:
        check_range(config.augment, _some_inputs(stored["train"]))
    size = config.batch_size
    drop_remainder = _drops_remainder(config)
    if drop_remainder:
        refuse_large_batch(size, stored["train"])
    weigh = _weigher(task, stored["train"])
    if config.overfit_batches:
        few = first_examples(stored["train"], config.overfit_batches * size)
        stored = {"train": few, "validation": few}
    data.issues += adapt(data, stored["train"])
    whole = stored["train"].num_batches(size, drop_remainder=drop_remainder)

    def evaluation(split: str) -> tf.data.Dataset | None:
        if split not in stored:
            return None
        batches = eval_batches(stored[split], batch_size=size, encode=task.encode)
        limit = config.evaluation_steps
        return batches.take(limit) if limit else batches

    steps_per_epoch = _steps_per_epoch(config, whole)
    return Batches(
        stored=stored,
        train_from=lambda epoch: train_batches(
            stored["train"],
            batch_size=size,
            epochs=config.epochs,
            seed=config.seed,
            encode=task.encode,
            augment=augment,
            weigh=weigh,
            drop_remainder=drop_remainder,
            steps_per_epoch=steps_per_epoch,
            # Of a training that has no epoch left, Keras looks at a batch all the same.
            first_epoch=min(epoch, config.epochs - 1),
        ),
        validation=evaluation("validation"),
        test=evaluation("test"),
        batch_size=size,
        steps_per_epoch=steps_per_epoch,
        evaluation_steps=config.evaluation_steps,
        first_epoch=first_epoch,
    )


def _steps_per_epoch(config: DictConfig, num_batches: int) -> int:
    """Returns the training batches of an epoch: whole executions, as Keras runs them."""
    wanted = min(num_batches, config.steps_per_epoch or num_batches)
    whole = wanted - wanted % config.steps_per_execution  # a rest would eat into the next epoch
    if not whole:
        raise ConfigError(
            f"steps_per_execution={config.steps_per_execution} is more than the {wanted} batches"
            " of an epoch."
        )
    return whole


def _drops_remainder(config: DictConfig) -> bool:
    """Says whether the last, smaller batch of an epoch is left out.

    As Keras does, it is kept where it costs nothing: on several devices it is shared out
    unevenly, and whatever is compiled by XLA is compiled once more for it.
    """
    asked = config.data.drop_remainder
    if asked != "auto":
        return bool(asked)
    compiled = config.backend == "jax" or config.jit_compile is True
    return compiled or config.strategy["_target_"] not in _ONE_DEVICE


def _weigher(task: Task, train: Stored) -> Callable[[Any], Any] | None:
    """Returns the function from encoded targets to the weights of their classes, if there are any.

    A target that is mixed of two classes has the mixture of their weights.
    """
    if task.class_weights is None:
        return None
    if task.class_weights == "balanced":
        counts = np.array(train.class_counts)
        # As scikit-learn's: a class that has no example has no weight either.
        weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        weights = np.array(task.class_weights)
    of_classes = tf.constant(weights, tf.float32)
    if task.outputs.units == 1:  # one score, and one number for the second of two classes
        return lambda targets: of_classes[0] + (of_classes[1] - of_classes[0]) * targets[:, 0]
    return lambda targets: tf.reduce_sum(tf.cast(targets, tf.float32) * of_classes, axis=-1)


def _some_inputs(train: Stored) -> tf.Tensor:
    """Returns prepared inputs: all of them in memory, or the first ones."""
    if train.inputs is not None:
        return train.inputs
    assert train.dataset is not None
    return next(iter(train.dataset.batch(_LOOKED_AT)))[0]


def first_examples(stored: Stored, count: int) -> Stored:
    """Returns the first examples of a stored split."""
    count = min(count, stored.num_examples)
    if stored.dataset is not None:  # few enough for memory
        inputs, targets = next(iter(stored.dataset.batch(count)))
        return Stored(count, inputs, targets)
    assert stored.inputs is not None and stored.targets is not None
    return Stored(count, stored.inputs[:count], stored.targets[:count])


def adapt(data: Data, train: Stored) -> tuple[DataIssue, ...]:
    """Adapts the data's normalization, if it can be, on the training split alone.

    Returns:
        What was found: columns that are constant there.
    """
    layer = data.normalize
    if layer is None or not hasattr(layer, "adapt") or getattr(layer, "_kx_adapted", False):
        return ()
    examples = train.inputs
    if examples is None:
        assert train.dataset is not None
        examples = train.dataset.map(lambda inputs, _: inputs).batch(1024)
    if isinstance(examples, tf.Tensor):  # in parts: Keras makes float32 copies of what it gets
        examples = tf.data.Dataset.from_tensor_slices(examples).batch(1024)
    layer.adapt(examples)
    layer._kx_adapted = True
    by_columns = isinstance(layer, Normalization) and layer.axis == (-1,)
    return leave_out_constant(layer, data, examples) if by_columns else ()
