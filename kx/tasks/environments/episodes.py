"""What the tasks of agents need of their data, and how they answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from kx.contracts.environment import Environment
from kx.errors import ConfigError


def action_names_of(facts: Mapping[str, Any], task: str) -> tuple[str, ...]:
    """Returns the names of the actions of an environment.

    Args:
        facts: Facts of the data.
        task: Name of the task, for the message.

    Raises:
        ConfigError: If the data has examples, and no environment.
    """
    if "action_names" not in facts:
        raise ConfigError(
            f"task={task} expects an environment in which an agent acts: data=grid_world,"
            " data=gymnasium data.name=CartPole-v1. The data has examples."
        )
    return tuple(facts["action_names"])


def require_environment(environment: Environment | None, task: str) -> Environment:
    """Returns an environment, or raises an error if there is none.

    Args:
        environment: Environment of the data, or None.
        task: Name of the task, for the message.

    Raises:
        ConfigError: If there is no environment.
    """
    if environment is None:
        raise ConfigError(f"task={task}: the data has no environment: kx.Data(…, environment=…).")
    return environment


def values_decoded(action_names: tuple[str, ...], scores: Any) -> dict[str, Any]:
    """Returns the best actions of a batch of values.

    Args:
        action_names: Name of each action.
        scores: Values, shape `(batch, num_actions)`.

    Returns:
        Tensors `"action"` and `"value"`, shape `(batch,)`, and `"values"`, shape `(batch,
        num_actions)`.
    """
    scores = tf.cast(scores, tf.float32)
    return {
        "action": tf.gather(tf.constant(action_names), tf.argmax(scores, axis=-1)),
        "value": tf.reduce_max(scores, axis=-1),
        "values": scores,
    }
