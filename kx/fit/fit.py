"""Trains a model through all phases, and reports what it is trained on."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf
from omegaconf import DictConfig

from kx import callbacks as own_callbacks
from kx.contracts.specs import Data
from kx.data.issues import issues_tags
from kx.errors import TrainingError, first_line
from kx.fit.batches import Batches
from kx.fit.display import Display
from kx.fit.final import num_epochs
from kx.fit.keep_state import KeepState, continue_csv, restore_variables
from kx.fit.model.builder import Builder
from kx.fit.model.learner import Built, keep_weights_of
from kx.signals import was_interrupted
from kx.strategy import devices, thread_counts
from kx.tracking.provenance import content_hash
from kx.tracking.run_folder import RunFolder
from kx.tracking.state import State
from kx.tracking.tracker import Tracker
from kx.transfer import Phase

_FULL_BYTES = 1 << 20
Listener = Callable[[Mapping[str, float], int], bool | None]


def run_tags(
    config: DictConfig,
    data: Data,
    batches: Batches,
    extra: Mapping[str, str] | None,
    *,
    continues: bool,
) -> dict[str, str]:
    """Returns the tags of a run that are known after TensorFlow has started.

    Args:
        config: Config of the run.
        data: Data of the run.
        batches: Batches of the run.
        extra: Additional tags, or None.
        continues: Whether the run is resumed.
    """
    in_file = any(part.dataset is not None for part in batches.stored.values())
    shortened = config.overfit_batches or config.steps_per_epoch or config.evaluation_steps
    about = {"kx.cache": "disk" if in_file else "memory", "kx.shortened": str(bool(shortened))}
    threads = {f"threads.{kind}": str(count) for kind, count in thread_counts().items()}
    about |= {"devices": ", ".join(devices()), **issues_tags(data)}
    weights = None if continues else config.model.get("weights")  # initial weights
    if isinstance(weights, str) and (content := content_hash(weights)):
        about["kx.weights_sha256"] = content
    return {**threads, **about, **(extra or {})}


@dataclass
class Session:
    """Holds the tracker, the folder, the state and the listeners of a training.

    Args:
        tracker: Tracker of the run.
        folder: Folder of the run, in which the state is kept after every epoch.
        state: State from which the training continues. Defaults to None.
        listeners: Functions `(values, epoch)` that follow the training; it stops after an
            epoch after which one returns True.
        stop_after: Number of epochs after which to stop, before the config's.
        quiet: Whether to show no progress.
    """

    tracker: Tracker
    folder: RunFolder
    state: State | None = None
    listeners: Sequence[Listener] = ()
    stop_after: int | None = None
    quiet: bool = False


def fit(
    builder: Builder,
    built: Built,
    callbacks: Sequence[keras.callbacks.Callback],
    session: Session,
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Trains a model through all phases.

    Args:
        builder: Builder that compiles the learner for each phase.
        built: Built model and its learner.
        callbacks: Callbacks of the config and of the user.
        session: Tracker, folder, state and listeners of the training.

    Returns:
        The history, metrics by name, each a list of one value per epoch; and the metrics of the
        validation splits of phases that have data of their own, at the end of the training.

    Raises:
        TrainingError: If memory or the disk runs out, or if the loss is NaN or infinite at the
            end of a phase.
    """
    return _Fit(builder, built, callbacks, session).run()


