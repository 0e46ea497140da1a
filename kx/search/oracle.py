"""KerasTuner's oracles: which values a trial is to have."""

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

# Keys of `tuner` that are the search's own, and not the oracle's.
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
    """Asks one of KerasTuner's oracles, and keeps what it knows.

    Args:
        settings: of `tuner`.
        parameters: of the space.
        objective: the metric and its direction.
        defaults: path to the config's own value.
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
        node["seed"] = int(settings["seed"]) + 1  # KerasTuner takes 0 for a random one
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
        # What it knows is kept in the study's file, whole or not at all.
        self._oracle.save = lambda: None
        self._oracle._save_trial = lambda trial: None
        # It counts those of earlier sessions, too, and raises with its lock held: `Search` counts.
        self._oracle._check_consecutive_failures = lambda: None
        start = starting_values(parameters, defaults)
        # A grid begins with what is active by these; without them, at random.
        self._oracle.hyperparameters.values = dict(start)
        if settings["start_with_defaults"]:
            self._begin_with(start)

    def _begin_with(self, defaults: dict[str, Any]) -> None:
        """Lets the first random trial have the config's own values."""
        draw = self._oracle._random_values

        def values() -> dict[str, Any] | None:
            return defaults.copy() if not self._oracle.trials else draw()

        self._oracle._random_values = values

    def ask(self, number: int) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
        """Returns the next trial, or None if there is none: now, or at all (`exhausted`).

        Args:
            number: of the trial.

        Returns:
            KerasTuner's name for it; path to value; and what the method adds:
            `epochs` after which to stop, `goes_on_from` another trial's name.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a Gaussian process that fits badly
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
        """The number of trials that there will be at most, or None if that is not known."""
        if "iterations" in self._limits and self._limits["iterations"] is not None:
            return self._planned_trials() * int(self._limits["iterations"])
        limit = self._limits["max_trials"]
        return None if limit is None else int(limit)

    def _planned_trials(self) -> int:
        """Returns the number of trials of a Hyperband: all rounds of all its brackets."""
        oracle = self._oracle
        return sum(
            oracle._get_size(bracket, number)
            for bracket in range(oracle._get_num_brackets())
            for number in range(oracle._get_num_rounds(bracket))
        )

    def tell(self, key: str, score: float | None, error: str = "") -> bool:
        """Says how a trial ended, and returns whether it is to be tried again.

        Args:
            key: KerasTuner's name for it.
            score: None if it failed.
            error: why.
        """
        trial = self._oracle.trials[key]
        if score is None:
            trial.status, trial.message = "INVALID", error
        else:
            trial.status = "COMPLETED"
            self._oracle.update_trial(key, {self._oracle.objective.name: score})
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of retries
            self._oracle.end_trial(trial)
        again = key in self._oracle._retry_queue
        if again:  # it is tried at once, by the same name
            self._oracle._retry_queue.remove(key)
            trial.status = "RUNNING"
            self._oracle.ongoing_trials[f"kx-again-{key}"] = trial
        return again

    def state(self) -> dict[str, Any]:
        """Returns all that the oracle knows, as plain data."""
        trials = {key: trial.get_state() for key, trial in self._oracle.trials.items()}
        return {"oracle": self._oracle.get_state(), "trials": trials, "limits": self._limits}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Gives the oracle what it knew.

        Args:
            state: as `state` returned it.
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
        for name, value in limits.items():  # which may be larger now
            setattr(self._oracle, name, value)
        if hasattr(self._oracle, "_current_iteration"):  # with fewer, Hyperband never ends
            least = self._oracle._current_iteration + 1
            self._oracle.hyperband_iterations = max(self._oracle.hyperband_iterations, least)
        if hasattr(self._oracle, "_ordered_ids"):  # a grid, whose place KerasTuner forgets

            def compare(a: str, b: str) -> int:
                return int(self._oracle._compare(self._values_of(a), self._values_of(b)))

            last = None
            for key in sorted(self._oracle.trials, key=functools.cmp_to_key(compare)):
                self._oracle._ordered_ids.insert(key, last)
                last = key
            self._oracle._populate_next = list(self._oracle.start_order)

    def _kept(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a state of KerasTuner's whose space is kept as it is now."""
        space = as_places(state["hyperparameters"], self._parameters, self._defaults)
        return {**state, "hyperparameters": {**state["hyperparameters"], **space}}

    def _values_of(self, key: str) -> dict[str, Any]:
        return self._oracle.trials[key].hyperparameters.values
