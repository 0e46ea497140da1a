"""Jobs of a sweep: their configs and their progress."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kx.config import Composed
from kx.metric_modes import public_name
from kx.secrets import redact_word
from kx.tracking.records import finished_record

WAITING, QUEUED, RUNNING, KEPT = "WAITING", "QUEUED", "RUNNING", "KEPT"
FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
DONE = (FINISHED, KEPT)
UNDERWAY = (QUEUED, RUNNING)


@dataclass
class Job:
    """Holds a job of a sweep.

    Args:
        number: Number of the job, from 1.
        composed: Config of the job.
        words: Overrides of the job that are not common to all jobs.
        log: Path to the log file for its output.
        tags: Tags of its run.
        options: Further arguments of `kx.training.train`.
        asks: Whether the job asks after every epoch if it should continue.
            Defaults to False.
    """

    number: int
    composed: Composed
    words: list[str]
    log: Path
    tags: Mapping[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    asks: bool = False
    state: str = WAITING
    run_name: str = ""
    run_id: str = ""
    epoch: int = 0
    best: float | None = None
    error: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)  # of the monitored metric
    retries: int = 0  # how often it was run again after its process was lost
    folder: str = ""  # of its run
    place: str = ""  # name of the machine, if it is another one
    _begun: float = 0.0
    _ended: float = 0.0

    @property
    def label(self) -> str:
        """Returns a label of its overrides, without secrets, or its number if it has none."""
        return " ".join(map(redact_word, self.words)) or f"job {self.number}"

    @property
    def epochs(self) -> int:
        """Returns the number of epochs to train for."""
        return int(self.options.get("stop_after") or self.composed.config.epochs)

    @property
    def monitor(self) -> tuple[str, str]:
        """Returns the monitored metric, such as `val/accuracy`, and `"max"` or `"min"`."""
        task = self.composed.config.task
        return public_name(str(task.get("monitor") or "")), str(task.get("monitor_mode", "min"))

    @property
    def score(self) -> float | None:
        """Returns the monitored metric at the best epoch, or None if it is not known yet."""
        return self.metrics.get(self.score_name, self.best)

    @property
    def score_name(self) -> str:
        """Returns the name of the monitored metric among the final metrics."""
        return self.monitor[0].replace("val/", "best/val_").replace("train/", "best/")

    @property
    def seconds(self) -> float:
        """Returns the run time of the job so far, in seconds."""
        if not self._begun:
            return 0.0
        return (self._ended or time.monotonic()) - self._begun

    def begin(self, *, queued: bool = False) -> None:
        """Marks the job as running, or as queued by a scheduler.

        Args:
            queued: Whether the job is queued. Defaults to False.
        """
        self.state, self._begun = QUEUED if queued else RUNNING, time.monotonic()
        self.error, self._ended = "", 0.0

    def update(self, kind: str, values: Mapping[str, Any]) -> None:
        """Updates the job from a message of its process.

        Args:
            kind: Kind of message: `"process"`, `"queued"`, `"run"`, `"epoch"` or `"end"`.
            values: Values of the message.
        """
        if kind == "process" and self.state in UNDERWAY:  # may be a second attempt elsewhere
            self.state, self.place = RUNNING, values.get("place", "")
            self.curve, self.best, self.epoch = [], None, 0
            self._begun = time.monotonic()
        elif kind == "queued" and self.state in UNDERWAY:
            self.state = QUEUED
        elif kind == "run":
            self.run_name, self.run_id = values["name"], values["id"]
            self.folder = values["folder"]
            history = values["history"]  # not empty if the run was resumed
            self.epoch = max((len(column) for column in history.values()), default=0)
            for value in history.get(self.monitor[0], ()):
                self._see(value)
        elif kind == "epoch":
            self.epoch = values["epoch"]
            value = values["values"].get(self.monitor[0])
            if value is not None and len(self.curve) < self.epoch:
                self._see(value)
        elif kind == "end" and self.state in UNDERWAY:
            self.end(values["state"], values.get("error", ""), values.get("metrics"))

    def _see(self, value: float) -> None:
        self.curve.append(value)
        self.best = (max if self.monitor[1] == "max" else min)(self.curve)

    def end(self, state: str, error: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """Marks the job as ended.

        Args:
            state: Final state of the job.
            error: Error message of a job that failed or was killed.
            metrics: Final metrics of the run. Defaults to None: none.
        """
        self.state, self.error, self._ended = state, error, time.monotonic()
        self.metrics = dict(metrics or {})

    def end_if_longer(self, minutes: float | None) -> bool:
        """Marks a running job as failed if it takes longer than `launcher.timeout_minutes`.

        Args:
            minutes: The limit, or None for no limit.

        Returns:
            Whether it took longer.
        """
        if not minutes or self.state != RUNNING or self.seconds <= minutes * 60:
            return False
        self.end(FAILED, f"stopped after {minutes:g} minutes (launcher.timeout_minutes)")
        return True


def jobs_of(composed: Sequence[Composed], logs: Path) -> list[Job]:
    """Returns the jobs of a sweep. Jobs that `resume=auto` finds finished are kept as they are.

    Args:
        composed: Config of each job.
        logs: Path to the folder for the jobs' log files.
    """
    everywhere = set.intersection(*(set(item.overrides) for item in composed))
    several = len(composed) > 1
    jobs = []
    for number, item in enumerate(composed, 1):
        words = [w for w in item.overrides if not several or w not in everywhere]
        job = Job(number, item, words, logs / f"job-{number:03d}.log")
        record = finished_record(item)
        if record is not None:
            job.run_name, job.run_id = record.name, record.run_id or ""
            job.folder = str(record.folder)
            job.end(KEPT, metrics=record.metrics)
            job.epoch = int(record.metrics.get("epochs", job.epochs))
        jobs.append(job)
    return jobs
