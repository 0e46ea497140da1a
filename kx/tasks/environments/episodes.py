"""What the tasks of agents need of their data, and how they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from kx.contracts.environment import Environment
from kx.contracts.task import Task
from kx.errors import ConfigError
from kx.tasks.environments.agent import Agent, Values


@dataclass(frozen=True)
class Judged:
    """Says how a model of an agent is read.

    Args:
        values: Function `(model, observations)` to a score for each action, of which the highest
            is that of the best one.
        state_value: Function `(model, observations)` to the value of each.
    """

    values: Values
    state_value: Values


def agent_task(
    name: str,
    environment: Environment | None,
    make: Callable[[keras.Model, Environment], Agent],
    judged: Judged,
    *,
    metric_names: Sequence[str] = (),
    **fields: Any,
) -> Task:
    """Returns the task of an agent.

    Args:
        name: Name of the task, for messages.
        environment: Environment of the data. None: the task is made to predict alone.
        make: Function from the model that is kept, and the environment, to the agent.
        judged: How the model is read, for the report.
        metric_names: Names of the metrics that the agent logs beside those of all agents.
        **fields: Other fields of the task: `outputs`, `decode`, `monitor` and `monitor_mode`.
    """

    def world() -> Environment:
        if environment is None:
            raise ConfigError(
                f"task={name}: the data has no environment: kx.Data(…, environment=…)."
            )
        return environment

    def report(answers: Any, options: Any) -> Any:
        from kx.tasks.environments.report import agent_findings

        return agent_findings(answers, options, world(), judged.values, judged.state_value)

    return Task(
        encode=None,
        loss=None,
        metrics=list,
        report=report,
        learner=lambda model: make(model, world()),
        learner_metrics=(*Agent.metric_names, *metric_names),
        **fields,
    )


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


def values(model: Any, observations: Any) -> Any:
    """Returns the value of each action, of a model whose scores are these values.

    Args:
        model: Model of values.
        observations: Batch of observations.
    """
    return model(observations, training=False)


def best_value(model: Any, observations: Any) -> Any:
    """Returns the value of the best action.

    Args:
        model: Model of values.
        observations: Batch of observations.
    """
    return tf.reduce_max(values(model, observations), axis=-1)


OF_VALUES = Judged(values, best_value)


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
