"""A small world of cells, with traps and a goal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.environment import Environment, Simulation
from kx.contracts.specs import Data, Spec
from kx.errors import ConfigError
from kx.types import Count, Fraction, Seed

_ACTIONS = ("up", "right", "down", "left")
_MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
_LIGHT = 0.6  # from this share of the colors on, black is read better than white
_ROWS = ("S...", ".T.T", "...T", "T..G")  # the map of FrozenLake-v1


def grid_world(
    *,
    rows: Sequence[str] = _ROWS,
    step_reward: float = -0.01,
    trap_reward: float = -1.0,
    goal_reward: float = 1.0,
    slip: Fraction = 0.0,
    exploring_starts: bool = True,
    max_steps: Count = 50,
    epoch_steps: Count = 1000,
    validation_episodes: Count = 11,
    test_episodes: Count = 100,
    seed: Seed = 0,
) -> Data:
    """Makes a world of cells in which an agent moves to its goal.

    An observation is the number of the agent's cell, row by row. Its actions are up, right, down
    and left; a move out of the world, or into a wall, leaves it where it is. Traps and the goal end
    an episode.

    Args:
        rows: Rows of the map: `S` the start, `G` the goal, `T` a trap, `#` a wall, `.` a free
            cell. Defaults to a map of 4×4 cells with four traps.
        step_reward: Reward of a step to a free cell. Defaults to -0.01.
        trap_reward: Reward of a step into a trap. Defaults to -1.
        goal_reward: Reward of the step to the goal. Defaults to 1.
        slip: Probability that the agent moves to the left or right of where it wants to, as often
            to either side. Defaults to 0.
        exploring_starts: Whether episodes begin in any free cell, so that the values of all are
            learned and evaluated; else at the start. Defaults to True.
        max_steps: Number of steps after which an episode is cut off. Defaults to 50.
        epoch_steps: Number of steps of an epoch. Defaults to 1000.
        validation_episodes: Number of episodes after each epoch. Defaults to 11, one from each
            free cell of the default map.
        test_episodes: Number of episodes of the report. Defaults to 100.
        seed: Seed of the episodes. Defaults to 0; the option of conf/ follows the run's.

    Returns:
        Data with an environment.

    Raises:
        ConfigError: If the rows are of different lengths, have another character, or no start or
            goal.

    Source: Sutton & Barto 2018, "Reinforcement learning", example 4.1 and section 5.3.

    Example:
    >>> data = grid_world()
    >>> state, observation = data.environment.make().reset(tf.constant(0, tf.int64))
    >>> int(observation)
    0
    """
    cells = _cells(rows)
    environment = Environment(
        observation=Spec((), "int32", sizes=(cells.size,), kind="category"),
        state_shape=(3,),
        action_names=_ACTIONS,
        make=_World(cells, (step_reward, trap_reward, goal_reward), slip, exploring_starts).made,
        max_steps=max_steps,
        seed=seed,
        every_state=np.arange(cells.size, dtype="int32"),
        draw=_Drawing(cells),
    )
    options = [list(rows), step_reward, trap_reward, goal_reward, slip, exploring_starts, max_steps]
    return Data(
        train=tf.data.Dataset.range(epoch_steps),
        validation=tf.data.Dataset.range(validation_episodes),
        test=tf.data.Dataset.range(test_episodes),
        inputs=environment.observation,
        targets={},
        name="grid_world",
        fingerprint=hashlib.sha256(repr([*options, seed]).encode()).hexdigest(),
        facts={"action_names": list(environment.action_names)},
        environment=environment,
    )


def _cells(rows: Sequence[str]) -> np.ndarray:
    """Returns the map as an array of characters."""
    told = "data.rows: expected rows of one length, of S, G, T, # and ., with one S and a G."
    if not rows or len({len(row) for row in rows}) != 1 or not rows[0]:
        raise ConfigError(f"{told} Received lengths: {[len(row) for row in rows]}.")
    cells = np.array([list(row) for row in rows])
    if others := sorted(set(cells.ravel()) - set("SGT#.")):
        raise ConfigError(f"{told} Received: {' '.join(others)}.")
    if (cells == "S").sum() != 1 or not (cells == "G").any():
        raise ConfigError(
            f"{told} Received: {(cells == 'S').sum()} S and {(cells == 'G').sum()} G."
        )
    return cells


class _World:
    """The moves of a grid world. A state is the cell, a seed for the slips, and the step."""

    def __init__(
        self, cells: np.ndarray, rewards: tuple[float, float, float], slip: float, anywhere: bool
    ) -> None:
        self._slip = slip
        free = (
            np.flatnonzero(np.isin(cells, list("S."))) if anywhere else np.flatnonzero(cells == "S")
        )
        self._starts = tf.constant(free, tf.int64)
        self._next = tf.constant(_moves(cells), tf.int32)  # (num_cells, 4)
        of_cell = np.select([cells == "T", cells == "G"], rewards[1:], rewards[0]).ravel()
        self._rewards = tf.constant(of_cell, tf.float32)
        self._ends = tf.constant(np.isin(cells, list("TG")).ravel())

    def made(self) -> Simulation:
        """Returns a copy, which is the same: a world has no state of its own."""
        return Simulation(self.reset, self.step)

    def reset(self, seed: Any) -> tuple[Any, Any]:
        """Returns the first state and observation."""
        cell = self._starts[seed % tf.size(self._starts, tf.int64)]
        slips = tf.cast(seed % 2**20, tf.float32)  # float32 has whole numbers up to 2**24
        state = tf.stack([tf.cast(cell, tf.float32), slips, 0.0])
        return state, tf.cast(cell, tf.int32)

    def step(self, state: Any, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Returns the next state, the observation, the reward, and whether the episode ends."""
        if self._slip:
            chance = tf.random.stateless_uniform([], tf.cast(state[1:], tf.int32))
            side = tf.where(chance < self._slip / 2, 1, tf.where(chance < self._slip, 3, 0))
            action = (action + side) % len(_MOVES)
        cell = self._next[tf.cast(state[0], tf.int32), action]
        state = tf.stack([tf.cast(cell, tf.float32), state[1], state[2] + 1])
        return state, cell, self._rewards[cell], self._ends[cell], tf.constant(False)


