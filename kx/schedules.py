"""Learning-rate schedules, counted in epochs and fractions of the training.

Each is `(learning_rate, steps_per_epoch, epochs, *, …) -> LearningRateSchedule`,
built on Keras's own.
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
    """Falls along half a cosine, after a linear warm-up.

    Args:
        learning_rate: the highest.
        steps_per_epoch: batches in an epoch.
        epochs: of the whole training.
        warmup_epochs: rising from 0.
        final_fraction: of the highest, at the end.

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
    """Rises from 0 in a straight line, then stays.

    Args:
        learning_rate: the highest.
        steps_per_epoch: batches in an epoch.
        epochs: of the whole training.
        warmup_epochs: rising.

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
    """Multiplies the learning rate by a factor at some points.

    Args:
        learning_rate: the first.
        steps_per_epoch: batches in an epoch.
        epochs: of the whole training.
        boundaries_fraction: the points, as fractions of the training.
        factor: at each.

    Source: He et al. 2015, section 4.2 (factor 0.1 at 1/2 and 3/4).
    """
    total = epochs * steps_per_epoch
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        [round(fraction * total) for fraction in boundaries_fraction],
        [learning_rate * factor**power for power in range(len(boundaries_fraction) + 1)],
    )
