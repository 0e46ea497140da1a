"""Environments of the package gymnasium."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.environment import Environment, Simulation
from kx.contracts.specs import Data, Spec
from kx.errors import ConfigError, DataError, did_you_mean
from kx.types import Count, Seed


def gymnasium(
    *,
    name: str,
    options: dict[str, Any] | None = None,
    max_steps: Count | None = None,
    epoch_steps: Count = 1000,
    validation_episodes: Count = 10,
    test_episodes: Count = 100,
    seed: Seed = 0,
) -> Data:
    """Makes an environment of gymnasium: numbers as observations, and a few actions.

    The environment is Python: it is reset at each epoch, so that a run that was killed continues
    with the same numbers.

    Args:
        name: Name of the environment, such as `"CartPole-v1"`.
        options: Further arguments of `gymnasium.make`. Defaults to None.
        max_steps: Number of steps after which an episode is cut off. Defaults to None: that of the
            environment.
        epoch_steps: Number of steps of an epoch. Defaults to 1000.
        validation_episodes: Number of episodes after each epoch. Defaults to 10.
        test_episodes: Number of episodes of the report. Defaults to 100.
        seed: Seed of the episodes. Defaults to 0; the option of conf/ follows the run's.

    Returns:
        Data with an environment.

    Raises:
        DataError: If gymnasium, or what the environment needs, is not installed.
        ConfigError: If there is no such environment, or if it has other observations or actions.

    Source: Towers et al. 2024, "Gymnasium: a standard interface for reinforcement learning
    environments".
    """
    made = _Python(name, options or {}, max_steps)
    first = made.opened()
    steps = max_steps or getattr(first.spec, "max_episode_steps", None)
    if steps is None:
        raise ConfigError(
            f"data.max_steps: {name} has no last step, and episodes must end: data.max_steps=1000."
        )
    observation, actions = _observation(first, name), _actions(first, name)
    first.close()
    environment = Environment(
        observation=observation, state_shape=(1,), action_names=actions, make=made.made,
        max_steps=int(steps), seed=seed, is_python=True,
    )  # fmt: skip
    identity = repr([name, options or {}, max_steps, seed])
    return Data(
        train=tf.data.Dataset.range(epoch_steps),
        validation=tf.data.Dataset.range(validation_episodes),
        test=tf.data.Dataset.range(test_episodes),
        inputs=observation,
        targets={},
        name=name,
        source=f"gymnasium:{name}",
        fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
        facts={"action_names": list(environment.action_names)},
        environment=environment,
    )


def _package() -> Any:
    try:
        import gymnasium as package
    except ImportError as error:
        raise DataError(
            'data=gymnasium needs the package gymnasium: pip install "kx[rl]".'
        ) from error
    return package


def _observation(environment: Any, name: str) -> Spec:
    package, space = _package(), environment.observation_space
    if isinstance(space, package.spaces.Discrete):
        return Spec((), "int32", sizes=(int(space.n),), kind="category")
    if not isinstance(space, package.spaces.Box):
        raise ConfigError(
            f"data.name={name}: its observations are {space}. Expected numbers (Box or Discrete)."
        )
    pixels = len(space.shape) == 3 and space.dtype == np.uint8
    dtype = "uint8" if pixels else "float32"
    return Spec(tuple(space.shape), dtype, kind="image" if pixels else "array")


def _actions(environment: Any, name: str) -> tuple[str, ...]:
    package, space = _package(), environment.action_space
    if not isinstance(space, package.spaces.Discrete):
        raise ConfigError(
            f"data.name={name}: its actions are {space}. Expected a few actions (Discrete)."
        )
    return tuple(str(int(space.start) + number) for number in range(int(space.n)))


class _Python:
    """Opens environments of gymnasium, and calls them from TensorFlow's graph."""

    def __init__(self, name: str, options: dict[str, Any], max_steps: int | None) -> None:
        self._name, self._options, self._max_steps = name, options, max_steps
        self._package = _package()

    def opened(self) -> Any:
        """Returns a new environment."""
        package = self._package
        try:
            return package.make(
                self._name, max_episode_steps=self._max_steps, disable_env_checker=True,
                **self._options,
            )  # fmt: skip
        except package.error.DependencyNotInstalled as error:
            raise DataError(f"data.name={self._name}: {error}") from error
        except (package.error.Error, ModuleNotFoundError) as error:
            if self._name in package.registry:
                raise DataError(f"data.name={self._name}: {error}") from error
            hint = did_you_mean(self._name, sorted(package.registry), "Environments")
            raise ConfigError(
                f"data.name={self._name}: gymnasium has no such environment. {hint[:600]}"
            ) from error
        except TypeError as error:
            raise ConfigError(f"data.options: {self._name} does not take them: {error}") from error

    def made(self) -> Simulation:
        """Returns a copy of the environment."""
        environment = self.opened()
        space = _observation(environment, self._name)
        start = int(environment.action_space.start)

        # TensorFlow does not keep the order of calls to Python, but of what depends on each other:
        # each call takes the state that the one before it has returned.
        def reset(seed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            observation, _ = environment.reset(seed=int(seed) % 2**31)
            return np.zeros(1, "float32"), np.asarray(observation, space.dtype)

        def step(state: np.ndarray, action: np.ndarray) -> tuple[Any, ...]:
            observation, reward, terminated, truncated, _ = environment.step(start + int(action))
            return (
                state + np.float32(1), np.asarray(observation, space.dtype), np.float32(reward),
                np.bool_(terminated), np.bool_(truncated),
            )  # fmt: skip

        def graph_reset(seed: Any) -> tuple[Any, Any]:
            state, observation = tf.numpy_function(reset, [seed], [tf.float32, space.dtype])
            return tf.ensure_shape(state, [1]), tf.ensure_shape(observation, space.shape)

        def graph_step(state: Any, action: Any) -> tuple[Any, Any, Any, Any, Any]:
            dtypes = [tf.float32, space.dtype, tf.float32, tf.bool, tf.bool]
            state, observation, *rest = tf.numpy_function(step, [state, action], dtypes)
            reward, terminated, truncated = (tf.ensure_shape(scalar, []) for scalar in rest)
            state = tf.ensure_shape(state, [1])
            return state, tf.ensure_shape(observation, space.shape), reward, terminated, truncated

        return Simulation(graph_reset, graph_step)
