"""Captures the state of a training, and restores it."""

from __future__ import annotations

import csv
import inspect
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kx.errors import KxError, TrainingError
from kx.fit.model.learner import optimizers_of, stepped_by
from kx.tracking.state import State, save


def capture(
    model: keras.Model,
    callbacks: Sequence[keras.callbacks.Callback],
    epoch: int,
    epochs: int,
    data_fingerprint: str = "",
    phases: Sequence[int] = (0,),
) -> State:
    """Returns the current state of a training.

    Args:
        model: Model in training.
        callbacks: Callbacks of the training.
        epoch: Number of epochs that are done.
        epochs: Number of epochs that are planned.
        data_fingerprint: Fingerprint of the data. Defaults to "".
        phases: Number of epochs that were done when each phase so far began. Defaults to (0,).
    """
    first, *others = optimizers_of(model)
    return State(
        epoch=epoch,
        epochs=epochs,
        model=[keras.ops.convert_to_numpy(variable) for variable in model.variables],
        optimizer=_values(first),
        callbacks={key: _counts(callback) for key, callback in _keyed(callbacks)},
        stopped=bool(model.stop_training),
        data_fingerprint=data_fingerprint,
        phases=list(phases),
        stepped=_stepped(first, model),
        other_optimizers=[
            {"variables": _values(one), "stepped": _stepped(one, model)} for one in others
        ],
    )


def _values(optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]


def _stepped(optimizer: keras.optimizers.Optimizer, model: keras.Model) -> list[int]:
    """Returns the indices of the variables that an optimizer updates.

    A learner's own `train_step` may leave out some trainable variables.
    """
    places = {id(variable): place for place, variable in enumerate(model.variables)}
    known = stepped_by(optimizer, model)
    return [places[id(variable)] for variable in known if id(variable) in places]


def restore_variables(model: keras.Model, state: State) -> None:
    """Sets the variables of a compiled model, and of its optimizers, to the values of a state.

    Args:
        model: Compiled model.
        state: State to restore.

    Raises:
        KxError: If the number or the shapes of the variables differ.
    """
    optimizers = optimizers_of(model)
    kept = [{"variables": state.optimizer, "stepped": state.stepped}, *state.other_optimizers]
    if len(optimizers) != len(kept):
        raise KxError(
            f"The learner has {len(optimizers)} optimizers, and had {len(kept)} when the run began."
            " Was its code changed? Start a new run (resume=never), or check out the run's commit."
        )
    strategy = getattr(model, "distribute_strategy", None)  # only on TensorFlow
    with strategy.scope() if strategy else nullcontext():
        for optimizer, of_state in zip(optimizers, kept, strict=True):
            _build(optimizer, of_state["stepped"], model)
    pairs = {"model": (model.variables, state.model)}
    for number, (optimizer, of_state) in enumerate(zip(optimizers, kept, strict=True), 1):
        what = "optimizer" if number == 1 else f"optimizer {number}"
        pairs[what] = (optimizer.variables, of_state["variables"])
    for what, (variables, values) in pairs.items():
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes != [value.shape for value in values]:
            raise KxError(
                f"The {what} has other variables than when the run began: {len(variables)}, and"
                f" {len(values)} then. Was its code changed, or another Keras installed? Start a"
                " new run (resume=never), or check out the run's commit."
            )
    for variables, values in pairs.values():
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _build(
    optimizer: keras.optimizers.Optimizer, stepped: Sequence[int] | None, model: keras.Model
) -> None:
    """Builds an optimizer for the variables that it updated when the state was saved."""
    if optimizer.built:
        return
    chosen = model.trainable_variables
    if stepped is not None and max(stepped, default=0) < len(model.variables):
        chosen = [model.variables[place] for place in stepped]
    optimizer.build(chosen)


def restore_callbacks(callbacks: Sequence[keras.callbacks.Callback], state: State) -> None:
    """Restores the counters of the callbacks; those that are not in the state stay unchanged."""
    for key, callback in _keyed(callbacks):
        for name, value in state.callbacks.get(key, {}).items():
            setattr(callback, name, value)


