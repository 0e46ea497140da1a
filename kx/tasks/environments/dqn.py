"""Deep Q-learning: a network learns the values of actions from what it has seen before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from kx.contracts.environment import Environment
from kx.contracts.specs import Outputs, Specs
from kx.contracts.task import Task
from kx.errors import ConfigError
from kx.tasks.environments.agent import Agent, when
from kx.tasks.environments.episodes import (
    OF_VALUES,
    action_names_of,
    agent_task,
    values,
    values_decoded,
)
from kx.types import Count, NonNegativeInt, Probability

_MOST_BYTES = 2**30  # of the replay buffer: it is written with the state of each epoch


@dataclass(frozen=True)
class Options:
    """Holds the options of deep Q-learning; see `dqn`."""

    discount: float
    batch_size: int
    replay_size: int
    learning_starts: int
    train_every: int
    gradient_steps: int
    target_update_steps: int
    exploration_steps: int
    final_exploration: float
    double: bool


def dqn(
    targets: Specs,
    inputs: Specs,
    facts: Mapping[str, Any],
    environment: Environment | None = None,
    *,
    monitor: str = "val_return",
    monitor_mode: str = "max",
    discount: Probability = 0.99,
    batch_size: Count = 64,
    replay_size: Count = 50_000,
    learning_starts: NonNegativeInt = 1000,
    train_every: Count = 4,
    gradient_steps: Count = 1,
    target_update_steps: Count = 500,
    exploration_steps: Count = 10_000,
    final_exploration: Probability = 0.05,
    double: bool = True,
) -> Task:
    """Makes the task of acting by the values of actions, which a network learns.

    Args:
        targets: Specs of the targets. Not used.
        inputs: Spec of one observation.
        facts: Facts of the data: `action_names`.
        environment: Environment of the data. Defaults to None: the task is made to predict alone.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_return"`.
        monitor_mode: `"max"` or `"min"`. Defaults to `"max"`.
        discount: Weight of a reward that comes one step later. Defaults to 0.99.
        batch_size: Number of remembered steps in a batch. Defaults to 64; the option of conf/
            follows the run's.
        replay_size: Number of steps that are remembered. Defaults to 50,000.
        learning_starts: Number of steps before the first update. Defaults to 1000.
        train_every: Number of steps between updates. Defaults to 4.
        gradient_steps: Number of batches of an update. Defaults to 1.
        target_update_steps: Number of steps after which the target network is made equal to the
            network. Defaults to 500.
        exploration_steps: Number of steps in which the share of random actions falls from 1.
            Defaults to 10,000.
        final_exploration: Share of random actions after them. Defaults to 0.05.
        double: Whether the network chooses the action whose value the target network gives, which
            overestimates less. Defaults to True.

    Returns:
        Task whose models give a value for each action.

    Raises:
        ConfigError: If the data has no environment, or if the remembered steps need more than 1
            GiB.

    Source: Mnih et al. 2015, "Human-level control through deep reinforcement learning"; van
    Hasselt et al. 2016, "Deep reinforcement learning with double Q-learning".
    """
    names = action_names_of(facts, "dqn")
    options = Options(
        discount, batch_size, replay_size, learning_starts, train_every, gradient_steps,
        target_update_steps, exploration_steps, final_exploration, double,
    )  # fmt: skip

    return agent_task(
        "dqn",
        environment,
        lambda model, world: DeepQ(model, world, options),
        OF_VALUES,
        metric_names=("td_loss", "exploration"),
        outputs=Outputs(len(names), names),
        decode=partial(values_decoded, names),
        monitor=monitor,
        monitor_mode=monitor_mode,
    )


class DeepQ(Agent):
    """Learns the values of actions from a batch of remembered steps.

    Args:
        model: Model of the values.
        environment: Environment of the data.
        options: Options of `dqn`.
    """

    def __init__(self, model: keras.Model, environment: Environment, options: Options) -> None:
        super().__init__(model, environment, values)
        self.options = options
        self.target = keras.models.clone_model(model)
        self.target.set_weights(model.get_weights())
        self.target.trainable = False
        size, shape = options.replay_size, environment.observation.shape
        _refuse_large(size, shape)
        self.seen = self.remember("seen", (size, *shape))
        self.seen_after = self.remember("seen_after", (size, *shape))
        self.outcomes = self.remember("outcomes", (size, 3))  # action, reward, terminated
        self.td_loss = keras.metrics.Mean(name="td_loss")
        self.huber = keras.losses.Huber()

    def explore(self, observation: Any) -> Any:
        """Returns a random action, less and less often, else the best one."""
        uniform = keras.random.uniform((2,), dtype="float32", seed=self.random)
        number = self.environment.num_actions
        drawn = tf.cast(uniform[1] * number, tf.int32)
        return tf.cond(
            uniform[0] < self._exploration(),
            lambda: tf.minimum(drawn, number - 1),
            lambda: tf.argmax(values(self.model, observation[None])[0], output_type=tf.int32),
        )

    def learn(
        self, observation: Any, action: Any, reward: Any, after: Any, terminated: Any, is_over: Any
    ) -> None:
        """Remembers a step, and learns from a batch of remembered ones where it is time."""
        options = self.options
        age = tf.cast(self.age, tf.int64)
        place = age % options.replay_size
        for memory, value in (
            (self.seen, tf.cast(observation, tf.float32)),
            (self.seen_after, tf.cast(after, tf.float32)),
            (self.outcomes, tf.stack([tf.cast(action, tf.float32), reward, terminated])),
        ):
            memory.value.scatter_nd_update([[place]], [value])
        age += 1
        when(age == 1, self._copy)  # the weights may have been loaded since: init_from
        due = (age > options.learning_starts) & (age % options.train_every == 0)
        when(due, lambda: self._update(tf.minimum(age, options.replay_size)))
        when(age % options.target_update_steps == 0, self._copy)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Acts once, and learns from it. `td_loss` is 0 until the first update.

        Args:
            data: Number of the epoch and number of the step in it.
        """
        found = super().train_step(data)
        return {**found, "td_loss": self.td_loss.result(), "exploration": self._exploration()}

    def _exploration(self) -> Any:
        final = self.options.final_exploration
        return tf.maximum(final, 1 - (1 - final) * self.age / self.options.exploration_steps)

    def _copy(self) -> None:
        for mine, other in zip(self.target.variables, self.model.variables, strict=True):
            mine.assign(other)

    def _update(self, number: Any) -> None:
        """Learns from `gradient_steps` batches of the first `number` places of the memory."""

        def update(count: Any) -> Any:
            drawn = keras.random.uniform(
                (self.options.batch_size,), dtype="float32", seed=self.random
            )
            places = tf.cast(drawn * tf.cast(number, tf.float32), tf.int64)
            self._learn_from(tf.minimum(places, number - 1))
            return count + 1

        tf.while_loop(lambda count: count < self.options.gradient_steps, update, [0])

    def _learn_from(self, places: Any) -> None:
        dtype = self.environment.observation.dtype
        before = tf.cast(tf.gather(self.seen.value, places), dtype)
        after = tf.cast(tf.gather(self.seen_after.value, places), dtype)
        action, reward, terminated = tf.unstack(tf.gather(self.outcomes.value, places), axis=1)
        chosen = tf.one_hot(tf.cast(action, tf.int32), self.environment.num_actions)
        there = tf.cast(self.target(after, training=False), tf.float32)
        by = (
            tf.cast(self.model(after, training=False), tf.float32) if self.options.double else there
        )
        best = tf.gather(there, tf.argmax(by, axis=1), batch_dims=1)
        wanted = reward + self.options.discount * (1 - terminated) * best
        with tf.GradientTape() as tape:
            found = tf.cast(self.model(before, training=True), tf.float32)
            loss = self.huber(wanted, tf.reduce_sum(found * chosen, axis=1))
            scaled = self.optimizer.scale_loss(loss)
        weights = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, weights), weights)
        self.td_loss.update_state(loss)


def _refuse_large(size: int, shape: tuple[int, ...]) -> None:
    num_bytes = 4 * size * (2 * int(tf.TensorShape(shape).num_elements() or 1) + 3)
    if num_bytes > _MOST_BYTES:
        raise ConfigError(
            f"task.replay_size={size}: {size:,} observations of shape {shape}, each twice, need"
            f" {num_bytes / 2**30:.1f} GiB, which are written with the state of each epoch. At most"
            f" 1 GiB: task.replay_size={size * _MOST_BYTES // num_bytes}, or smaller observations."
        )
