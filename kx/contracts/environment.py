"""An environment: data without examples, in which an agent acts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kx.contracts.specs import Spec


@dataclass(frozen=True)
class Simulation:
    """Holds one copy of an environment. Both functions are in TensorFlow's graph.

    Args:
        reset: Function from a seed, a scalar of int64, to `(state, observation)`: the start of an
            episode.
        step: Function from a state and the number of an action, a scalar of int32, to `(state,
            observation, reward, terminated, truncated)`. A state is a tensor of float32.
            `terminated` says that the episode has an end here, `truncated` that it is cut off.
    """

    reset: Callable[[Any], tuple[Any, Any]]
    step: Callable[[Any, Any], tuple[Any, Any, Any, Any, Any]]


def first_episode_seed(split: str, seed: int) -> int:
    """Returns the seed of the first episode of an evaluation; the others follow it.

    Those of validation and test are far apart, so that no episode that chose an epoch is reported.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        seed: Seed of the environment.

    Example:
    >>> first_episode_seed("validation", 0) != first_episode_seed("test", 0)
    True
    """
    digest = hashlib.sha256(f"{split} {seed}".encode()).digest()
    return int.from_bytes(digest[:4]) % 2**30  # below what a seed of NumPy and gymnasium may be


@dataclass(frozen=True)
class Environment:
    """Describes an environment of discrete actions.

    Args:
        observation: Spec of one observation.
        state_shape: Shape of a state.
        action_names: Name of each action.
        make: Function that returns a new copy: the training has one, and each evaluation.
        max_steps: Number of steps after which an episode is cut off.
        seed: Seed of the first states.
        is_python: Whether a step calls Python, which XLA cannot compile. Defaults to False.
        every_state: All observations, shape `(num_states, *observation.shape)`, where they are
            few. Defaults to None: there are too many.
        draw: Function `(values, actions, title) -> Figure` from a number and an action for each
            of `every_state` to a drawing. Defaults to None.
    """

    observation: Spec
    state_shape: tuple[int, ...]
    action_names: tuple[str, ...]
    make: Callable[[], Simulation]
    max_steps: int
    seed: int = 0
    is_python: bool = False
    every_state: Any = None
    draw: Callable[[Any, Any, str], Any] | None = None

    @property
    def num_actions(self) -> int:
        """The number of actions."""
        return len(self.action_names)
