"""An engine whose jobs follow a script: no processes, no TensorFlow, and the same scores always.

What a launcher or a search sees of a job is real: its folder with a record and states, its run in
MLflow, its messages, its answers to them. Only the numbers are made up.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from kx.config import Composed
from kx.errors import KxError
from kx.launch.engines import Message
from kx.launch.engines.child import JobSpec
from kx.launch.jobs import Job
from kx.tracking.open import open_run
from kx.tracking.run_folder import open_run_folder
from kx.tracking.state import State, load_last, save

FINGERPRINT = "scripted"
Scores = Callable[[Any, int], float]
Messages = Generator[Message, bool, None]


def accuracy(config: Any, epoch: int) -> float:
    """An accuracy that is best at a learning rate of .01, rises with the epochs, and differs."""
    rate = config.optimizer.get("learning_rate") or 0.01
    values = [OmegaConf.to_container(config[key]) for key in ("model", "optimizer", "split")]
    text = json.dumps([values, config.batch_size, config.seed], sort_keys=True, default=str)
    noise = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
    return (0.9 - 0.1 * abs(math.log10(rate) + 2) + 0.05 * noise) * (1 - 0.5**epoch)


@dataclass
class ScriptedHandle:
    """A job that goes a message further each time it is listened to."""

    order: JobSpec
    script: Messages
    asked: bool = False
    answered: bool = True
    stopped: bool = False
    ended: str = "its process ended without a word"

    def step(self) -> Message | None:
        """Returns the next message, or None if the job has ended."""
        if self.stopped:
            self.stopped = False
            try:
                self.script.throw(KeyboardInterrupt)
            except (KeyboardInterrupt, StopIteration):
                pass
            return "end", {"state": "KILLED", "error": "stopped"}
        try:
            said = self.script.send(self.answered) if self.asked else next(self.script)
        except StopIteration:
            return None
        except Killed as killed:
            self.ended = str(killed)
            return None
        except Exception as error:
            text = str(error) if isinstance(error, KxError) else f"{type(error).__name__}: {error}"
            return "end", {"state": "FAILED", "error": text}
        self.asked, self.answered = True, True
        return said

    def answer(self, continues: bool) -> None:
        self.answered = continues

    def stop(self) -> None:
        self.stopped = True

    def insist(self) -> None: ...

    def ending(self) -> str:
        return self.ended

    def close(self) -> None:
        self.script.close()


class Killed(BaseException):
    """Raised by a script whose process is killed: nobody writes down how it ended."""


@dataclass
class ScriptedEngine:
    """Runs jobs as an engine does, by a script.

    Args:
        scores: Function of a job's config and an epoch that returns the validation accuracy. It
            may raise what the training would raise, or `Killed`.
    """

    scores: Scores = accuracy
    workers: int | None = 1
    limit_minutes: float | None = None
    max_retries: int = 0
    queues: bool = False
    refused: set[int] = field(default_factory=set)  # numbers of starts
    starts: int = 0

    def like(self, launcher: Any) -> ScriptedEngine:
        """Takes the settings of a config's launcher, as `make_engine` does."""
        self.workers = launcher.workers
        self.limit_minutes, self.max_retries = launcher.timeout_minutes, launcher.max_retries
        return self

    def open(self, backend: str) -> None: ...

    def close(self) -> None: ...

    def start(self, orders: Mapping[int, JobSpec], workers: int) -> dict[int, ScriptedHandle]:
        self.starts += 1
        if self.starts in self.refused:
            raise KxError("Slurm refuses the job: Socket timed out")
        return {slot: ScriptedHandle(o, train(o, self.scores)) for slot, o in orders.items()}

    def listen(self, handles: Mapping[int, ScriptedHandle]) -> Iterator[tuple[int, Message | None]]:
        for slot, handle in handles.items():
            yield slot, handle.step()


def train(order: JobSpec, scores: Scores) -> Messages:
    """Trains by a script, and tells of it as the process of a job does."""
    job = Composed(OmegaConf.create(order.config), order.overrides, order.choices)
    yield "process", {"pid": 0}
    if order.begun.exists():
        job.config.run_dir, job.config.resume = order.begun.read_text(), "auto"
    with open_run_folder(job) as folder:
        order.begun.parent.mkdir(parents=True, exist_ok=True)
        order.begun.write_text(str(folder.path))
        yield "folder", {"folder": str(folder.path)}
        data: Any = SimpleNamespace(fingerprint=FINGERPRINT, splits={}, name="scripted")
        state = load_last(folder.record.states, FINGERPRINT) if folder.resumed else None
        history = state.callbacks["history"] if state else {"val/accuracy": [], "val/loss": []}
        first = len(history["val/accuracy"])
        with open_run(job, folder, data, dict(order.tags)) as tracker:
            begun = {"name": tracker.run_name, "id": tracker.run_id, "folder": str(folder.path)}
            yield "run", {**begun, "history": {k: list(v) for k, v in history.items()}}
            last = int(order.options.get("stop_after") or job.config.epochs)
            for epoch in range(first + 1, last + 1):
                score = float(scores(job.config, epoch))
                for name, value in (("val/accuracy", score), ("val/loss", 1 - score)):
                    history[name].append(value)
                values = {name: column[-1] for name, column in history.items()}
                tracker.metrics(values, step=epoch)
                weights = [np.full(1, score, "float32")]
                kept = State(epoch, last, weights, [], {"history": history}, False, FINGERPRINT)
                save(folder.record.states, kept)
                continues = yield "epoch", {"epoch": epoch, "values": values}
                if order.asks and not continues:
                    break
            metrics = final(history)
            tracker.metrics(metrics)
            folder.record.metrics = metrics
            folder.paused = not order.options.get("evaluate", True)
    yield "end", {"state": "FINISHED", "metrics": metrics}


def final(history: Mapping[str, list[float]]) -> dict[str, float]:
    """The metrics of a finished run: of the last epoch, and of the best."""
    best = int(np.argmax(history["val/accuracy"]))
    named = {f"best/{k.replace('/', '_')}": column[best] for k, column in history.items()}
    return {**named, "best/epoch": best + 1.0, "test/accuracy": history["val/accuracy"][best]}


def scripted_job(number: int, config: Any, folder: Any, **options: Any) -> Job:
    return Job(number, config, [f"job={number}"], folder / f"{number}.log", **options)
