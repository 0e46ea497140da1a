"""A search: runs trials, each in a fresh process, until the oracle is exhausted."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from typing import Any

from kx.config import Composed
from kx.errors import NO_METRIC
from kx.launch.jobs import DONE, FAILED, Job
from kx.search.oracle import Oracle
from kx.search.pruner import continues
from kx.search.results.table import values_text
from kx.search.study import COMPLETED, PRUNED, RUNNING, Execution, Study, Trial
from kx.search.study import FAILED as TRIAL_FAILED
from kx.search.trial_configs import Trials
from kx.signals import Stop

_MAX_STOPS = 3


class Search:
    """Passes trials to the workers, reports their scores to the oracle, and saves the study.

    Args:
        base: Config of the search.
        settings: Values of the config's `tuner` node.
        study: Study of the search: a new one, or one to continue.
        trials: Composer of the trial configs.
        oracle: Oracle that chooses the values to try.
        tags: Tags of each trial's run.

    Attributes:
        jobs: Jobs that were created so far.
        gave_up: Reason why the search ends early; empty if it does not.
        stop: Stop request that the search checks.
    """

    def __init__(
        self,
        base: Composed,
        settings: Mapping[str, Any],
        study: Study,
        trials: Trials,
        oracle: Oracle,
        tags: Mapping[str, str],
    ) -> None:
        self.jobs: list[Job] = []
        self.gave_up = ""
        self.stop = Stop()
        self._base, self._settings, self._study = base, settings, study
        self._trials, self._oracle, self._tags = trials, oracle, tags
        self._begun = time.monotonic()
        self._before = study.seconds
        self._parts: dict[int, tuple[Trial, Execution]] = {}  # by the job's number
        self._waiting: list[Job] = []
        self._failures = 0  # in a row
        for trial in study.trials:
            if trial.state == RUNNING:  # from an earlier session that was stopped
                self._queue(trial)

    # --- protocol of `kx.launch.pool.Source`

    def next(self) -> Job | None:
        """Returns the next job of a trial, or None while there is none."""
        if not self._waiting and not self._enough():
            self._ask()
        return self._waiting.pop(0) if self._waiting else None

    def continues(self, job: Job) -> bool:
        """Returns whether a trial continues after an epoch, as the pruner decides."""
        trial, execution = self._parts[job.number]
        index = trial.executions.index(execution)  # others of the same fold and seed offset
        others = [
            other.executions[index].curve
            for other in self._study.trials
            if other is not trial and other.state != TRIAL_FAILED
        ]
        execution.curve = list(job.curve)
        if continues(self._settings["pruner"], job.curve, others, self._study.objective[1]):
            return True
        execution.pruned, execution.epochs = True, job.epoch
        self._save()  # else a search that is killed now would decide again when resumed
        return False

    def ended(self, job: Job) -> None:
        """Records the end of a job; the trial ends with its last job."""
        trial, execution = self._parts[job.number]
        if trial.state != RUNNING:  # another of its executions has failed for good
            return
        execution.seconds += job.seconds
        execution.run_id, execution.epochs = job.run_id, job.epoch
        execution.curve = list(job.curve)
        if job.state in DONE:
            execution.score, execution.done = job.score, True
            if all(item.done for item in trial.executions):
                self._complete(trial)
        elif job.state == FAILED:
            self._fail(trial, job.error, [execution])
        elif not self.stop.asked:  # stopped from outside, for example for its use of memory
            execution.stops += 1
            if execution.stops > _MAX_STOPS:
                error = f"Its process was asked to end {execution.stops} times, not by the search."
                self._fail(trial, error, [execution])
            else:
                index = trial.executions.index(execution)
                self._waiting.append(self._job(trial, execution, index))
        self._save()  # a job that the search itself stopped stays RUNNING, and is resumed

    # --- trials

    def _enough(self) -> bool:
        """Returns whether no further trial may start."""
        limit = self._settings["max_hours"]
        late = limit is not None and self.seconds > 3600 * limit
        return late or bool(self.gave_up) or self._oracle.exhausted

    @property
    def seconds(self) -> float:
        """Returns the duration of the search in seconds, over all its sessions."""
        return self._before + time.monotonic() - self._begun

    def _ask(self) -> None:
        number = len(self._study.trials) + 1
        asked = self._oracle.ask(number)
        if asked is None:
            return
        key, values, added = asked
        planned = values.get("epochs", self._base.config.epochs)
        epochs = added.get("epochs", int(planned))
        trial = Trial(number, key, values, epochs)
        before = added.get("goes_on_from")
        if before is not None:
            earlier = next(item for item in self._study.trials if item.key == before)
            trial.goes_on_from = earlier.number
            trial.executions = [Execution(item.folder) for item in earlier.executions]
        else:
            folder = self._study.folder / "trials"
            count = self._settings["executions_per_trial"] * (self._settings["folds"] or 1)
            names = [f"{number:04d}" + (f"-{i + 1}" if count > 1 else "") for i in range(count)]
            trial.executions = [Execution(str(folder / name)) for name in names]
        self._study.trials.append(trial)
        self._queue(trial)
        self._save()

    def _queue(self, trial: Trial) -> None:
        for index, execution in enumerate(trial.executions):
            if not execution.done:
                self._waiting.append(self._job(trial, execution, index))

    def _job(self, trial: Trial, execution: Execution, index: int) -> Job:
        composed = self._compose(trial, execution, index)
        several = len(trial.executions) > 1
        words = [values_text(trial.values)]
        if several:
            words.append(f"seed={composed.config.seed}")
        if folds := self._settings["folds"]:
            words.append(f"fold {index % folds + 1} of {folds}")
        log = self._study.folder / "logs" / f"trial-{trial.number:04d}-{index + 1}.log"
        tags = {**self._tags, "kx.kind": "trial", "kx.trial": str(trial.number)}
        epochs = execution.epochs if execution.pruned else trial.epochs
        options = {"evaluate": False, "stop_after": epochs}
        asks = bool(self._settings["pruner"])
        job = Job(len(self.jobs) + 1, composed, words, log, tags, options, asks)
        self.jobs.append(job)
        self._parts[job.number] = (trial, execution)
        return job

    def _compose(self, trial: Trial, execution: Execution, index: int) -> Composed:
        extra = extras(self._base, self._study, trial, execution, index)
        return self._trials.compose(trial.values, {**extra, "report.splits": []})

    def _complete(self, trial: Trial) -> None:
        scores = [e.score for e in trial.executions]
        bad = [e for e in trial.executions if e.score is None or not math.isfinite(e.score)]
        if bad:
            self._fail(trial, f"{self._study.objective[0]} is {bad[0].score}.", bad)
            return
        trial.score = statistics.fmean(scores)  # type: ignore[type-var, arg-type]
        trial.state = PRUNED if any(e.pruned for e in trial.executions) else COMPLETED
        self._failures = 0
        self._oracle.tell(trial.key, trial.score)

    def _fail(self, trial: Trial, error: str, executions: list[Execution]) -> None:
        """Queues the failed executions again if the oracle retries the trial, else ends it."""
        trial.error, trial.tries = error, trial.tries + 1
        if NO_METRIC in error:
            self.gave_up = f"The objective cannot be measured: {error}"
        if self._oracle.tell(trial.key, None, trial.error):
            for execution in executions:
                execution.done, execution.stops = False, 0
                index = trial.executions.index(execution)
                self._waiting.append(self._job(trial, execution, index))
        else:
            self._waiting = [j for j in self._waiting if self._parts[j.number][0] is not trial]
            trial.state = TRIAL_FAILED
            trial.score = None
            self._failures += 1
            limit = self._settings["max_consecutive_failed_trials"]
            if self._failures >= limit and not self.gave_up:
                self.gave_up = (
                    f"{self._failures} trials failed in a row, the last one with: {error}"
                )

    def _save(self) -> None:
        self._study.oracle = self._oracle.state()
        self._study.seconds = self.seconds
        self._study.save()

    def finished(self, stop: Stop) -> bool:
        """Returns whether the search ran to its end without being stopped.

        Args:
            stop: Stop request of the session.
        """
        running = any(trial.state == RUNNING for trial in self._study.trials)
        return not running and not stop.asked and not self.gave_up


def extras(
    base: Composed, study: Study, trial: Trial, execution: Execution, index: int
) -> dict[str, Any]:
    """Returns the config values of a trial that are not part of the space, by path.

    Args:
        base: Config of the search.
        study: Study of the trial.
        trial: The trial.
        execution: Execution of the trial.
        index: Index of the execution, from 0. Executions run over all folds, then
            over all folds again with the next seed.
    """
    folds = base.config.tuner.folds
    fold = {"split.fold": {"number": index % folds + 1, "of": int(folds)}} if folds else {}
    longest = base.config.tuner.get("max_epochs")  # learning-rate schedules span all of them
    monitor, mode = study.objective
    name = execution.folder.rpartition("/")[2]
    return {
        "run_dir": execution.folder,
        "resume": "auto",
        "tracking.run_name": f"{study.name}-{name}",
        "task.monitor": monitor,
        "task.monitor_mode": mode,
        **fold,
        "seed": int(trial.values.get("seed", base.config.seed)) + index // (folds or 1),
        **({"epochs": int(longest)} if longest else {}),
    }
