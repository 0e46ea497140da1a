"""Learning-rate schedules, in units of epochs and fractions of the training.

Each is a function `(learning_rate, steps_per_epoch, epochs, *, …) -> LearningRateSchedule`
that returns one of Keras's schedules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kx.types import NonNegative, NonNegativeInt, OpenFraction, Positive, Probability


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


def linear(
    learning_rate: float,
    steps_per_epoch: int,
    epochs: int,
    *,
    warmup_steps: NonNegativeInt | None = None,
    warmup_epochs: NonNegative = 0.1,
    final_fraction: Probability = 0.0,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Decreases the learning rate linearly to the end of the training, after a linear warm-up.

    Args:
        learning_rate: Highest learning rate.
        steps_per_epoch: Number of batches in an epoch.
        epochs: Number of epochs of the whole training.
        warmup_steps: Number of steps of the warm-up from 0. Defaults to None: `warmup_epochs`.
        warmup_epochs: Number of epochs of the warm-up, if its steps are not given. Defaults to 0.1.
        final_fraction: Learning rate at the end, as a fraction of the highest. Defaults to 0.

    Source: Devlin et al. 2019, "BERT", appendix A.2.
    """
    given = round(warmup_epochs * steps_per_epoch) if warmup_steps is None else warmup_steps
    return WarmupLinear(learning_rate, given, epochs * steps_per_epoch, final_fraction)


@keras.saving.register_keras_serializable("kx")
class WarmupLinear(keras.optimizers.schedules.LearningRateSchedule):
    """Increases the learning rate linearly from 0, then decreases it linearly.

    Args:
        learning_rate: Highest learning rate.
        warmup_steps: Number of steps of the warm-up.
        total_steps: Number of steps of the whole training.
        final_fraction: Learning rate at the end, as a fraction of the highest. Defaults to 0.

    Example:
    >>> [float(WarmupLinear(1.0, 2, 6)(step)) for step in (0, 1, 2, 4, 6)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def __init__(
        self, learning_rate: float, warmup_steps: int, total_steps: int, final_fraction: float = 0.0
    ) -> None:
        self.learning_rate, self.final_fraction = learning_rate, final_fraction
        self.warmup_steps, self.total_steps = warmup_steps, total_steps

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of a step.

        Args:
            step: Number of updates that are done.
        """
        step = keras.ops.cast(step, "float32")
        rises = step / max(1, self.warmup_steps)
        left = (self.total_steps - step) / max(1, self.total_steps - self.warmup_steps)
        falls = self.final_fraction + (1 - self.final_fraction) * keras.ops.clip(left, 0.0, 1.0)
        return self.learning_rate * keras.ops.where(step < self.warmup_steps, rises, falls)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, with which Keras makes the schedule again."""
        return {
            "learning_rate": self.learning_rate, "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps, "final_fraction": self.final_fraction,
        }  # fmt: skip


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
