"""Augmentations that mix two examples of a batch and their targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kx.data.augment.erasing import rectangle
from kx.data.augment.operations import Batch, fused, like, mixes_examples
from kx.data.random import uniform
from kx.errors import ConfigError
from kx.types import Positive

_QUANTILES = 4097


@mixes_examples
@fused
def mixup(inputs: Any, targets: Any, seeds: tf.Tensor, *, alpha: Positive = 0.2) -> Batch:
    """Mixes each example with another one of the batch, and their targets in the same proportion.

    The other example is the previous one of the batch, which is in random order already.

    Args:
        inputs: Images, or other numbers, shape `(batch, …)`.
        targets: Targets as the loss takes them, one-hot or numbers; they become soft.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        alpha: Parameter of the Beta distribution of the proportion; 1 is uniform, and with less
            one of both examples dominates. Defaults to 0.2.

    Raises:
        ConfigError: If the inputs or the targets cannot be mixed.

    Source: Zhang et al. 2017, "mixup: Beyond Empirical Risk Minimization", section 2.
    """
    if inputs.dtype.is_integer and inputs.dtype != tf.uint8:
        raise ConfigError(
            f"mixup adds inputs: pixels, or other measurements. Received: {inputs.dtype.name}, the"
            " numbers of words or classes, of which no sum means anything."
        )
    weight = beta(uniform(seeds, 1)[:, 0], alpha)
    first = tf.cast(inputs, tf.float32)
    mixed = _mixed(first, tf.roll(first, 1, axis=0), weight)
    return like(mixed, inputs), mix_targets(targets, weight)


@mixes_examples
@fused
def cutmix(inputs: Any, targets: Any, seeds: tf.Tensor, *, alpha: Positive = 1.0) -> Batch:
    """Pastes a rectangle of another image of the batch into each, and mixes targets by area.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        targets: Targets as the loss takes them, one-hot or numbers; they become soft.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        alpha: Parameter of the Beta distribution of the area that is kept. Defaults to 1.

    Raises:
        ConfigError: If the targets cannot be mixed.

    Source: Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers",
    section 3.1.
    """
    height, width = inputs.shape[1], inputs.shape[2]
    draws = uniform(seeds, 3)
    side = tf.sqrt(1.0 - beta(draws[:, 0], alpha))
    tall, wide = tf.round(side * height), tf.round(side * width)
    inside = rectangle(height, width, draws[:, 1], draws[:, 2], tall, wide)
    mixed = tf.where(inside, tf.roll(inputs, 1, axis=0), inputs)
    kept = 1.0 - tall * wide / (height * width)  # the area in whole pixels
    return mixed, mix_targets(targets, kept)


def mix_targets(targets: Any, weight: Any) -> Any:
    """Mixes each target with the previous one of the batch.

    Args:
        targets: Targets, floats of shape `(batch, …)`.
        weight: Weight of each example's own target, shape `(batch,)`.

    Raises:
        ConfigError: If the targets are integers.
    """
    if not isinstance(targets, tf.Tensor):
        return targets  # no targets, when only images are augmented
    if not targets.dtype.is_floating:
        raise ConfigError(
            "mixup and cutmix make soft targets: the task must encode them as floats (one-hot)."
            f" Received: {targets.dtype.name}."
        )
    weight = tf.cast(weight, targets.dtype)
    return _mixed(targets, tf.roll(targets, 1, axis=0), weight)


def _mixed(first: Any, second: Any, weight: Any) -> Any:
    weight = tf.reshape(weight, (-1, *[1] * (first.shape.rank - 1)))
    return first * weight + second * (1 - weight)


def beta(draws: Any, alpha: float) -> Any:
    """Converts uniform numbers to the Beta(alpha, alpha) distribution, by its quantiles.

    Args:
        draws: Uniform numbers from [0, 1).
        alpha: Parameter of the distribution, greater than 0.

    Raises:
        ConfigError: If alpha is 0 or less.
    """
    if alpha <= 0:
        raise ConfigError(f"alpha: expected more than 0. Received: {alpha}.")
    from scipy.special import betaincinv

    quantiles = betaincinv(alpha, alpha, np.linspace(0, 1, _QUANTILES))
    table = tf.constant(quantiles, tf.float32)
    place = draws * (_QUANTILES - 1)
    below = tf.cast(place, tf.int32)
    low, high = tf.gather(table, below), tf.gather(table, below + 1)
    return low + (high - low) * (place - tf.floor(place))