def _moves(cells: np.ndarray) -> np.ndarray:
    """Returns the cell after each action in each cell, shape `(num_cells, 4)`."""
    height, width = cells.shape
    after = np.zeros((cells.size, len(_MOVES)), "int32")
    for cell in range(cells.size):
        row, column = divmod(cell, width)
        for action, (down, right) in enumerate(_MOVES):
            to = (row + down, column + right)
            inside = 0 <= to[0] < height and 0 <= to[1] < width and cells[to] != "#"
            after[cell, action] = to[0] * width + to[1] if inside else cell
    return after


class _Drawing:
    """Draws a value and an action for each cell."""

    def __init__(self, cells: np.ndarray) -> None:
        self._cells = cells

    def __call__(self, values: np.ndarray, actions: np.ndarray, title: str) -> Any:
        from matplotlib.figure import Figure

        height, width = self._cells.shape
        free = np.isin(self._cells, list("S."))
        shown = np.where(free, np.reshape(values, (height, width)), np.nan)
        figure = Figure(figsize=(1 + width, 1 + height), layout="constrained", dpi=110)
        axes = figure.subplots()
        image = axes.imshow(shown, cmap="viridis")
        low, high = np.nanmin(shown), np.nanmax(shown)
        light = low + _LIGHT * (high - low)
        for row in range(height):
            for column in range(width):
                kind, text = self._cells[row, column], ""
                if free[row, column]:
                    arrow = "↑→↓←"[int(np.reshape(actions, (height, width))[row, column])]
                    text = f"{arrow}\n{shown[row, column]:.2f}" + (" S" if kind == "S" else "")
                else:
                    text = {"T": "trap", "G": "goal", "#": "wall"}[kind]
                dark = free[row, column] and shown[row, column] < light
                color = "white" if dark else "black"
                axes.text(column, row, text, ha="center", va="center", size=9, color=color)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(title, size=10)
        figure.colorbar(image, ax=axes, shrink=0.8)
        return figure
