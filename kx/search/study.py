"""Studies: the saved state of a search, in one atomic JSON file. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kx.config import project_dir
from kx.config.places import is_file
from kx.errors import ConfigError, Mistake, RunNotFoundError, did_you_mean

FILE = "study.json"
RUNNING, COMPLETED, PRUNED, FAILED = "RUNNING", "COMPLETED", "PRUNED", "FAILED"
SCORED = (COMPLETED, PRUNED)


@dataclass
class Execution:
    """Holds one execution of a trial: a training run.

    Args:
        folder: Path to the folder of the run.
        score: Objective of the run. Defaults to None: not known yet.
        epochs: Number of epochs that it was trained for, in total.
        seconds: Training time in seconds.
        run_id: ID of the run in the tracking store.
        done: Whether the execution has ended.
        pruned: Whether the pruner stopped it.
        curve: Objective after each epoch.
        stops: How often its process was stopped from outside the search.
    """

    folder: str
    score: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    run_id: str = ""
    done: bool = False
    pruned: bool = False
    curve: list[float] = field(default_factory=list)
    stops: int = 0


@dataclass
class Trial:
    """Holds a trial of a study.

    Args:
        number: Number of the trial, from 1.
        key: KerasTuner's name of the trial.
        values: Values of the active parameters, by path.
        epochs: Number of epochs after which the trial stops.
        state: State of the trial: `"RUNNING"`, `"COMPLETED"`, `"PRUNED"` or `"FAILED"`.
            Defaults to `"RUNNING"`.
        score: Mean objective of its executions. Defaults to None: not known yet.
        executions: Executions of the trial.
        goes_on_from: Number of the trial whose weights it continues. Defaults to None.
        error: Error message of a failed trial.
        tries: How often the trial has failed.
    """

    number: int
    key: str
    values: dict[str, Any]
    epochs: int
    state: str = RUNNING
    score: float | None = None
    executions: list[Execution] = field(default_factory=list)
    goes_on_from: int | None = None
    error: str = ""
    tries: int = 0

    @property
    def seconds(self) -> float:
        """Returns the training time in seconds, over all executions."""
        return sum(execution.seconds for execution in self.executions)

    @property
    def spread(self) -> float | None:
        """Returns the standard deviation of the executions' scores; None with fewer than two."""
        scores = [e.score for e in self.executions if e.score is not None]
        if len(scores) < 2:
            return None
        return statistics.stdev(scores)


@dataclass
class Study:
    """Holds a study.

    Args:
        name: Name of the study.
        folder: Path to the folder of the study.
        fixed: What may not change when the study is continued: config, space and method.
        objective: Name of the metric, such as `val_loss`, and `"max"` or `"min"`.
        trials: Trials in the order in which they were started.
        oracle: State of KerasTuner's oracle.
        seconds: Duration of the search in seconds, over all its sessions.
        finished: Whether the search ran to its end.
        winner: Number of the best trial. Defaults to None: the search is not finished.
        winner_is: How the best model was produced: `"keep"`, `"retrain"` or `"none"`.
        experiment: SHA-256 hash of the experiment file written for the best trial.
        run_id: ID of the run in the tracking store that groups the trials.
        failed: Advice on how to continue after all trials have failed; else empty.
    """

    name: str
    folder: Path
    fixed: dict[str, Any]
    objective: tuple[str, str]
    trials: list[Trial] = field(default_factory=list)
    oracle: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False
    winner: int | None = None
    winner_is: str = ""
    experiment: str = ""
    run_id: str = ""
    failed: str = ""

    def save(self) -> None:
        """Writes the study atomically."""
        trials = [dataclasses.asdict(trial) for trial in self.trials]
        values = {**vars(self), "trials": trials}
        del values["folder"]
        self.folder.mkdir(parents=True, exist_ok=True)
        half = self.folder / f"{FILE}.{os.getpid()}.part"
        try:
            with half.open("w", encoding="utf-8") as file:
                json.dump(values, file, ensure_ascii=False, default=_plain)
                file.flush()
                os.fsync(file.fileno())
            half.replace(self.folder / FILE)
        except BaseException:
            half.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, folder: Path) -> Study:
        """Reads a study.

        Args:
            folder: Path to the folder of the study.

        Raises:
            ConfigError: If its file is damaged.
        """
        try:
            values = json.loads((folder / FILE).read_text(encoding="utf-8"))
            trials = values.pop("trials")
            known = {item.name for item in dataclasses.fields(cls)}
            study = cls(folder=folder, **{k: v for k, v in values.items() if k in known})
            for trial in trials:
                executions = [Execution(**item) for item in trial.pop("executions")]
                study.trials.append(Trial(executions=executions, **trial))
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(
                f"{folder / FILE} cannot be read: {error}. Start the study again:"
                " tuner.overwrite=true."
            ) from error
        study.objective = (study.objective[0], study.objective[1])
        return study

    def scored(self) -> list[Trial]:
        """Returns the trials that have a score, the best first."""
        sign = -1 if self.objective[1] == "max" else 1
        scored = [t for t in self.trials if t.state in SCORED and t.score is not None]
        return sorted(scored, key=lambda t: (sign * t.score, -t.epochs, t.number))  # type: ignore[operator]

    def best(self) -> Trial | None:
        """Returns the best trial whose weights still exist, or None.

        A trial that Hyperband promoted has no weights of its own: the trial that
        continues it trains in the same folder.
        """
        gone = {trial.goes_on_from for trial in self.trials}
        return next((trial for trial in self.scored() if trial.number not in gone), None)

    def trial(self, number: int) -> Trial:
        """Returns a trial by its number, from 1."""
        return self.trials[number - 1]

    def refuse_change(self, fixed: Mapping[str, Any]) -> None:
        """Raises if config, space or method differ from those the study was started with.

        Args:
            fixed: Current config, space and method.

        Raises:
            ConfigError: If any value differs. The error lists all differences.
        """
        from kx.tracking.resume import differences

        now = json.loads(json.dumps(fixed, default=_plain))
        mistakes = [
            Mistake(path, f"the study {self.name} has {was!r}. Received: {is_now!r}.")
            for path, was, is_now in differences(self.fixed, now)
        ]
        if mistakes:
            raise ConfigError(
                [
                    Mistake(
                        "tuner.study",
                        f"There is a study {self.name} already, and it continues with its own"
                        " config; what differs follows. For another one: tuner.study=NAME. To"
                        " forget it:"
                        " tuner.overwrite=true.",
                    ),
                    *mistakes,
                ]
            )


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # a NumPy scalar
        return value.item()
    return str(value)


def studies_dir() -> Path:
    """Returns the folder of the project's studies."""
    return project_dir() / "studies"


def study_folder(name: str) -> Path:
    """Returns the folder of a study."""
    return studies_dir() / re.sub(r"[^\w.=\-]+", "_", name)


def find_study(name: str) -> Study:
    """Returns a study of this project.

    Args:
        name: Name of the study.

    Raises:
        RunNotFoundError: If there is no study of that name.
    """
    folder = study_folder(name)
    if not is_file(folder / FILE):
        names = [path.parent.name for path in studies_dir().glob(f"*/{FILE}")]
        raise RunNotFoundError(
            f"There is no study {name!r} in {studies_dir()}."
            f" {did_you_mean(name, names, 'Studies')} Start one: python -m kx.run"
            " tuner=bayesian"
        )
    return Study.load(folder)
