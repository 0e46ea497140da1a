"""Callbacks that Keras lacks: the record of a run, and its progress on the screen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Record(keras.callbacks.Callback):
    """Records every epoch under the names that users see: `train/loss`, `val/accuracy`.

    Comes first among the callbacks, so that it sees the learning rate that the
    epoch was trained with.

    Args:
        examples_per_epoch: for the throughput.
        log: function `(values, step)`, called once an epoch.
    """

    def __init__(
        self, examples_per_epoch: int, log: Callable[[Mapping[str, float], int], None]
    ) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self._examples = examples_per_epoch
        self._log = log
        self._begun = self._trained = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the clock."""
        self._begun, self._trained = time.perf_counter(), 0.0

    def on_test_begin(self, logs: Any = None) -> None:
        """Notes when the training steps of the epoch were done."""
        if not self._trained:
            self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Records the epoch."""
        now = time.perf_counter()
        values = {_public_name(name): float(value) for name, value in (logs or {}).items()}
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        values["learning_rate"] = float(rate)
        values["epoch_seconds"] = now - self._begun
        values["examples_per_second"] = self._examples / ((self._trained or now) - self._begun)
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        self._log(values, epoch + 1)


# What differs from run to run on the same machine: never compared, never judged.
TIMINGS = ("epoch_seconds", "examples_per_second")


def _public_name(name: str) -> str:
    if name == "learning_rate":
        return name
    return f"val/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}"


class KeepAverage(keras.callbacks.Callback):
    """Keeps the averaged weights (EMA) when the training is stopped before its last epoch.

    At its end `fit` writes the optimizer's average into the model. Between epochs
    `SwapEMAWeights` has the raw weights in that place, and puts that right only
    after the last epoch that was planned. Comes after all that may stop a training.

    Args:
        swap: the `SwapEMAWeights` of the training.
    """

    def __init__(self, swap: keras.callbacks.SwapEMAWeights) -> None:
        super().__init__()
        self._swap = swap

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Puts the average where `fit` takes it from, if this epoch is the last."""
        if self.model.stop_training and epoch < self.params["epochs"] - 1:
            self._swap._finalize_ema_values()


class StopWhenLearnt(keras.callbacks.Callback):
    """Stops when the validation loss is small: with `debug=overfit`, one batch is learnt by heart.

    Says at the end whether it was, and if not, what to look at.

    Args:
        loss_below: the validation loss that counts as learnt. Defaults to 0.01.
    """

    def __init__(self, loss_below: float = 0.01) -> None:
        super().__init__()
        self.loss_below = loss_below
        self._last = float("inf")
        self._epochs = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stops the training if the loss is small enough."""
        self._last, self._epochs = float((logs or {})["val_loss"]), epoch + 1
        if self._last < self.loss_below:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Says what came of it."""
        if self._last < self.loss_below:
            print(f"learnt by heart in {self._epochs} epochs: the net can learn")
        else:
            print(
                f"not learnt in {self._epochs} epochs (loss {self._last:.3g}, expected below"
                f" {self.loss_below:g}): try another optimizer.learning_rate or more epochs, less"
                " regularization, and look at inputs and targets with kx data show"
            )


class Display(keras.callbacks.Callback):
    """Shows a line for each epoch, and a live bar where the output is a terminal.

    Args:
        console: where to print. Defaults to standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self.console = console or Console(highlight=False)
        self._bar: Progress | None = None
        self._next = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        """Opens the bar."""
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
        """Starts the bar of an epoch."""
        self._begun = time.perf_counter()
        if self._bar:
            name = f"epoch {epoch + 1}/{self.params['epochs']}"
            self._bar.reset(self._task, description=name, total=self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Moves the bar, ten times a second at most; the metrics stay on the device."""
        now = time.perf_counter()
        if self._bar and now > self._next:
            self._bar.update(self._task, completed=batch + 1)
            self._next = now + 0.1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Prints the line of an epoch."""
        seconds = time.perf_counter() - self._begun
        numbers = "  ".join(
            f"{_public_name(name)} {value:.4g}"
            for name, value in (logs or {}).items()
            if name != "learning_rate"
        )
        width = len(str(self.params["epochs"]))
        line = f"epoch {epoch + 1:>{width}}/{self.params['epochs']}  {seconds:5.1f} s  {numbers}"
        self.console.print(line, soft_wrap=True)
        sys.stdout.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Closes the bar."""
        self.close()

    def close(self) -> None:
        """Closes the bar, also after an exception."""
        if self._bar:
            self._bar.stop()
            self._bar = None
