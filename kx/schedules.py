"""Learning-rate schedules, in units of epochs and fractions of the training.

Each is a function `(learning_rate, steps_per_epoch, epochs, *, …) -> LearningRateSchedule`
that returns one of Keras's schedules.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from kx.types import NonNegative, OpenFraction, Positive, Probability


def cosine(
    learning_rate: float,
    steps_per_epoch: int,
    epochs: int,
    *,
    warmup_epochs: NonNegative = 0.0,
    final_fraction: Probability = 0.0,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Decreases the learning rate along half a cosine, after a linear warm-up.

    Args:
        learning_rate: Highest learning rate.
        steps_per_epoch: Number of batches in an epoch.
        epochs: Number of epochs of the whole training.
        warmup_epochs: Number of epochs of the warm-up from 0. Defaults to 0.
        final_fraction: Learning rate at the end, as a fraction of the highest. Defaults to 0.

    Source: Loshchilov & Hutter 2016, "SGDR"; Goyal et al. 2017 (warm-up).
    """
    warmup_steps = round(warmup_epochs * steps_per_epoch)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        decay_steps=max(1, epochs * steps_per_epoch - warmup_steps),
        alpha=final_fraction,
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def warmup(
    learning_rate: float, steps_per_epoch: int, epochs: int, *, warmup_epochs: NonNegative = 1.0
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Increases the learning rate linearly from 0, then keeps it constant.

    Args:
        learning_rate: Highest learning rate.
        steps_per_epoch: Number of batches in an epoch.
        epochs: Number of epochs of the whole training. Not used.
        warmup_epochs: Number of epochs of the warm-up. Defaults to 1.

    Source: Goyal et al. 2017, section 2.2.
    """
    del epochs
    return keras.optimizers.schedules.PolynomialDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, round(warmup_epochs * steps_per_epoch)),
        end_learning_rate=learning_rate,
        power=1.0,
    )


def step(
    learning_rate: float,
    steps_per_epoch: int,
    epochs: int,
    *,
    boundaries_fraction: Sequence[OpenFraction] = (0.5, 0.75),
    factor: Positive = 0.1,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Multiplies the learning rate by a factor at given points of the training.

    Args:
        learning_rate: Initial learning rate.
        steps_per_epoch: Number of batches in an epoch.
        epochs: Number of epochs of the whole training.
        boundaries_fraction: Points, as fractions of the training. Defaults to (0.5, 0.75).
        factor: Factor at each point. Defaults to 0.1.

    Source: He et al. 2015, section 4.2 (factor 0.1 at 1/2 and 3/4).
    """
    total = epochs * steps_per_epoch
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [round(fraction * total) for fraction in boundaries_fraction],
        [learning_rate * factor**power for power in range(len(boundaries_fraction) + 1)],
    )
