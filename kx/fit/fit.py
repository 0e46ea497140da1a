"""The training itself, and its final metrics."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from omegaconf import DictConfig

from kx import callbacks as own_callbacks
from kx.config import Composed
from kx.contracts.specs import Data
from kx.data.issues import class_lines, findings_tags, print_findings
from kx.errors import TrainingError, first_line
from kx.fit.batches import Batches
from kx.fit.display import Display
from kx.fit.final import num_epochs
from kx.fit.keep_state import KeepState, continue_csv, restore_variables
from kx.fit.state import State
from kx.signals import was_interrupted
from kx.strategy import devices, thread_counts
from kx.tracking.provenance import content_hash
from kx.tracking.run_folder import RunFolder
from kx.tracking.tracker import Tracker
from kx.transfer import Phase

_FULL_BYTES = 1 << 20
Listener = Callable[[Mapping[str, float], int], bool | None]


def compile_options(config: DictConfig) -> dict[str, Any]:
    """Returns what `keras.Model.compile` takes besides optimizer, loss and metrics."""
    # Without it Keras runs JAX one operation at a time, as no user of JAX would.
    compiled = config.backend == "jax" and not config.run_eagerly
    return {
        "jit_compile": compiled or config.jit_compile,
        "run_eagerly": config.run_eagerly,
        "steps_per_execution": config.steps_per_execution,
    }


def announce(
    job: Composed, data: Data, model: keras.Model, phases: Sequence[Phase], *, quiet: bool
) -> None:
    """Says in a line what will be trained on what, and what will not come to pass."""
    if quiet:
        return
    sizes = ", ".join(f"{int(s.cardinality()):,} {name}" for name, s in data.splits.items())
    name = job.choices.get("model", model.name)
    print_findings(data)
    print(f"{name} on {data.name}: {model.count_params():,} parameters; {sizes} examples")
    for line in class_lines(data):
        print(line)
    _warn_of_phases(job.config, phases)


def _warn_of_phases(config: DictConfig, phases: Sequence[Phase]) -> None:
    """Says what of a plan of phases will not be as it seems to be meant."""
    no_weights = "weights" in config.model and config.model.weights is None
    if len(phases) > 1 and no_weights and not config.init_from:
        print("transfer: the base has random weights, and is frozen so: set model.weights")
    for before, phase in pairwise(phases):
        if before.last_epoch >= config.epochs:
            print(
                f"epochs={config.epochs} ends before {phase.name} begins, after epoch"
                f" {before.last_epoch}: give it more epochs, or {before.name} fewer"
            )


def run_tags(
    config: DictConfig,
    data: Data,
    batches: Batches,
    extra: Mapping[str, str] | None,
    *,
    goes_on: bool,
) -> dict[str, str]:
    """Returns the tags that are known once TensorFlow has started."""
    in_file = any(part.dataset is not None for part in batches.stored.values())
    shortened = config.overfit_batches or config.steps_per_epoch or config.evaluation_steps
    about = {"kx.cache": "disk" if in_file else "memory", "kx.shortened": str(bool(shortened))}
    threads = {f"threads.{kind}": str(count) for kind, count in thread_counts().items()}
    about |= {"devices": ", ".join(devices()), **findings_tags(data)}
    weights = None if goes_on else config.model.get("weights")  # with which it began
    if isinstance(weights, str) and (content := content_hash(weights)):
        about["kx.weights_sha256"] = content
    return {**threads, **about, **(extra or {})}


def fit(
    config: DictConfig,
    model: keras.Model,
    batches: Batches,
    callbacks: list[keras.callbacks.Callback],
    tracker: Tracker,
    folder: RunFolder,
    *,
    phases: Sequence[Phase],
    begin_phase: Callable[[Phase, int], None],
    state: State | None = None,
    fingerprint: str = "",
    listeners: Sequence[Listener] = (),
    stop_after: int | None = None,
    quiet: bool = False,
) -> dict[str, list[float]]:
    """Trains, and returns the history: metric to one value an epoch.

    Args:
        config: of the run.
        model: built.
        batches: of the run.
        callbacks: of the config.
        tracker: of the run.
        folder: of the run, in which the state is kept after every epoch.
        phases: of the training, in order.
        begin_phase: function `(phase, first_epoch)` that compiles the model for a phase.
        state: to go on from, or None.
        fingerprint: of the data.
        listeners: functions `(values, epoch)` that follow the training; it stops
            after an epoch of which one says True.
        stop_after: number of epochs after which to stop, before the config's.
        quiet: whether to show no progress.

    Raises:
        TrainingError: if memory or the disk runs out, or if the loss is NaN or infinite at the end.
    """
    num_seen = batches.steps_per_epoch * batches.batch_size
    record = own_callbacks.Record(min(num_seen, batches.stored["train"].num_examples))
    logs = [item for item in callbacks if isinstance(item, keras.callbacks.CSVLogger)]
    counting = [record, *(item for item in callbacks if item not in logs)]
    keep = KeepState(folder.record.states, counting, state, config.epochs, fingerprint)
    missing = _missing(tracker, batches.first_epoch)
    tell = own_callbacks.Tell(record, [tracker.metrics, *listeners], missing)
    display = [] if quiet else [Display(config.epochs)]
    averages = [
        own_callbacks.KeepAverage(callback)
        for callback in callbacks
        if isinstance(callback, own_callbacks.SwapAverage)
    ]
    done, end = batches.first_epoch, min(config.epochs, stop_after or config.epochs)
    for number, phase in enumerate(phases, 1):
        if number < len(keep.phases):
            continue  # it was over when the training was left
        goes_on = number == len(keep.phases)
        if not goes_on:
            keep.begin_phase(done)
        begin_phase(phase, keep.phases[-1])
        last_epoch = min(phase.last_epoch, end)
        if goes_on:
            assert state is not None
            restore_variables(model, state)
            if state.stopped and (phase is not phases[-1] or config.epochs <= state.epochs):
                last_epoch = done  # what is left of it is what callbacks do at its end
        for log in logs:
            continue_csv(log, done)
        if len(phases) > 1:
            record.phase = number
            for shown in display:
                shown.say(phase_line(model, phase))
        try:
            with _told_clearly(folder.path):
                model.fit(
                    batches.train_from(done),
                    initial_epoch=done,
                    epochs=last_epoch,
                    steps_per_epoch=batches.steps_per_epoch,
                    validation_data=batches.validation,
                    callbacks=[record, *callbacks, keep, *display, tell, *averages],
                    shuffle=False,  # the stream is shuffled; Keras would warn
                    verbose=0,
                )
        finally:
            for shown in display:
                shown.close()
        done = num_epochs(record.history)
        _refuse_no_number(record.history)
        if tell.stopped or done >= end:
            break
    return record.history


def _refuse_no_number(history: Mapping[str, Sequence[float]]) -> None:
    """Raises what a training that went astray can do."""
    last = history["train/loss"][-1]
    if not math.isfinite(last):
        raise TrainingError(
            f"The loss became {last} in epoch {num_epochs(history)}. Usual ways out: a lower"
            " optimizer.learning_rate, optimizer.global_clipnorm=1, precision=float32, or a look"
            " at the data: kx data show."
        )


def phase_line(model: keras.Model, phase: Phase) -> str:
    """Returns what a phase trains, as a line.

    Args:
        model: compiled for it.
        phase: which.
    """
    learning = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    return f"{phase.name}: {learning:,} of {model.count_params():,} parameters learn, at {rate:.3g}"


@contextlib.contextmanager
def _told_clearly(folder: Path) -> Iterator[None]:
    """Turns what a training can end in into an error of ours; a stop stays a stop."""
    try:
        yield
    except Exception as error:
        if was_interrupted():
            raise KeyboardInterrupt from error
        _tell_what_ran_out(folder, error)
        raise


def _tell_what_ran_out(folder: Path, error: Exception) -> None:
    """Raises a full memory or disk as an error that names the ways out."""
    if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
        raise TrainingError(
            f"Memory ran out: {first_line(error)}\nWays out: a smaller"
            " batch_size (with optimizer.gradient_accumulation_steps for the same steps),"
            " precision=mixed_bfloat16, rematerialize=activations, or data.cache=disk."
        ) from error
    if shutil.disk_usage(folder).free < _FULL_BYTES:
        raise TrainingError(
            f"The disk of {folder} is full. Make room, or choose another: run_dir=FOLDER."
            " What was kept before stays: resume=auto goes on."
        ) from error


def _missing(tracker: Tracker, first_epoch: int) -> list[int]:
    """Returns the epochs that were kept, and of which the store had no word before a kill."""
    known = tracker.steps("epoch_seconds") if first_epoch else None
    return [n for n in range(1, first_epoch + 1) if n not in known] if known is not None else []


def past(state: State | None) -> dict[str, list[float]]:
    """Returns the history of a training so far.

    Args:
        state: from which it goes on, or None.
    """
    return state.callbacks["Record#1"]["history"] if state else {}
