"""A study: what a search knows, in one file that is always whole. Imports no TensorFlow."""

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
from kx.config.compose import is_file
from kx.errors import ConfigError, Mistake, RunNotFoundError, did_you_mean

FILE = "study.json"
RUNNING, COMPLETED, PRUNED, FAILED = "RUNNING", "COMPLETED", "PRUNED", "FAILED"
SCORED = (COMPLETED, PRUNED)


@dataclass
class Execution:
    """Holds one training of a trial.

    Args:
        folder: of its run.
        score: the objective, once it is known.
        epochs: that it trained, in all.
        seconds: that it took.
        run_id: of the tracking store.
        done: whether it has ended.
        pruned: whether it was stopped by its curve.
        curve: the objective after each epoch.
        stops: how often its process was told to end, not by the search.
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
        number: from 1.
        key: KerasTuner's name for it.
        values: path to value of the parameters that count.
        epochs: after which it stops.
        state: `"RUNNING"`, `"COMPLETED"`, `"PRUNED"` or `"FAILED"`.
        score: the objective, the mean of its executions.
        executions: its trainings.
        goes_on_from: number of the trial whose weights it continues.
        error: why it failed.
        tries: how often it has failed.
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
        """How long it has trained."""
        return sum(execution.seconds for execution in self.executions)

    @property
    def spread(self) -> float | None:
        """The standard deviation of its executions' scores; None with fewer than two."""
        scores = [e.score for e in self.executions if e.score is not None]
        if len(scores) < 2:
            return None
        return statistics.stdev(scores)


@dataclass
class Study:
    """Holds a study.

    Args:
        name: of the study.
        folder: of the study.
        fixed: what may not change while it goes on: config, space and method.
        objective: the metric, as `val_loss`, and `"max"` or `"min"`.
        trials: in the order of their begin.
        oracle: KerasTuner's state.
        seconds: that the search has taken, all its sessions together.
        finished: whether the search has come to its end.
        winner: number of the best trial, once that is finished.
        winner_is: what became of it: `"keep"`, `"retrain"` or `"none"`.
        experiment: hash of the experiment file that was written of it.
        run_id: of the tracking store's run that groups its trials.
        failed: what to do once all trials have failed; empty if they have not.
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
        """Writes the study, whole or not at all."""
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

        Raises:
            ConfigError: if its file is damaged.
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
                f"{folder / FILE} cannot be read: {error}. Start the study anew:"
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
        """Returns the best trial whose weights are still there, or None.

        Those of one that Hyperband promoted are the later trial's now.
        """
        gone = {trial.goes_on_from for trial in self.trials}
        return next((trial for trial in self.scored() if trial.number not in gone), None)

    def trial(self, number: int) -> Trial:
        """Returns a trial by its number."""
        return self.trials[number - 1]

    def refuse_change(self, fixed: Mapping[str, Any]) -> None:
        """Refuses to go on with another config, space or method than the study began with.

        Raises:
            ConfigError: with all that differs.
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
                        f"There is a study {self.name} already, and it goes on as it began; what"
                        " differs follows. For another one: tuner.study=NAME. To forget it:"
                        " tuner.overwrite=true.",
                    ),
                    *mistakes,
                ]
            )


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # a number of NumPy's
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
        name: of the study.

    Raises:
        RunNotFoundError: if there is none of that name.
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
