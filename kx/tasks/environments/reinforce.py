"""REINFORCE with a baseline: a policy learns from the returns of whole episodes."""

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
from kx.tasks.environments.agent import Agent, when
from kx.tasks.environments.episodes import Judged, action_names_of, agent_task
from kx.types import Count, NonNegative, Probability


@dataclass(frozen=True)
class Options:
    """Holds the options of REINFORCE; see `reinforce`."""

    discount: float
    episodes_per_update: int
    value_weight: float
    entropy_weight: float


def reinforce(
    targets: Specs,
    inputs: Specs,
    facts: Mapping[str, Any],
    environment: Environment | None = None,
    *,
    monitor: str = "val_return",
    monitor_mode: str = "max",
    discount: Probability = 0.99,
    episodes_per_update: Count = 4,
    value_weight: NonNegative = 0.5,
    entropy_weight: NonNegative = 0.01,
) -> Task:
    """Makes the task of acting by a policy, with the value of a state as its baseline.

    Args:
        targets: Specs of the targets. Not used.
        inputs: Spec of one observation.
        facts: Facts of the data: `action_names`.
        environment: Environment of the data. Defaults to None: the task is made to predict alone.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_return"`.
        monitor_mode: `"max"` or `"min"`. Defaults to `"max"`.
        discount: Weight of a reward that comes one step later. Defaults to 0.99.
        episodes_per_update: Number of episodes from which an update learns. Defaults to 4.
        value_weight: Weight of the squared error of the values in the loss. Defaults to 0.5.
        entropy_weight: Weight of the entropy of the policy, which keeps it from being sure too
            soon. Defaults to 0.01.

    Returns:
        Task whose models have the outputs `"action"`, a score for each action, and `"value"`.

    Raises:
        ConfigError: If the data has no environment.

    Source: Williams 1992, "Simple statistical gradient-following algorithms for connectionist
    reinforcement learning"; Sutton & Barto 2018, section 13.4; Mnih et al. 2016 for the entropy.
    """
    names = action_names_of(facts, "reinforce")
    options = Options(discount, episodes_per_update, value_weight, entropy_weight)

    return agent_task(
        "reinforce",
        environment,
        lambda model, world: PolicyLearner(model, world, options),
        Judged(scores_of, value_of),
        metric_names=("policy_loss", "value_loss", "entropy"),
        outputs={"action": Outputs(len(names), names), "value": Outputs(1)},
        decode=partial(decode, names),
        monitor=monitor,
        monitor_mode=monitor_mode,
    )


