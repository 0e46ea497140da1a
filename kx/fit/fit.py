"""The training itself, and its final metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from omegaconf import DictConfig

from kx import callbacks as own_callbacks
from kx.config import Composed
from kx.data.specs import Data
from kx.errors import TrainingError
from kx.fit.batches import Batches
from kx.strategy import devices, thread_counts
from kx.tracking.tracker import Tracker


def compile_options(config: DictConfig) -> dict[str, Any]:
    """Returns what `keras.Model.compile` takes besides optimizer, loss and metrics."""
    return {
        "jit_compile": config.jit_compile,
        "run_eagerly": config.run_eagerly,
        "steps_per_execution": config.steps_per_execution,
    }


def announce(job: Composed, data: Data, model: keras.Model, *, quiet: bool) -> None:
    """Says in a line what will be trained on what."""
    if quiet:
        return
    sizes = ", ".join(f"{int(s.cardinality()):,} {name}" for name, s in data.splits.items())
    name = job.choices.get("model", model.name)
    print(f"{name} on {data.name}: {model.count_params():,} parameters; {sizes} examples")


def run_tags(
    config: DictConfig, batches: Batches, extra: Mapping[str, str] | None
) -> dict[str, str]:
    """Returns the tags that are known once TensorFlow has started."""
    in_file = any(part.dataset is not None for part in batches.stored.values())
    shortened = config.overfit_batches or config.steps_per_epoch or config.evaluation_steps
    about = {"kx.cache": "disk" if in_file else "memory", "kx.shortened": str(bool(shortened))}
    threads = {f"threads.{kind}": str(count) for kind, count in thread_counts().items()}
    return {**threads, "devices": ", ".join(devices()), **about, **(extra or {})}


def fit(
    config: DictConfig,
    model: keras.Model,
    batches: Batches,
    callbacks: list[keras.callbacks.Callback],
    tracker: Tracker,
    *,
    quiet: bool,
) -> dict[str, list[float]]:
    """Trains, and returns the history: metric to one value an epoch.

    Raises:
        TrainingError: if the loss is NaN or infinite at the end.
    """
    record = own_callbacks.Record(batches.steps_per_epoch * batches.batch_size, tracker.metrics)
    display = None if quiet else own_callbacks.Display()
    try:
        model.fit(
            batches.train,
            epochs=config.epochs,
            steps_per_epoch=batches.steps_per_epoch,
            validation_data=batches.validation,
            callbacks=[record, *callbacks, *([display] if display else [])],
            shuffle=False,  # the stream is shuffled; Keras would warn
            verbose=0,
        )
    finally:
        if display:
            display.close()
    last = record.history["train/loss"][-1]
    if not math.isfinite(last):
        raise TrainingError(
            f"The loss became {last} in epoch {num_epochs(record.history)}. Usual ways out: a lower"
            " optimizer.learning_rate, optimizer.global_clipnorm=1, precision=float32, or a look"
            " at the data: kx data show."
        )
    return record.history


def num_epochs(history: Mapping[str, Sequence[float]]) -> int:
    """Returns the number of epochs in a history."""
    return max((len(values) for values in history.values()), default=0)


def kept_epoch(callbacks: Sequence[keras.callbacks.Callback], num_epochs: int) -> int:
    """Returns the epoch, from 1, whose weights the model has after the training.

    Args:
        callbacks: of the training; EarlyStopping may have restored an epoch's weights.
        num_epochs: that were trained.
    """
    for callback in callbacks:
        restores = getattr(callback, "restore_best_weights", False)
        if restores and getattr(callback, "best_weights", None) is not None:
            return int(callback.best_epoch) + 1
    return num_epochs


def final_metrics(
    model: keras.Model,
    batches: Batches,
    history: Mapping[str, Sequence[float]],
    callbacks: Sequence[keras.callbacks.Callback],
) -> dict[str, float]:
    """Returns the last values, those of the epoch whose weights are kept, and of the test split.

    Args:
        model: with its final weights.
        batches: for the test split.
        history: of the training.
        callbacks: of the training.
    """
    final = {name: values[-1] for name, values in history.items()}
    kept = kept_epoch(callbacks, num_epochs(history))
    final["best/epoch"] = float(kept)
    for name, values in history.items():
        if name.startswith("val/"):
            final[f"best/val_{name.removeprefix('val/')}"] = values[kept - 1]
        elif name.startswith("train/"):
            final[f"best/{name.removeprefix('train/')}"] = values[kept - 1]
    if batches.test is not None:
        scores = model.evaluate(batches.test, verbose=0, return_dict=True)
        final |= {f"test/{name}": float(value) for name, value in scores.items()}
    return final