def reset_patience(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Resets the patience of a training that was stopped early and now has more epochs."""
    for callback in callbacks:
        if hasattr(callback, "stopped_epoch"):
            callback.wait = callback.stopped_epoch = 0


def continue_csv(callback: keras.callbacks.CSVLogger, epoch: int) -> None:
    """Makes a CSVLogger append to its file instead of overwriting it.

    Args:
        callback: CSVLogger, before the training.
        epoch: Number of epochs that are done. Rows of later epochs, which a process wrote
            that was killed before it saved their state, are removed.
    """
    path = Path(callback.filename)
    if not path.is_file():
        return
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter=callback.sep))
    kept = [row for row in rows[1:] if row and row[0].isdigit() and int(row[0]) < epoch]
    half = path.with_name(f"{path.name}.part")
    with half.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=callback.sep).writerows([*rows[:1], *kept])
    half.replace(path)
    callback.append = True


def _keyed(
    callbacks: Sequence[keras.callbacks.Callback],
) -> Iterator[tuple[str, keras.callbacks.Callback]]:
    """Yields each callback with a key that is the same in another process."""
    seen: dict[str, int] = {}
    for callback in callbacks:
        kind = getattr(callback, "kx_name", None) or type(callback).__qualname__
        seen[kind] = seen.get(kind, 0) + 1
        yield f"{kind}#{seen[kind]}", callback


def _kept_names(callback: keras.callbacks.Callback, keep_best: bool) -> list[str]:
    """Returns the attributes to keep in a new phase: EarlyStopping's best, TensorBoard's steps."""
    names = ["_global_train_batch"]
    if keep_best and getattr(callback, "restore_best_weights", False):
        names += ["best", "best_epoch", "best_weights", "best_loss"]
    return [name for name in names if name in vars(callback)]


class _NotPlain(Exception):
    """Signals that a value is not plain data."""


def _counts(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Returns a callback's own attributes that are plain data: counters, best values, weights.

    Arguments of its constructor and strings are left out: they are settings, which may
    differ when the run is resumed. Keras even changes one, the sign of `min_delta`,
    when it first compares a metric.
    """
    settings = {
        name
        for kind in type(callback).__mro__[:-1]
        if "__init__" in vars(kind)
        for name in inspect.signature(vars(kind)["__init__"]).parameters
    }
    counts = {}
    for name, value in vars(callback).items():
        if name in ("params", "_model") or name in settings or isinstance(value, str):
            continue
        try:
            counts[name] = _plain(value)
        except _NotPlain:
            continue
    return counts


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufV":
        return value.copy()
    if isinstance(value, np.generic) and value.dtype.kind in "biufV":
        return np.asarray(value)  # also in `get_weights`, where Keras needs its shape
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {key: _plain(item) for key, item in value.items()}
    raise _NotPlain


class KeepState(keras.callbacks.Callback):
    """Saves the state of a training after every epoch, and restores that of its callbacks.

    Must come after the callbacks whose state it saves: at the start of a training
    Keras's own callbacks reset their counters.

    Args:
        folder: Folder of the states.
        callbacks: Callbacks whose state is saved.
        state: State from which to resume, or None.
        epochs: Number of epochs that are planned.
        data_fingerprint: Fingerprint of the data.
    """

    def __init__(
        self,
        folder: Path,
        callbacks: Sequence[keras.callbacks.Callback],
        state: State | None,
        epochs: int,
        data_fingerprint: str,
    ) -> None:
        super().__init__()
        self.phases = list(state.phases) if state else []
        self._kept: list[tuple[keras.callbacks.Callback, dict[str, Any]]] = []
        self._folder, self._callbacks = folder, callbacks
        self._state, self._epochs, self._data_fingerprint = state, epochs, data_fingerprint

    def begin_phase(self, first_epoch: int, *, keep_best: bool = True) -> None:
        """Begins a new phase: callbacks count from 0, but keep the best epoch so far.

        Args:
            first_epoch: Number of epochs that are done.
            keep_best: Whether the epochs before can be compared with those of the phase: it has
                the same examples. Defaults to True.
        """
        self.phases.append(first_epoch)
        self._kept = [
            (callback, {name: vars(callback)[name] for name in _kept_names(callback, keep_best)})
            for callback in self._callbacks
            if first_epoch
        ]
        for callback in self._callbacks if first_epoch and not keep_best else []:
            if isinstance(callback, keras.callbacks.ModelCheckpoint):  # does not reset itself
                callback.best = None
                vars(callback).pop("best_loss", None)

    def on_train_begin(self, logs: Any = None) -> None:
        """Restores the counters of the callbacks."""
        for callback, values in self._kept:
            vars(callback).update(values)
        self._kept = []
        if self._state is not None:
            restore_callbacks(self._callbacks, self._state)
            if self._state.stopped and self._epochs > self._state.epochs:
                reset_patience(self._callbacks)
            self._state = None  # frees its copy of the weights

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Saves the state."""
        state = capture(
            self.model,
            self._callbacks,
            epoch + 1,
            self._epochs,
            self._data_fingerprint,
            self.phases,
        )
        try:
            save(self._folder, state)
        except OSError as error:
            raise TrainingError(
                f"The state of the training after epoch {epoch + 1} cannot be written: {error}."
                " Make room, or choose another folder (run_dir=…); resume=auto then continues after"
                f" epoch {epoch}."
            ) from error
