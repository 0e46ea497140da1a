"""Callbacks that Keras does not have: metrics of a run, weight averages, the best epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from kx.errors import ConfigError
from kx.metric_modes import public_name


class Record(keras.callbacks.Callback):
    """Records the metrics of every epoch under their public names: `train/loss`, `val/accuracy`.

    Must be the first callback, so that it reads the learning rate that the
    epoch was trained with.

    Args:
        examples_per_epoch: Number of examples in an epoch, for the throughput.
    """

    def __init__(self, examples_per_epoch: int) -> None:
        super().__init__()
        self.phase: int | None = None  # counted from 1; None if there is only one phase
        self.history: dict[str, list[float]] = {}
        self.examples_per_epoch = examples_per_epoch
        self._begun = self._trained = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts to measure the time of the epoch."""
        self._begun, self._trained = time.perf_counter(), 0.0

    def on_test_begin(self, logs: Any = None) -> None:
        """Records when the training steps of the epoch ended: validation does not count."""
        if not self._trained:
            self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Records the metrics, the learning rate and the times of the epoch."""
        now = time.perf_counter()
        values = {public_name(name): float(value) for name, value in (logs or {}).items()}
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        values["learning_rate"] = float(rate)
        if self.phase is not None:
            values["phase"] = float(self.phase)
        values["epoch_seconds"] = now - self._begun
        values["examples_per_second"] = self.examples_per_epoch / (
            (self._trained or now) - self._begun
        )
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)

    def epoch(self, number: int) -> dict[str, float]:
        """Returns the metrics of an epoch, counted from 1, without those that it does not have."""
        return {
            name: values[number - 1]
            for name, values in self.history.items()
            if len(values) >= number
        }


class NotifyListeners(keras.callbacks.Callback):
    """Notifies listeners of every epoch, after it is recorded and its state is saved.

    Args:
        record: Record of the training.
        listeners: Functions `(values, epoch)`; epochs are counted from 1. The training
            stops after an epoch for which one of them returns True.
        missing: Epochs to report when the training begins, since they were trained before
            but not reported. Defaults to none.
    """

    def __init__(
        self,
        record: Record,
        listeners: Sequence[Callable[[Mapping[str, float], int], bool | None]],
        missing: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self._record, self._listeners, self._missing = record, listeners, missing
        self.stopped = False  # by a listener

    def on_train_begin(self, logs: Any = None) -> None:
        """Reports the epochs that were not reported before."""
        missing, self._missing = self._missing, ()
        for epoch in missing:
            self._tell(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Reports the epoch."""
        self._tell(epoch + 1)

    def _tell(self, epoch: int) -> None:
        for listener in self._listeners:
            if listener(self._record.epoch(epoch), epoch):
                self.stopped = self.model.stop_training = True


# Metrics that vary between runs on the same machine: they are never compared.
TIMINGS = ("epoch_seconds", "examples_per_second")


class SwapAverage(keras.callbacks.SwapEMAWeights):
    """Swaps in the averaged weights (EMA) between epochs, and then restores the raw weights.

    Keras's own callback does so too, but overwrites the raw weights in the last planned
    epoch. They are needed to resume the training, and any epoch may become the last
    one. So `KeepAverage` overwrites them instead, after the state was saved.
    """

    def __init__(self) -> None:
        super().__init__(swap_on_epoch=True)
        self.epochs_done = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Begins with raw weights, since each phase has its own optimizer and averages."""
        self._ema_weights_in_model = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Swaps in the averaged weights."""
        super().on_epoch_end(epoch, logs)
        self.epochs_done = epoch + 1

    def _finalize_ema_values(self) -> None:
        """Does nothing, so that the raw weights are not overwritten."""

    def finish(self) -> None:
        """Writes the averaged weights to the variables from which `fit` takes the final weights."""
        super()._finalize_ema_values()


