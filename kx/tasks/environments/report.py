"""Report on an agent: the returns of its episodes, its policy and its values."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from kx.contracts.answers import Answers
from kx.contracts.environment import Environment, first_episode_seed
from kx.contracts.findings import Findings, ReportOptions, bootstrap
from kx.tasks.environments.agent import Values, play

_SHOWN = 20  # episodes in the table


def agent_findings(
    answers: Answers,
    options: ReportOptions,
    environment: Environment,
    values: Values,
    state_value: Values,
) -> Findings:
    """Returns the findings on episodes that a model plays with its best actions.

    Args:
        answers: Answers with the model, and as many examples as episodes are to be played.
        options: Options of the report.
        environment: Environment of the data.
        values: Function `(model, observations)` to a score for each action.
        state_value: Function `(model, observations)` to the value of each.
    """
    simulation, model = environment.make(), answers.model

    @tf.function
    @tf.autograph.experimental.do_not_convert
    def played(seed: Any) -> dict[str, Any]:
        return play(model, values, environment, simulation, seed)

    first = first_episode_seed(answers.split, environment.seed)  # type: ignore[attr-defined]
    count: int = answers.num_examples  # type: ignore[attr-defined]
    episodes = [played(tf.constant(first + number, tf.int64)) for number in range(count)]
    returns = np.array([float(one["return"]) for one in episodes])
    lengths = np.array([int(one["length"]) for one in episodes])

    def statistics(indices: np.ndarray) -> dict[str, float]:
        return {
            "return": float(returns[indices].mean()),
            "length": float(lengths[indices].mean()),
        }

    spread = {
        "return_standard_deviation": float(returns.std()),
        "return_min": float(returns.min()),
        "return_max": float(returns.max()),
    }
    rows = [
        {"episode": number, "return": float(returns[number]), "length": int(lengths[number])}
        for number in range(min(_SHOWN, count))
    ]
    return Findings(
        {**statistics(np.arange(count)), **spread},
        intervals=bootstrap(statistics, count, options),
        tables={f"The first {len(rows)} of {count} episodes": rows},
        figures=_figures(model, values, state_value, environment, episodes),
        statistics=statistics,
        predictions={"returns": returns, "lengths": lengths},
        judged=f"{count:,} episodes with the best actions: {answers.judged}",  # type: ignore[attr-defined]
    )


def _figures(
    model: Any, values: Values, state_value: Values, environment: Environment, episodes: Any
) -> dict[str, Figure]:
    found = {
        "episodes": _all_episodes(environment, episodes),
        "first_episode": _first_episode(model, state_value, environment, episodes[0]),
    }
    if environment.draw is not None and environment.every_state is not None:
        states = tf.constant(environment.every_state)
        best = np.argmax(np.asarray(values(model, states)), axis=-1)
        title = "The best action in each state, and its value"
        found["policy"] = environment.draw(np.asarray(state_value(model, states)), best, title)
    return found


def _all_episodes(environment: Environment, episodes: Any) -> Figure:
    """Draws how the returns and the actions of episodes are distributed."""
    figure = Figure(figsize=(8, 3), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    left.hist([float(one["return"]) for one in episodes], bins=20)
    left.set_xlabel("return of an episode")
    left.set_ylabel("episodes")
    actions = np.concatenate([one["actions"].numpy() for one in episodes])
    counts = np.bincount(actions, minlength=environment.num_actions)
    right.bar(environment.action_names, counts)
    right.set_xlabel("action")
    right.set_ylabel("times")
    return figure


def _first_episode(
    model: Any, state_value: Values, environment: Environment, episode: Any
) -> Figure:
    """Draws the value of each state of an episode, and the action in it."""
    figure = Figure(figsize=(8, 3.6), layout="constrained", dpi=110)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    above.plot(np.asarray(state_value(model, episode["observations"])))
    above.set_ylabel("value")
    below.plot(episode["actions"].numpy(), ".", markersize=3)
    below.set_yticks(range(environment.num_actions), environment.action_names)
    below.set_ylabel("action")
    below.set_xlabel("step of the first episode")
    return figure
