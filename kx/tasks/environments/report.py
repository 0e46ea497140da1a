"""Report on an agent: the returns of its episodes, its policy and its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from kx.contracts.answers import Answers
from kx.contracts.environment import Environment
from kx.contracts.findings import Findings, ReportOptions, bootstrap
from kx.tasks.environments.agent import Values, play

FIRST_TEST_SEED = 2**40
_SHOWN = 20  # episodes in the table


def agent_findings(
    answers: Answers,
    options: ReportOptions,
    environment: Environment,
    values: Values,
    best_value: Callable[[Any], Any] | None,
) -> Findings:
    """Returns the findings on episodes that a model plays with its best actions.

    Args:
        answers: Answers with the model, and as many examples as episodes are to be played.
        options: Options of the report.
        environment: Environment of the data.
        values: Function `(model, observations)` to a score for each action.
        best_value: Function from the scores to the value of a state. None: the model has an output
            `"value"`.
    """
    simulation, model = environment.make(), answers.model

    @tf.function
    @tf.autograph.experimental.do_not_convert
    def played(seed: Any) -> dict[str, Any]:
        return play(model, values, environment, simulation, seed)

    first = FIRST_TEST_SEED + environment.seed * 2**20
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
    actions = np.concatenate([one["actions"].numpy() for one in episodes])
    return Findings(
        {**statistics(np.arange(count)), **spread},
        intervals=bootstrap(statistics, count, options),
        tables={f"The first {len(rows)} of {count} episodes": rows},
        figures=_figures(model, values, best_value, environment, returns, actions),
        statistics=statistics,
        predictions={"returns": returns, "lengths": lengths},
        judged=f"{count:,} episodes with the best actions: {answers.judged}",  # type: ignore[attr-defined]
    )


def _figures(
    model: Any, values: Values, best_value: Any, environment: Environment,
    returns: np.ndarray, actions: np.ndarray,
) -> dict[str, Figure]:  # fmt: skip
    figure = Figure(figsize=(8, 3), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    left.hist(returns, bins=20)
    left.set_xlabel("return of an episode")
    left.set_ylabel("episodes")
    names = environment.action_names
    counts = [int((actions == number).sum()) for number in range(len(names))]
    right.bar(names, counts)
    right.set_xlabel("action")
    right.set_ylabel("times")
    found = {"episodes": figure}
    if environment.draw is not None and environment.every_state is not None:
        states = tf.constant(environment.every_state)
        scores = values(model, states)
        of_states = (
            model(states, training=False)["value"][:, 0]
            if best_value is None
            else best_value(scores)
        )
        best = np.argmax(np.asarray(scores), axis=-1)
        title = "The best action in each state, and its value"
        found["policy"] = environment.draw(np.asarray(of_states), best, title)
    return found