class KeepAverage(keras.callbacks.Callback):
    """Keeps the averaged weights (EMA) at the end of a training.

    At its end `fit` writes the optimizer's averages into the model, but between epochs
    `SwapAverage` stores the raw weights there. Must come after all callbacks that may stop
    the training, and after the state is saved.

    Args:
        swap: `SwapAverage` callback of the training.
    """

    def __init__(self, swap: SwapAverage) -> None:
        super().__init__()
        self._swap = swap

    def on_train_begin(self, logs: Any = None) -> None:
        """Finalizes the averages of a training that is resumed after its last epoch."""
        if self._swap.epochs_done >= self.params["epochs"]:
            self._swap.finish()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Finalizes the averages if this epoch is the last."""
        if self.model.stop_training or epoch == self.params["epochs"] - 1:
            self._swap.finish()


class _LowerLossWhereEqual(keras.callbacks.Callback):
    """Prefers, among epochs of equal score, the one with the lower loss.

    On a small validation split few accuracies are possible: of the epochs that share the best,
    the first is often the least trained, and patience would be counted from it.
    """

    monitor: str
    best: Any
    best_loss: float | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Evaluates the epoch as Keras does, but with no best score (None) at a tie."""
        logs = logs or {}
        loss = logs.get("val_loss" if self.monitor.startswith("val_") else "loss")
        score, before = logs.get(self.monitor), self.best
        lower = None not in (loss, self.best_loss) and loss < self.best_loss
        tie = score is not None and score == before and lower
        if tie:
            self.best = None  # Keras takes any score to be better than None
        super().on_epoch_end(epoch, logs)
        if self.best is None:
            self.best = before
        elif tie or self.best != before:
            self.best_loss = loss


class EarlyStopping(_LowerLossWhereEqual, keras.callbacks.EarlyStopping):
    """Stops as Keras's EarlyStopping does, but the lower loss decides between equal scores.

    Example:
    >>> stopping = EarlyStopping("val_accuracy", mode="max", restore_best_weights=True)
    """


class Checkpoint(_LowerLossWhereEqual, keras.callbacks.ModelCheckpoint):
    """Saves as Keras's ModelCheckpoint does, but never leaves a partly written file.

    The file is written under another name and then renamed: if the process is killed
    meanwhile, the previous file stays intact. The lower loss decides between equal scores.

    Example:
    >>> checkpoint = Checkpoint("best.weights.h5", save_weights_only=True)
    """

    def _save_model(self, epoch: int, batch: int | None, logs: Any) -> None:
        place: str = self.filepath  # type: ignore[has-type]
        path = self._get_file_path(epoch, batch, logs)
        folder, name = os.path.split(place)
        self.filepath = os.path.join(folder, f"writing-{name}")  # Keras requires its ending
        half = self._get_file_path(epoch, batch, logs)
        try:
            super()._save_model(epoch, batch, logs)
            if os.path.exists(half):
                os.replace(half, path)
        finally:
            self.filepath = place


class TerminateOnNaN(keras.callbacks.TerminateOnNaN):
    """Stops as Keras's TerminateOnNaN does, but at any loss that a learner logs, `critic_loss` too.

    Example:
    >>> stopping = TerminateOnNaN()
    """

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops the training if a loss is NaN or infinite."""
        for name, value in (logs or {}).items():
            if name.endswith("loss"):
                super().on_batch_end(batch, {"loss": value})


class StopWhenLearnt(keras.callbacks.Callback):
    """Stops when the validation loss is small: with `debug=overfit`, one batch is memorized.

    Prints at the end whether it was, and if not, what to check.

    Args:
        loss_below: Validation loss below which the batch counts as memorized. Defaults to 0.01.
    """

    def __init__(self, loss_below: float = 0.01) -> None:
        super().__init__()
        self.loss_below = loss_below
        self._last = float("inf")
        self._epochs = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stops the training if the loss is small enough."""
        if "val_loss" not in (logs or {}):
            raise ConfigError("debug=overfit: the task has no validation loss to become small.")
        self._last, self._epochs = float((logs or {})["val_loss"]), epoch + 1
        if self._last < self.loss_below:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Prints the result."""
        if self._last < self.loss_below:
            print(f"memorized in {self._epochs} epochs: the model can learn")
        else:
            print(
                f"not memorized in {self._epochs} epochs (loss {self._last:.3g}, expected below"
                f" {self.loss_below:g}): try another optimizer.learning_rate or more epochs, less"
                " regularization, and look at inputs and targets with kx data show"
            )
