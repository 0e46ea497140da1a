"""Batches of data without examples: the steps of an agent in an environment."""

from __future__ import annotations

from functools import partial

import tensorflow as tf
from omegaconf import DictConfig

from kx.contracts.environment import first_episode_seed
from kx.contracts.specs import Data
from kx.data.augment import Chain
from kx.data.samplers import is_shuffle
from kx.data.store import Stored, no_autotune
from kx.errors import ConfigError
from kx.fit.batches import Batches, steps_per_epoch


def environment_batches(
    config: DictConfig, data: Data, augment: Chain | None, first_epoch: int = 0
) -> Batches:
    """Returns the stream of steps, and the episodes of validation and test.

    Args:
        config: Config of the run.
        data: Data with an environment.
        augment: Augmentation, which has no effect here.
        first_epoch: Number of epochs that are done. Defaults to 0.

    Raises:
        ConfigError: If a key of the config has no effect on an environment, or if several devices
            would act in one environment.
    """
    _refuse(config, augment)
    environment = data.environment
    assert environment is not None
    stored = {split: Stored(int(found.cardinality())) for split, found in data.splits.items()}
    steps = steps_per_epoch(config, stored["train"].num_examples)
    if steps <= environment.max_steps:
        print(
            f"note: an epoch of {steps} steps may end before an episode, which may have"
            f" {environment.max_steps}: data.epoch_steps={5 * environment.max_steps}"
        )

    def train_from(epoch: int) -> tf.data.Dataset:
        epochs = tf.data.Dataset.range(min(epoch, config.epochs - 1), config.epochs)
        pairs = epochs.flat_map(lambda n: tf.data.Dataset.range(steps).map(partial(_pair, n)))
        return pairs.prefetch(64).with_options(no_autotune())

    def episodes(split: str) -> tf.data.Dataset | None:
        if split not in data.splits:
            return None
        first = first_episode_seed(split, environment.seed)
        numbers = data.splits[split].map(lambda number: tf.cast(number, tf.int64) + first)
        limit = config.evaluation_steps
        return (numbers.take(limit) if limit else numbers).with_options(no_autotune())

    return Batches(
        stored=stored,
        train_from=train_from,
        validation=episodes("validation"),
        test=episodes("test"),
        batch_size=config.batch_size,
        steps_per_epoch=steps,
        evaluation_steps=config.evaluation_steps,
        examples_per_epoch=steps,
        first_epoch=first_epoch,
    )


def _pair(epoch: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return epoch, step


def _refuse(config: DictConfig, augment: Chain | None) -> None:
    """Raises `ConfigError` for keys that have no effect on an environment."""
    if augment is not None:
        raise ConfigError("augment: an environment has no examples to augment. augment=none.")
    if not is_shuffle(config):
        raise ConfigError("sampler: an environment has no examples. sampler=shuffle.")
    if config.overfit_batches:
        raise ConfigError("overfit_batches: an environment has no batches. overfit_batches=null.")
    if config.strategy["_target_"] != "tensorflow.distribute.get_strategy" and not str(
        config.strategy["_target_"]
    ).endswith("OneDeviceStrategy"):
        raise ConfigError(
            "strategy: an agent acts in one environment, on one device. strategy=default."
        )
