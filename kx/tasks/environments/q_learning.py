"""Q-learning: a table of the values of actions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from kx.contracts.environment import Environment
from kx.contracts.specs import Outputs, Specs
from kx.contracts.task import Task
from kx.tasks.environments.agent import Agent
from kx.tasks.environments.episodes import (
    OF_VALUES,
    action_names_of,
    agent_task,
    values,
    values_decoded,
)
from kx.types import Probability


def q_learning(
    targets: Specs,
    inputs: Specs,
    facts: Mapping[str, Any],
    environment: Environment | None = None,
    *,
    monitor: str = "val_return",
    monitor_mode: str = "max",
    discount: Probability = 0.95,
    exploration: Probability = 0.3,
) -> Task:
    """Makes the task of acting by a table of values, of which each step changes one.

    With plain stochastic gradient descent the step is that of Watkins: the learning rate times the
    difference of the value and what it should be.

    Args:
        targets: Specs of the targets. Not used.
        inputs: Spec of one observation, the number of a state.
        facts: Facts of the data: `action_names`.
        environment: Environment of the data. Defaults to None: the task is made to predict alone.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_return"`.
        monitor_mode: `"max"` or `"min"`. Defaults to `"max"`.
        discount: Weight of a reward that comes one step later. Defaults to 0.95.
        exploration: Share of random actions. Defaults to 0.3.

    Returns:
        Task whose models give a value for each action.

    Raises:
        ConfigError: If the data has no environment.

    Source: Watkins & Dayan 1992, "Q-learning"; Sutton & Barto 2018, section 6.5.
    """
    names = action_names_of(facts, "q_learning")

    return agent_task(
        "q_learning",
        environment,
        lambda model, world: QLearner(model, world, discount, exploration),
        OF_VALUES,
        metric_names=["td_loss"],
        outputs=Outputs(len(names), names),
        decode=partial(values_decoded, names),
        monitor=monitor,
        monitor_mode=monitor_mode,
    )


class QLearner(Agent):
    """Changes one value of a table after each step.

    Args:
        model: Model of the values.
        environment: Environment of the data.
        discount: Weight of a reward that comes one step later.
        exploration: Share of random actions.
    """

    updates_each_step = True

    def __init__(
        self, model: keras.Model, environment: Environment, discount: float, exploration: float
    ) -> None:
        super().__init__(model, environment, values)
        self.discount, self.exploration = discount, exploration
        self.td_loss = keras.metrics.Mean(name="td_loss")

    def explore(self, observation: Any) -> Any:
        """Returns a random action as often as `exploration` says, else one of the best.

        Among equal values the choice is random: at first all are.
        """
        number = self.environment.num_actions
        uniform = keras.random.uniform((number + 1,), dtype="float32", seed=self.random)
        scores = values(self.model, observation[None])[0]
        is_best = tf.cast(scores >= tf.reduce_max(scores), tf.float32)
        weights = tf.where(uniform[0] < self.exploration, tf.ones(number), is_best)
        return tf.argmax(weights * (uniform[1:] + 1e-6), output_type=tf.int32)

    def learn(
        self, observation: Any, action: Any, reward: Any, after: Any, terminated: Any, is_over: Any
    ) -> None:
        """Moves the value of an action towards the reward and the best value after it."""
        best = tf.reduce_max(values(self.model, after[None])[0])
        wanted = reward + self.discount * (1 - terminated) * tf.cast(best, tf.float32)
        with tf.GradientTape() as tape:
            found = tf.cast(self.model(observation[None], training=True)[0, action], tf.float32)
            loss = tf.square(wanted - found) / 2
            scaled = self.optimizer.scale_loss(loss)
        weights = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, weights), weights)
        self.td_loss.update_state(loss)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Acts once, and learns from it.

        Args:
            data: Number of the epoch and number of the step in it.
        """
        return {**super().train_step(data), "td_loss": self.td_loss.result()}
