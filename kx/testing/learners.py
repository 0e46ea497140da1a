"""Checks the contract of a learner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kx.contracts.task import Task
from kx.fit.keep_state import capture, restore_variables
from kx.fit.model.learner import make_learner, optimizers_of
from kx.testing.contract import require


def check_learner(
    make: Callable[[], tuple[Task, keras.Model]],
    batches: tf.data.Dataset,
    *,
    num_steps: int = 4,
    optimizer: Callable[[], keras.optimizers.Optimizer] = keras.optimizers.Adam,
) -> None:
    """Checks that a learner trains its model, and that a training which was stopped continues.

    Args:
        make: Function that returns the task, and a new built model for it.
        batches: Batches as the training gives them, at least twice `num_steps`.
        num_steps: Number of steps before the stop, and after it. Defaults to 4.
        optimizer: Function that returns a new optimizer. Defaults to Adam.

    Raises:
        ContractError: If a part of the contract does not hold.
    """
    first, second = batches.take(num_steps), batches.skip(num_steps).take(num_steps)
    model, learner = _compiled(make, optimizer)
    before = [np.asarray(weight) for weight in model.trainable_variables]
    learner.fit(first, verbose=0)
    state = capture(learner, [], 1, 2)
    learner.fit(second, verbose=0)
    unchanged = [
        weight.path
        for weight, was in zip(model.trainable_variables, before, strict=True)
        if np.array_equal(np.asarray(weight), was)
    ]
    require(
        len(unchanged) < len(before),
        f"expected that the training changes the model. Unchanged: {', '.join(unchanged)}.",
    )
    _, other = _compiled(make, optimizer)
    restore_variables(other, state)
    other.fit(second, verbose=0)
    pairs = zip(_values(learner), _values(other), strict=True)
    different = [path for (path, one), (_, same) in pairs if not np.array_equal(one, same)]
    require(
        not different,
        "expected the same numbers from a training that was stopped and continued. Different:"
        f" {', '.join(different[:10])}. Is there a state that is no variable, or a random number"
        " without a keras.random.SeedGenerator?",
    )


def _compiled(
    make: Callable[[], tuple[Task, keras.Model]], optimizer: Callable[[], Any]
) -> tuple[keras.Model, keras.Model]:
    keras.utils.set_random_seed(0)
    task, model = make()
    learner = make_learner(task, model)
    task.compile(learner, optimizer())
    return model, learner


def _values(learner: keras.Model) -> Sequence[tuple[str, np.ndarray]]:
    """Returns the variables of a learner and its optimizers, by path."""
    variables = list(learner.variables)
    for one in optimizers_of(learner):
        variables += one.variables
    return [(variable.path, np.asarray(variable)) for variable in variables]