def decode(action_names: tuple[str, ...], scores: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the most probable actions of a batch.

    Args:
        action_names: Name of each action.
        scores: Scores of actions, shape `(batch, num_actions)`, and values, by name.

    Returns:
        Tensors `"action"` and `"value"`, shape `(batch,)`, and `"probabilities"`, shape `(batch,
        num_actions)`.
    """
    probabilities = tf.nn.softmax(tf.cast(scores["action"], tf.float32))
    return {
        "action": tf.gather(tf.constant(action_names), tf.argmax(probabilities, axis=-1)),
        "value": tf.cast(scores["value"][:, 0], tf.float32),
        "probabilities": probabilities,
    }


def scores_of(model: Any, observations: Any) -> Any:
    """Returns the score of each action.

    Args:
        model: Model of a policy and values.
        observations: Batch of observations.
    """
    return model(observations, training=False)["action"]


def value_of(model: Any, observations: Any) -> Any:
    """Returns the value of each observation.

    Args:
        model: Model of a policy and values.
        observations: Batch of observations.
    """
    return model(observations, training=False)["value"][:, 0]


class PolicyLearner(Agent):
    """Learns a policy and the values of states from whole episodes.

    Args:
        model: Model of a policy and values.
        environment: Environment of the data.
        options: Options of `reinforce`.
    """

    def __init__(self, model: keras.Model, environment: Environment, options: Options) -> None:
        super().__init__(model, environment, scores_of)
        self.options = options
        self.size = options.episodes_per_update * environment.max_steps
        self.seen = self.remember("seen", (self.size, *environment.observation.shape))
        self.outcomes = self.remember("outcomes", (self.size, 3))  # action, reward, is over
        self.place = self.remember("place")  # number of the remembered steps
        self.whole = self.remember("whole")  # number of those of whole episodes
        self.num_whole = self.remember("num_whole")  # number of whole episodes
        self.losses_of = {
            name: keras.metrics.Mean(name=name) for name in ("policy_loss", "value_loss", "entropy")
        }

    def begin_epoch(self) -> None:
        """Forgets the episode that the end of the last epoch has cut off."""
        self.place.assign(self.whole)

    def explore(self, observation: Any) -> Any:
        """Returns an action with the probability that the policy gives it."""
        scores = tf.cast(scores_of(self.model, observation[None]), tf.float32)
        return keras.random.categorical(scores, 1, seed=self.random)[0, 0]

    def learn(
        self, observation: Any, action: Any, reward: Any, after: Any, terminated: Any, is_over: Any
    ) -> None:
        """Remembers a step, and learns where enough episodes are whole."""
        # An episode that is cut off would have gone on: its last reward has the value of the rest.
        rest = tf.cast(self.model(after[None], training=False)["value"][0, 0], tf.float32)
        reward += self.options.discount * rest * (is_over - terminated)
        place = tf.cast(self.place, tf.int64)
        self.seen.value.scatter_nd_update([[place]], [tf.cast(observation, tf.float32)])
        outcome = tf.stack([tf.cast(action, tf.float32), reward, is_over])
        self.outcomes.value.scatter_nd_update([[place]], [outcome])
        self.place.assign_add(1.0)
        self.num_whole.assign_add(is_over)
        self.whole.assign(tf.where(is_over > 0, self.place, self.whole))
        when(self.num_whole >= float(self.options.episodes_per_update), self._update)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Acts once, and learns from it. The losses are 0 until the first update.

        Args:
            data: Number of the epoch and number of the step in it.
        """
        found = super().train_step(data)
        return {**found, **{name: metric.result() for name, metric in self.losses_of.items()}}

    def _update(self) -> None:
        options = self.options
        action, reward, is_over = tf.unstack(tf.convert_to_tensor(self.outcomes), axis=1)
        known = tf.cast(tf.range(self.size) < tf.cast(self.place, tf.int32), tf.float32)
        wanted = tf.scan(
            lambda later, step: step[0] + options.discount * (1 - step[1]) * later,
            (reward * known, is_over), initializer=0.0, reverse=True,
        )  # fmt: skip
        before = tf.cast(self.seen, self.environment.observation.dtype)
        number = tf.reduce_sum(known)

        def mean(values: Any) -> Any:
            return tf.reduce_sum(values * known) / number

        with tf.GradientTape() as tape:
            found = self.model(before, training=True)
            value = tf.cast(found["value"][:, 0], tf.float32)
            logs = tf.nn.log_softmax(tf.cast(found["action"], tf.float32))
            chosen = tf.gather(logs, tf.cast(action, tf.int32), batch_dims=1)
            gain = tf.stop_gradient(wanted - value)
            gain -= mean(gain)
            gain /= tf.sqrt(mean(gain**2)) + 1e-6
            policy_loss = -mean(chosen * gain)
            value_loss = mean((wanted - value) ** 2)
            entropy = -mean(tf.reduce_sum(tf.exp(logs) * logs, axis=1))
            loss = policy_loss + options.value_weight * value_loss
            loss -= options.entropy_weight * entropy
            scaled = self.optimizer.scale_loss(loss)
        weights = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, weights), weights)
        for name, value in zip(self.losses_of, (policy_loss, value_loss, entropy), strict=True):
            self.losses_of[name].update_state(value)
        for counter in (self.place, self.whole, self.num_whole):
            counter.assign(0.0)
