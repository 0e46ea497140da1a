"""The jobs of a sweep: what each is, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kx.config import Composed
from kx.config.metric_modes import public_name
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
        number: from 1.
        composed: its config.
        words: those of its overrides in which the jobs differ.
        log: file for what it prints.
        tags: of its run.
        options: further arguments of `kx.training.train`.
        asks: whether it asks after every epoch if it is to go on.
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
    curve: list[float] = field(default_factory=list)  # of the metric by which it is judged
    retries: int = 0  # how often it was run again, its process lost
    folder: str = ""  # of its run
    place: str = ""  # the machine, where it is another one
    _begun: float = 0.0
    _ended: float = 0.0

    @property
    def label(self) -> str:
        """What tells it from the other jobs."""
        return " ".join(map(redact_word, self.words)) or f"job {self.number}"

    @property
    def epochs(self) -> int:
        """The number of epochs that it is to have."""
        return int(self.options.get("stop_after") or self.composed.config.epochs)

    @property
    def monitor(self) -> tuple[str, str]:
        """The metric by which it is judged, as `val/accuracy`, and `"max"` or `"min"`."""
        task = self.composed.config.task
        return public_name(str(task.get("monitor") or "")), str(task.get("monitor_mode", "min"))

    @property
    def score(self) -> float | None:
        """The metric by which it is judged, at the epoch that was kept."""
        return self.metrics.get(self.score_name, self.best)

    @property
    def score_name(self) -> str:
        """The name of that metric among the final ones."""
        return self.monitor[0].replace("val/", "best/val_").replace("train/", "best/")

    @property
    def seconds(self) -> float:
        """How long it has run."""
        if not self._begun:
            return 0.0
        return (self._ended or time.monotonic()) - self._begun

    def begin(self, *, queued: bool = False) -> None:
        """Notes that its process has begun, or waits for its turn elsewhere.

        Args:
            queued: whether it waits.
        """
        self.state, self._begun = QUEUED if queued else RUNNING, time.monotonic()
        self.error = ""

    def hear(self, kind: str, values: Mapping[str, Any]) -> None:
        """Notes what its process says."""
        if kind == "process" and self.state in UNDERWAY:  # perhaps once more, elsewhere
            self.state, self.place = RUNNING, values.get("place", "")
            self.curve, self.best, self.epoch = [], None, 0
            self._begun = time.monotonic()
        elif kind == "queued" and self.state in UNDERWAY:
            self.state = QUEUED
        elif kind == "run":
            self.run_name, self.run_id = values["name"], values["id"]
            self.folder = values["folder"]
            history = values["history"]  # of a run that goes on
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
        """Notes how it ended."""
        self.state, self.error, self._ended = state, error, time.monotonic()
        self.metrics = dict(metrics or {})


def jobs_of(composed: Sequence[Composed], logs: Path) -> list[Job]:
    """Returns the jobs of a sweep; those that `resume=auto` finds finished are kept.

    Args:
        composed: the configs.
        logs: folder for what the jobs print.
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
