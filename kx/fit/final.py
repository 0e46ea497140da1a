"""The result of a training: the epoch whose weights are kept, and the final metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras


def num_epochs(history: Mapping[str, Sequence[float]]) -> int:
    """Returns the number of epochs in a history."""
    return max((len(values) for values in history.values()), default=0)


def kept_epoch(callbacks: Sequence[keras.callbacks.Callback], num_epochs: int) -> int:
    """Returns the epoch, from 1, whose weights the model has after the training.

    Args:
        callbacks: Callbacks of the training; EarlyStopping may have restored an epoch's weights.
        num_epochs: Number of epochs that were trained.
    """
    restoring = restored_by(callbacks)
    return num_epochs if restoring is None else int(restoring.best_epoch) + 1


def restored_by(callbacks: Sequence[keras.callbacks.Callback]) -> Any:
    """Returns the last callback that restored the best weights, or None if there is none.

    Args:
        callbacks: Callbacks of the finished training.
    """
    for callback in reversed(callbacks):
        restores = getattr(callback, "restore_best_weights", False)
        if restores and getattr(callback, "best_weights", None) is not None:
            return callback
    return None


def final_metrics(
    history: Mapping[str, Sequence[float]],
    callbacks: Sequence[keras.callbacks.Callback],
) -> dict[str, float]:
    """Returns the metrics of the last epoch, and of the epoch whose weights are kept.

    Args:
        history: Metrics by name, each a list of one value per epoch.
        callbacks: Callbacks of the training.
    """
    final = {name: values[-1] for name, values in history.items()}
    kept = kept_epoch(callbacks, num_epochs(history))
    final["best/epoch"] = float(kept)
    for name, values in history.items():
        if name.startswith("val/"):
            final[f"best/val_{name.removeprefix('val/')}"] = values[kept - 1]
        elif name.startswith("train/"):
            final[f"best/{name.removeprefix('train/')}"] = values[kept - 1]
    return final