class _Fit:
    def __init__(
        self,
        builder: Builder,
        built: Built,
        callbacks: Sequence[keras.callbacks.Callback],
        session: Session,
    ) -> None:
        config, batches = builder.config, builder.batches
        self._builder, self._built, self._session = builder, built, session
        self._learner = built.learner
        if not built.is_plain:
            for callback in callbacks:
                keep_weights_of(built.model, callback)
        self._of_phases: dict[str, float] = {}
        self._record = own_callbacks.Record(_num_seen(batches))
        self._logs = [item for item in callbacks if isinstance(item, keras.callbacks.CSVLogger)]
        counting = [self._record, *(item for item in callbacks if item not in self._logs)]
        self._keep = KeepState(
            session.folder.record.states, counting, session.state, config.epochs,
            builder.plan.fingerprint,
        )  # fmt: skip
        missing = _missing(session.tracker, batches.first_epoch)
        followers = [session.tracker.metrics, *session.listeners]
        self._tell = own_callbacks.NotifyListeners(self._record, followers, missing)
        self._display = [] if session.quiet else [Display(config.epochs)]
        averages = [
            own_callbacks.KeepAverage(callback)
            for callback in callbacks
            if isinstance(callback, own_callbacks.SwapAverage)
        ]
        self._callbacks = [
            self._record, *callbacks, self._keep, *self._display, self._tell, *averages,
        ]  # fmt: skip

    def run(self) -> tuple[dict[str, list[float]], dict[str, float]]:
        """Trains, and returns the history, and the metrics of phases with data of their own."""
        planned = self._builder.config.epochs
        done, end = (
            self._builder.batches.first_epoch,
            min(planned, self._session.stop_after or planned),
        )
        for number, phase in enumerate(self._builder.phases, 1):
            if number < len(self._keep.phases):
                continue  # the phase had ended when the run was interrupted
            last_epoch = self._begin_phase(number, phase, done, end)
            self._fit(phase, done, last_epoch)
            done = num_epochs(self._record.history)
            _refuse_no_number(self._record.history)
            self._evaluate_phases(number, done)
            if self._tell.stopped or done >= end:
                break
        return self._record.history, self._of_phases

    def _begin_phase(self, number: int, phase: Phase, done: int, end: int) -> int:
        """Compiles the model for a phase, and returns the number of its last epoch."""
        continues = number == len(self._keep.phases)
        if not continues:
            self._keep.begin_phase(
                done, keep_best=self._builder.plan.shares_data_with_previous(number)
            )
        self._builder.begin_phase(self._built, phase, self._keep.phases[-1])
        self._record.examples_per_epoch = _num_seen(self._builder.batches_of(phase))
        last_epoch = min(phase.last_epoch, end)
        if continues:
            state = self._session.state
            assert state is not None
            restore_variables(self._learner, state)
            is_last = phase is self._builder.phases[-1]
            if state.stopped and (not is_last or self._builder.config.epochs <= state.epochs):
                last_epoch = done  # no epoch is left, but callbacks act at the end of `fit`
        for log in self._logs:
            continue_csv(log, done)
        if len(self._builder.phases) > 1:
            self._record.phase = number
            for shown in self._display:
                shown.say(phase_line(self._built, phase))
        return last_epoch

    def _evaluate_phases(self, number: int, epoch: int) -> None:
        """Evaluates the validation splits of the phases so far that have data of their own."""
        for phase in self._builder.phases[:number]:
            if phase.data is None:
                continue
            batches = self._builder.validation(self._built, phase)
            if batches is None:
                continue
            found = self._learner.evaluate(batches, verbose=0, return_dict=True)
            found = {f"phase/{phase.name}/val_{k}": float(v) for k, v in found.items()}
            self._session.tracker.metrics(found, epoch)
            self._of_phases |= found

    def _fit(self, phase: Phase, done: int, last_epoch: int) -> None:
        try:
            with _told_clearly(self._session.folder.path):
                self._learner.fit(
                    self._builder.train_from(self._built, phase, done),
                    initial_epoch=done,
                    epochs=last_epoch,
                    steps_per_epoch=self._builder.batches_of(phase).steps_per_epoch,
                    validation_data=self._builder.validation(self._built, phase),
                    callbacks=self._callbacks,
                    shuffle=False,  # the batches are shuffled already; Keras would warn
                    verbose=0,
                )
        finally:
            for shown in self._display:
                shown.close()


def _num_seen(batches: Batches) -> int:
    """Returns the number of examples in an epoch."""
    return min(batches.steps_per_epoch * batches.batch_size, batches.examples_per_epoch)


def _refuse_no_number(history: Mapping[str, Sequence[float]]) -> None:
    """Raises an error with remedies if the last loss is NaN or infinite."""
    losses = [name for name in history if name.startswith("train/") and name.endswith("loss")]
    for name in losses:
        last = history[name][-1]
        if math.isfinite(last):
            continue
        what = "loss" if name == "train/loss" else name.removeprefix("train/")
        raise TrainingError(
            f"The {what} became {last} in epoch {num_epochs(history)}. Usual ways out: a lower"
            " optimizer.learning_rate, optimizer.global_clipnorm=1, precision=float32, or a look"
            " at the data: kx data show."
        )


def phase_line(built: Built, phase: Phase) -> str:
    """Returns a line with the number of trainable parameters and the learning rate of a phase.

    Args:
        built: Model and its learner, which was compiled for the phase.
        phase: Phase of the training.
    """
    learning = sum(math.prod(weight.shape) for weight in built.model.trainable_weights)
    rate = float(keras.ops.convert_to_numpy(built.learner.optimizer.learning_rate))
    count = built.model.count_params()
    return f"{phase.name}: {learning:,} of {count:,} parameters learn, at {rate:.3g}"


@contextlib.contextmanager
def _told_clearly(folder: Path) -> Iterator[None]:
    """Turns errors of a training into a TrainingError, and keeps an interruption as such."""
    try:
        yield
    except Exception as error:
        if was_interrupted():
            raise KeyboardInterrupt from error
        _tell_what_ran_out(folder, error)
        raise


def _tell_what_ran_out(folder: Path, error: Exception) -> None:
    """Raises an error with remedies if memory or the disk is full."""
    if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
        raise TrainingError(
            f"Memory ran out: {first_line(error)}\nWays out: a smaller"
            " batch_size (with optimizer.gradient_accumulation_steps for the same steps),"
            " precision=mixed_bfloat16, rematerialize=activations, or data.cache=disk."
        ) from error
    if shutil.disk_usage(folder).free < _FULL_BYTES:
        raise TrainingError(
            f"The disk of {folder} is full. Make room, or choose another: run_dir=FOLDER."
            " What was kept before stays: resume=auto continues."
        ) from error


def _missing(tracker: Tracker, first_epoch: int) -> list[int]:
    """Returns the epochs whose state was saved but whose metrics were not logged, after a kill."""
    known = tracker.steps("epoch_seconds") if first_epoch else None
    return [n for n in range(1, first_epoch + 1) if n not in known] if known is not None else []


def past(state: State | None) -> dict[str, list[float]]:
    """Returns the history of a training so far.

    Args:
        state: State from which the training is resumed, or None.
    """
    return state.callbacks["Record#1"]["history"] if state else {}
