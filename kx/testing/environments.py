"""Checks the contract of an environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.environment import Environment
from kx.testing.contract import require

_NUM_STEPS = 30


def check_environment(environment: Environment, num_episodes: int = 3) -> None:
    """Checks that an environment runs in the graph, fits its spec, and is a function of its seed.

    Args:
        environment: Environment of data.
        num_episodes: Number of episodes that are begun. Defaults to 3.

    Raises:
        ContractError: If a part of the contract does not hold.

    Example:
    >>> from kx.data.sources.environments.grid_world import grid_world
    >>> check_environment(grid_world().environment)
    """
    require(environment.num_actions > 1, "expected two actions or more.")
    require(environment.max_steps > 0, f"expected steps. Received: {environment.max_steps}.")
    actions = np.random.default_rng(0).integers(0, environment.num_actions, _NUM_STEPS)
    for seed in range(num_episodes):
        once, again = (_played(environment, seed, actions) for _ in range(2))
        require(
            all(np.array_equal(one, other) for one, other in zip(once, again, strict=True)),
            f"expected the same episode of two copies with seed {seed} and the same actions.",
        )


def _played(environment: Environment, seed: int, actions: np.ndarray) -> list[np.ndarray]:
    """Returns all that an episode of given actions gives."""
    simulation, spec = environment.make(), environment.observation
    found: list[Any] = []

    @tf.function
    def reset(number: Any) -> Any:
        return simulation.reset(number)

    @tf.function
    def step(state: Any, action: Any) -> Any:
        return simulation.step(state, action)

    state, observation = reset(tf.constant(seed, tf.int64))
    for action in actions:
        given, wanted = (observation.shape, observation.dtype.name), (spec.shape, spec.dtype)
        require(
            (tuple(given[0]), given[1]) == wanted,
            f"expected an observation of {wanted}. Received: {given}.",
        )
        require(
            (tuple(state.shape), state.dtype.name) == (environment.state_shape, "float32"),
            f"expected a state of {environment.state_shape}, float32. Received: {state}.",
        )
        state, observation, *rest = step(state, tf.constant(int(action), tf.int32))
        dtypes = [one.dtype.name for one in rest]
        require(
            dtypes == ["float32", "bool", "bool"],
            f"expected reward, terminated, truncated: float32, bool, bool. Received: {dtypes}.",
        )
        found += [one.numpy() for one in (observation, *rest)]
        if bool(rest[1]) or bool(rest[2]):
            break
    return found
