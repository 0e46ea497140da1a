"""What the tasks of agents share: acting, remembering, and episodes of the best actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kx.contracts.environment import Environment, Simulation
from kx.errors import ConfigError

Values = Callable[[Any, Any], Any]  # (model, observations) -> a score for each action
_LAST_SEED = 2**31 - 1


class Agent(keras.Model):
    """Acts in an environment, and learns from what happens.

    A step of the training is one action. Subclasses choose it (`explore`) and learn from its
    outcome (`learn`). What an agent remembers are variables of float32, which are kept with the
    state of a run.

    Args:
        model: Model that is kept.
        environment: Environment of the data.
        values: Function `(model, observations)` to a score for each action, of which the highest
            is that of the best one.
    """

    updates_each_step = False
    metric_names = ("return", "episodes", "val_return", "val_length")

    def __init__(self, model: keras.Model, environment: Environment, values: Values) -> None:
        super().__init__(name=model.name)
        self.model, self.environment, self.values = model, environment, values
        self.simulation, self.evaluation = environment.make(), environment.make()
        self.supports_jit = not environment.is_python
        self.random = keras.random.SeedGenerator(environment.seed)
        self.state = self.remember("state", environment.state_shape)
        self.observation = self.remember("observation", environment.observation.shape)
        self.is_over = self.remember("is_over")  # whether the last episode has ended
        self.age = self.remember("age")  # number of steps of the training so far
        self.sum_rewards, self.length = self.remember("sum_rewards"), self.remember("length")
        self.mean_return = keras.metrics.Mean(name="return")
        self.mean_length = keras.metrics.Mean(name="length")
        self.num_episodes = keras.metrics.Sum(name="episodes")
        self.built = True

    def remember(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        """Returns a new variable of zeros that is not trained.

        Args:
            name: Name of the variable.
            shape: Shape of the variable. Defaults to that of a number.
        """
        return self.add_weight(
            shape=shape, initializer="zeros", dtype="float32", trainable=False, name=name
        )

    def compile(self, optimizer: keras.optimizers.Optimizer, **options: Any) -> None:  # type: ignore[override]
        """Compiles the agent, whose optimizer updates the model that is kept.

        Args:
            optimizer: Keras optimizer.
            **options: Further arguments of `keras.Model.compile`.
        """
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        scheduled = isinstance(
            inner._learning_rate, keras.optimizers.schedules.LearningRateSchedule
        )
        if scheduled and not self.updates_each_step:
            raise ConfigError(
                "schedule: it is planned in steps of the training, and this agent updates its model"
                " after some of them only. schedule=none."
            )
        super().compile(optimizer=optimizer, **options)
        self.optimizer.build(self.model.trainable_variables)

    def call(self, observations: Any, training: bool = False) -> Any:
        """Returns the scores of a batch of observations."""
        return self.model(observations, training=training)

    def explore(self, observation: Any) -> Any:
        """Returns the number of the action to try at an observation."""
        raise NotImplementedError

    def learn(
        self, observation: Any, action: Any, reward: Any, after: Any, terminated: Any, is_over: Any
    ) -> None:
        """Learns from one action: the reward, the observation after it, and whether it was the end.

        `terminated` is 1 where nothing can follow, `is_over` also where the episode is cut off.
        """
        raise NotImplementedError

    def begin_epoch(self) -> None:
        """Prepares for an epoch, which begins with a new episode."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """Acts once, and learns from it.

        Args:
            data: Number of the epoch and number of the step in it.
        """
        epoch, step = data
        when(step == 0, self.begin_epoch)
        when((step == 0) | (self.is_over > 0), lambda: self._begin(epoch, step))
        dtype = self.environment.observation.dtype
        observation = tf.cast(self.observation, dtype)
        action = tf.cast(self.explore(observation), tf.int32)
        state, after, reward, terminated, truncated = self.simulation.step(
            tf.convert_to_tensor(self.state), action
        )
        self.length.assign_add(1.0)
        self.sum_rewards.assign_add(reward)
        is_over = terminated | truncated | (self.length >= float(self.environment.max_steps))
        ends = tf.cast(terminated, tf.float32), tf.cast(is_over, tf.float32)
        self.learn(observation, action, reward, after, *ends)
        self.state.assign(state)
        self.observation.assign(tf.cast(after, tf.float32))
        self.is_over.assign(ends[1])
        self.age.assign_add(1.0)
        # Weights of 0 leave the means as they are.
        self.mean_return.update_state(self.sum_rewards, sample_weight=ends[1])
        self.num_episodes.update_state(ends[1])
        mean = self.mean_return.result()
        number = self.num_episodes.result()
        # No episode may have ended in a short epoch, and then there is no mean.
        return {"return": tf.where(number > 0, mean, float("nan")), "episodes": number}

    def test_step(self, data: Any) -> dict[str, Any]:
        """Plays one episode with the best actions.

        Args:
            data: Seed of the episode.
        """
        played = play(self.model, self.values, self.environment, self.evaluation, data)
        self.mean_return.update_state(played["return"])
        self.mean_length.update_state(played["length"])
        return {"return": self.mean_return.result(), "length": self.mean_length.result()}

    def _begin(self, epoch: Any, step: Any) -> None:
        """Begins an episode, whose seed is a function of the run's, the epoch and the step."""
        seeds = tf.stack([tf.cast(self.environment.seed, tf.int64) + epoch * 1_000_003, step])
        seed = tf.random.stateless_uniform([], seeds, 0, _LAST_SEED, tf.int64)
        state, observation = self.simulation.reset(seed)
        self.state.assign(state)
        self.observation.assign(tf.cast(observation, tf.float32))
        self.sum_rewards.assign(0.0)
        self.length.assign(0.0)


