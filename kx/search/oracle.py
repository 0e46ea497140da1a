"""Adapter of KerasTuner's oracles, which choose the values of each trial."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from kx.config import build
from kx.search.keras_tuner_values import as_places, decode, hyperparameters, starting_values
from kx.search.space import Parameter

# Keys of `tuner` that kx reads itself and does not pass to the oracle.
OWN_KEYS = (
    "study",
    "space",
    "objective",
    "objective_mode",
    "max_hours",
    "start_with_defaults",
    "executions_per_trial",
    "folds",
    "workers",
    "pruner",
    "winner",
    "overwrite",
)
_EPOCHS, _GOES_ON_FROM = "tuner/epochs", "tuner/trial_id"


class Oracle:
    """Wraps one of KerasTuner's oracles, and saves and restores its state.

    Args:
        settings: Values of the config's `tuner` node.
        parameters: Parameters of the space.
        objective: Name of the metric, and its direction `"max"` or `"min"`.
        defaults: Values of the search's config, by path.

    Attributes:
        exhausted: Whether the oracle has no further trials.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        parameters: Sequence[Parameter],
        objective: tuple[str, str],
        defaults: Mapping[str, Any],
    ) -> None:
        import keras_tuner

        self._trial_class = keras_tuner.engine.trial.Trial
        self._parameters, self._defaults = parameters, defaults
        node = {k: v for k, v in settings.items() if k not in OWN_KEYS}
        if "iterations" in node:
            node["hyperband_iterations"] = node.pop("iterations")
        node["seed"] = int(settings["seed"]) + 1  # KerasTuner replaces a seed of 0 by a random one
        space = hyperparameters(parameters, defaults)
        self._oracle = build(
            node,
            objective=keras_tuner.Objective(*objective),
            hyperparameters=space,
            allow_new_entries=False,
            tune_new_entries=False,
            place="tuner",
        )
        self._oracle.verbose = 0
        self.exhausted = False
        names = ("max_trials", "iterations", "max_hours")
        self._limits = {name: settings.get(name) for name in names}
        # The state is saved in the study's file instead, in one atomic write.
        self._oracle.save = lambda: None
        self._oracle._save_trial = lambda trial: None
        # KerasTuner also counts failures of earlier sessions, and raises while it holds its
        # lock; `Search` counts them instead.
        self._oracle._check_consecutive_failures = lambda: None
        start = starting_values(parameters, defaults)
        # GridSearch reads from these which keys are active first; else it starts at random.
        self._oracle.hyperparameters.values = dict(start)
        if settings["start_with_defaults"]:
            self._begin_with(start)

    def _begin_with(self, defaults: dict[str, Any]) -> None:
        """Makes the first random trial use the values of the search's config."""
        draw = self._oracle._random_values

        def values() -> dict[str, Any] | None:
            return defaults.copy() if not self._oracle.trials else draw()

        self._oracle._random_values = values

    def ask(self, number: int) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """Returns the next trial, or None if there is none now, or none at all (`exhausted`).

        Args:
            number: Number of the trial.

        Returns:
            A tuple `(key, values, added)`: KerasTuner's name of the trial, its values
            by path, and what the method adds: `epochs` after which the trial stops,
            `goes_on_from`, the name of the trial that it continues.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about Gaussian processes that do not converge
            trial = self._oracle.create_trial(f"kx-{number}")
        self.exhausted = trial.status == "STOPPED"
        if trial.status != "RUNNING":
            return None
        values = trial.hyperparameters.values
        added: dict[str, Any] = {}
        if _EPOCHS in values:
            added["epochs"] = int(values[_EPOCHS])
        if _GOES_ON_FROM in values:
            added["goes_on_from"] = values[_GOES_ON_FROM]
        return trial.trial_id, decode(self._parameters, values), added

    @property
    def num_trials(self) -> int | None:
        """Returns the maximum number of trials, or None if it is not known."""
        if "iterations" in self._limits and self._limits["iterations"] is not None:
            return self._planned_trials() * int(self._limits["iterations"])
        limit = self._limits["max_trials"]
        return None if limit is None else int(limit)

    def _planned_trials(self) -> int:
        """Returns the number of trials of one Hyperband iteration: all rounds of all brackets."""
        oracle = self._oracle
        return sum(
            oracle._get_size(bracket, number)
            for bracket in range(oracle._get_num_brackets())
            for number in range(oracle._get_num_rounds(bracket))
        )

    def tell(self, key: str, score: float | None, error: str = "") -> bool:
        """Reports the end of a trial, and returns whether the trial is retried.

        Args:
            key: KerasTuner's name of the trial.
            score: Score of the trial, or None if it failed.
            error: Error message of a failed trial. Defaults to an empty string.
        """
        trial = self._oracle.trials[key]
        if score is None:
            trial.status, trial.message = "INVALID", error
        else:
            trial.status = "COMPLETED"
            self._oracle.update_trial(key, {self._oracle.objective.name: score})
        with contextlib.redirect_stdout(io.StringIO()):  # KerasTuner prints retries
            self._oracle.end_trial(trial)
        again = key in self._oracle._retry_queue
        if again:  # retried at once, under the same name
            self._oracle._retry_queue.remove(key)
            trial.status = "RUNNING"
            self._oracle.ongoing_trials[f"kx-again-{key}"] = trial
        return again

    def state(self) -> dict[str, Any]:
        """Returns the state of the oracle as JSON-serializable data."""
        trials = {key: trial.get_state() for key, trial in self._oracle.trials.items()}
        return {"oracle": self._oracle.get_state(), "trials": trials, "limits": self._limits}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores the state of the oracle.

        Args:
            state: State as returned by `state()`.
        """
        self._oracle.trials = {
            key: self._trial_class.from_state(self._kept(value))
            for key, value in state["trials"].items()
        }
        limits = {
            name: getattr(self._oracle, name)
            for name in ("max_trials", "hyperband_iterations")
            if hasattr(self._oracle, name)
        }
        self._oracle.set_state(self._kept(state["oracle"]))
        for name, value in limits.items():  # the config may have raised them since
            setattr(self._oracle, name, value)
        if hasattr(self._oracle, "_current_iteration"):  # below it, Hyperband never ends
            least = self._oracle._current_iteration + 1
            self._oracle.hyperband_iterations = max(self._oracle.hyperband_iterations, least)
        if hasattr(self._oracle, "_ordered_ids"):  # a grid: KerasTuner does not save its position

            def compare(a: str, b: str) -> int:
                return int(self._oracle._compare(self._values_of(a), self._values_of(b)))

            last = None
            for key in sorted(self._oracle.trials, key=functools.cmp_to_key(compare)):
                self._oracle._ordered_ids.insert(key, last)
                last = key
            self._oracle._populate_next = list(self._oracle.start_order)

    def _kept(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a KerasTuner state, converted to the current encoding of the space."""
        space = as_places(state["hyperparameters"], self._parameters, self._defaults)
        return {**state, "hyperparameters": {**state["hyperparameters"], **space}}

    def _values_of(self, key: str) -> dict[str, Any]:
        return self._oracle.trials[key].hyperparameters.values
