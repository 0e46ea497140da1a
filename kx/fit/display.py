"""Prints the progress of a training, and summarizes its model."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import keras
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kx.config import Composed
from kx.contracts.specs import Data
from kx.data.issues import class_lines, print_issues
from kx.metric_modes import public_name
from kx.transfer import Phase


class Display(keras.callbacks.Callback):
    """Prints a line for each epoch, and shows a progress bar if the output is a terminal.

    Args:
        epochs: Number of epochs of the whole training.
        console: Console to print to. Defaults to None: standard output.
    """

    def __init__(self, epochs: int, console: Console | None = None) -> None:
        super().__init__()
        self.epochs = epochs
        self.console = console or Console(highlight=False)
        self._bar: Progress | None = None
        self._next = 0.0

    def say(self, line: str) -> None:
        """Prints a line between epochs.

        Args:
            line: Text to print.
        """
        self.console.print(line, soft_wrap=True)

    def on_train_begin(self, logs: Any = None) -> None:
        """Opens the progress bar."""
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=32),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the progress bar of an epoch."""
        self._begun = time.perf_counter()
        if self._bar:
            name = f"epoch {epoch + 1}/{self.epochs}"
            self._bar.reset(self._task, description=name, total=self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Updates the bar, ten times a second at most; metrics are not copied from the device."""
        now = time.perf_counter()
        if self._bar and now > self._next:
            self._bar.update(self._task, completed=batch + 1)
            self._next = now + 0.1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Prints the line of an epoch."""
        seconds = time.perf_counter() - self._begun
        numbers = "  ".join(
            f"{public_name(name)} {value:.4g}"
            for name, value in (logs or {}).items()
            if name != "learning_rate"
        )
        width = len(str(self.epochs))
        line = f"epoch {epoch + 1:>{width}}/{self.epochs}  {seconds:5.1f} s  {numbers}"
        self.console.print(line, soft_wrap=True)
        sys.stdout.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Closes the progress bar."""
        self.close()

    def close(self) -> None:
        """Closes the progress bar, also after an exception."""
        if self._bar:
            self._bar.stop()
            self._bar = None


def summary_text(model: keras.Model) -> str:
    """Returns Keras's summary of a model as text, with nested models expanded.

    Args:
        model: Built model.
    """
    lines: list[str] = []
    model.summary(expand_nested=True, line_length=80, print_fn=lambda line, **_: lines.append(line))
    return "\n".join(lines) + "\n"


def announce(
    job: Composed, data: Data, model: keras.Model, phases: Sequence[Phase], *, quiet: bool
) -> None:
    """Prints the model, the data and its issues, and warns of phases that have no effect."""
    if quiet:
        return
    nouns = "examples" if data.environment is None else "steps and episodes"
    sizes = ", ".join(f"{int(s.cardinality()):,} {name}" for name, s in data.splits.items())
    name = job.choices.get("model", model.name)
    print_issues(data)
    print(f"{name} on {data.name}: {model.count_params():,} parameters; {sizes} {nouns}")
    for line in class_lines(data):
        print(line)
    _warn_of_phases(job.config, phases)


def _warn_of_phases(config: DictConfig, phases: Sequence[Phase]) -> None:
    """Warns of a random frozen base, and of phases that would not begin."""
    no_weights = "weights" in config.model and config.model.weights is None
    if len(phases) > 1 and no_weights and not config.init_from:
        print("transfer: the base has random weights, and is frozen so: set model.weights")
    for before, phase in pairwise(phases):
        if before.last_epoch >= config.epochs:
            print(
                f"epochs={config.epochs} ends before {phase.name} begins, after epoch"
                f" {before.last_epoch}: give it more epochs, or {before.name} fewer"
            )
