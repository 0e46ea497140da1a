"""Callbacks that Keras lacks: the record of a run, averages, the best epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from kx.config.metric_modes import public_name


class Record(keras.callbacks.Callback):
    """Records every epoch under the names that users see: `train/loss`, `val/accuracy`.

    Comes first among the callbacks, so that it sees the learning rate that the
    epoch was trained with.

    Args:
        examples_per_epoch: for the throughput.
    """

    def __init__(self, examples_per_epoch: int) -> None:
        super().__init__()
        self.phase: int | None = None  # its number, from 1, where there are several
        self.history: dict[str, list[float]] = {}
        self._examples = examples_per_epoch
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
        values = {public_name(name): float(value) for name, value in (logs or {}).items()}
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        values["learning_rate"] = float(rate)
        if self.phase is not None:
            values["phase"] = float(self.phase)
        values["epoch_seconds"] = now - self._begun
        values["examples_per_second"] = self._examples / ((self._trained or now) - self._begun)
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)

    def epoch(self, number: int) -> dict[str, float]:
        """Returns the values of an epoch, from 1; those of the epochs that had them."""
        return {
            name: values[number - 1]
            for name, values in self.history.items()
            if len(values) >= number
        }


class NotifyListeners(keras.callbacks.Callback):
    """Tells of every epoch once it is recorded, and kept.

    Args:
        record: of the training.
        listeners: functions `(values, epoch)`; epochs count from 1. The training
            stops after an epoch of which one says True.
        missing: epochs of which to tell at the begin; no word of them was sent.
    """

    def __init__(
        self,
        record: Record,
        listeners: Sequence[Callable[[Mapping[str, float], int], bool | None]],
        missing: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self._record, self._listeners, self._missing = record, listeners, missing
        self.stopped = False  # by one of them

    def on_train_begin(self, logs: Any = None) -> None:
        """Tells of the epochs that are missing."""
        missing, self._missing = self._missing, ()
        for epoch in missing:
            self._tell(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Tells of the epoch."""
        self._tell(epoch + 1)

    def _tell(self, epoch: int) -> None:
        for listener in self._listeners:
            if listener(self._record.epoch(epoch), epoch):
                self.stopped = self.model.stop_training = True


# What differs from run to run on the same machine: never compared, never judged.
TIMINGS = ("epoch_seconds", "examples_per_second")


class SwapAverage(keras.callbacks.SwapEMAWeights):
    """Gives the model its averaged weights (EMA) between epochs, and the raw ones back after.

    Keras's own does so too, and then, in the last epoch that was planned, forgets
    the raw weights. They are needed if the training is to go on; and an epoch
    may turn out to be the last one. So `KeepAverage` does that, after the state
    was kept.
    """

    def __init__(self) -> None:
        super().__init__(swap_on_epoch=True)
        self.epochs_done = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Begins with raw weights; each phase has an optimizer, and so averages, of its own."""
        self._ema_weights_in_model = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Gives the model its averaged weights."""
        super().on_epoch_end(epoch, logs)
        self.epochs_done = epoch + 1

    def _finalize_ema_values(self) -> None:
        """Leaves the raw weights where they are."""

    def finish(self) -> None:
        """Puts the average where `fit` takes the final weights from."""
        super()._finalize_ema_values()


class KeepAverage(keras.callbacks.Callback):
    """Keeps the averaged weights (EMA) at the end of a training.

    At its end `fit` writes the optimizer's average into the model, in whose place
    `SwapAverage` has the raw weights between epochs. Comes after all that may stop
    a training, and after its state is kept.

    Args:
        swap: of the training.
    """

    def __init__(self, swap: SwapAverage) -> None:
        super().__init__()
        self._swap = swap

    def on_train_begin(self, logs: Any = None) -> None:
        """Finishes the average of a training that goes on after its last epoch."""
        if self._swap.epochs_done >= self.params["epochs"]:
            self._swap.finish()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Finishes the average if this epoch is the last."""
        if self.model.stop_training or epoch == self.params["epochs"] - 1:
            self._swap.finish()


class _LowerLossWhereEqual(keras.callbacks.Callback):
    """Takes an epoch for better that has the score of the best one, and a lower loss.

    A small validation split has few accuracies: of the epochs that share the best, the first
    has often learnt least, and patience would end there.
    """

    monitor: str
    best: Any
    best_loss: float | None = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Looks at the epoch as Keras does, which takes any score for better than none."""
        logs = logs or {}
        loss = logs.get("val_loss" if self.monitor.startswith("val_") else "loss")
        score, before = logs.get(self.monitor), self.best
        lower = None not in (loss, self.best_loss) and loss < self.best_loss
        tie = score is not None and score == before and lower
        if tie:
            self.best = None
        super().on_epoch_end(epoch, logs)
        if self.best is None:
            self.best = before
        elif tie or self.best != before:
            self.best_loss = loss


class EarlyStopping(_LowerLossWhereEqual, keras.callbacks.EarlyStopping):
    """Stops as Keras's EarlyStopping does; of equal scores, that of the lower loss is the best.

    Example:
    >>> stopping = EarlyStopping("val_accuracy", mode="max", restore_best_weights=True)
    """


class Checkpoint(_LowerLossWhereEqual, keras.callbacks.ModelCheckpoint):
    """Saves as Keras's ModelCheckpoint does, and never leaves a half-written file in place.

    The file is written beside its place and then renamed: a process that dies
    meanwhile leaves the one before as it was. Of equal scores, that of the lower loss is the best.

    Example:
    >>> checkpoint = Checkpoint("best.weights.h5", save_weights_only=True)
    """

    def _save_model(self, epoch: int, batch: int | None, logs: Any) -> None:
        place: str = self.filepath  # type: ignore[has-type]
        path = self._get_file_path(epoch, batch, logs)
        folder, name = os.path.split(place)
        self.filepath = os.path.join(folder, f"writing-{name}")  # Keras looks at how it ends
        half = self._get_file_path(epoch, batch, logs)
        try:
            super()._save_model(epoch, batch, logs)
            if os.path.exists(half):
                os.replace(half, path)
        finally:
            self.filepath = place


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