def when(condition: Any, function: Callable[[], None]) -> None:
    """Calls a function in TensorFlow's graph, where a condition holds.

    Args:
        condition: Scalar of bool.
        function: Function that changes variables.
    """

    def done() -> int:  # both branches of a condition must return alike
        function()
        return 0

    tf.cond(condition, done, lambda: 0)


def play(
    model: Any, values: Values, environment: Environment, simulation: Simulation, seed: Any
) -> dict[str, Any]:
    """Plays one episode with the best actions, in TensorFlow's graph.

    Args:
        model: Model of the agent.
        values: Function `(model, observations)` to a score for each action.
        environment: Environment of the data.
        simulation: Copy of the environment.
        seed: Seed of the episode.

    Returns:
        The sum of rewards as `"return"`, the number of steps as `"length"`, and what was done and
        seen at each: `"actions"` and `"observations"`.
    """
    state, observation = simulation.reset(seed)
    spec = environment.observation
    done = tf.TensorArray(tf.int32, environment.max_steps, element_shape=())
    seen = tf.TensorArray(spec.dtype, environment.max_steps, element_shape=spec.shape)

    def follow(
        state: Any, observation: Any, total: Any, length: Any, _: Any, done: Any, seen: Any
    ) -> Any:
        scores = values(model, observation[None])
        action = tf.argmax(scores[0], output_type=tf.int32)
        done, seen = done.write(length, action), seen.write(length, observation)
        state, observation, reward, terminated, truncated = simulation.step(state, action)
        return state, observation, total + reward, length + 1, terminated | truncated, done, seen

    numbers = tf.constant(0.0), tf.constant(0), tf.constant(False)
    *_, total, length, _, done, seen = tf.while_loop(
        lambda *found: ~found[4],
        follow,
        (state, observation, *numbers, done, seen),
        maximum_iterations=environment.max_steps,
    )
    found = {"actions": done.stack()[:length], "observations": seen.stack()[:length]}
    return {"return": total, "length": length, **found}
