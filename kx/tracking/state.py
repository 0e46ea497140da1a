"""Saves the complete state of a training after each epoch, so that it can be resumed exactly.

There is one file per epoch, `state/epoch-000012.npz` in the run's folder, written under
another name and then renamed; the last two are kept. It contains every variable of the model
(including the states of dropout's seed generators), or of the learner around it, and of each
optimizer (moments, averages, accumulated gradients, learning rate, iterations), and the state of
the callbacks: best values, patience, the history. The order of the examples and their augmentation
need no state: they are functions of seed and epoch.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kx.errors import KxError
from kx.tracking.records import state_files

_KEPT_FILES = 2
_FORMAT = 1


@dataclass
class State:
    """Holds the state of a training after an epoch.

    Args:
        epoch: Number of finished epochs.
        epochs: Planned number of epochs.
        model: Variables of the model.
        optimizer: Variables of the optimizer.
        callbacks: State of each callback, by its kind and position.
        stopped: Whether a callback has stopped the training. Defaults to False.
        data_fingerprint: Fingerprint of the training data.
        phases: Number of finished epochs at the start of each phase so far. Defaults to `[0]`.
        stepped: Indices, among the model's variables, of those that the optimizer updates.
            Defaults to None: a state of an earlier version.
        other_optimizers: `{"variables": …, "stepped": …}` of each further optimizer of a learner.
            Defaults to none.
    """

    epoch: int
    epochs: int
    model: list[np.ndarray]
    optimizer: list[np.ndarray]
    callbacks: dict[str, dict[str, Any]]
    stopped: bool = False
    data_fingerprint: str = ""
    phases: list[int] = field(default_factory=lambda: [0])
    stepped: list[int] | None = None
    other_optimizers: list[dict[str, Any]] = field(default_factory=list)


def save(folder: Path, state: State) -> Path:
    """Writes a state, and removes all but the last two.

    Args:
        folder: Folder of the states: `state/` of the run's folder.
        state: State to write.

    Returns:
        Path to the file. If the process dies during the write, earlier files are unchanged.
    """
    arrays: dict[str, np.ndarray] = {}

    def packed(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            name = f"array_{len(arrays)}"
            dtype = value.dtype.name
            # NumPy's files do not support bfloat16: keep its bytes and the dtype's name.
            arrays[name] = value.view(f"u{value.itemsize}") if value.dtype.kind == "V" else value
            return {"__array__": name, "dtype": dtype}
        if isinstance(value, tuple):
            return {"__tuple__": [packed(item) for item in value]}
        if isinstance(value, list):
            return [packed(item) for item in value]
        if isinstance(value, dict):
            return {key: packed(item) for key, item in value.items()}
        return value

    meta = json.dumps({"format": _FORMAT, **{k: packed(v) for k, v in vars(state).items()}})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"epoch-{state.epoch:06d}.npz"
    half = path.with_suffix(".part")
    try:
        with half.open("wb") as file:
            np.savez(file, meta=np.frombuffer(meta.encode(), "uint8"), **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    for old in state_files(folder)[:-_KEPT_FILES]:
        old.unlink(missing_ok=True)
    return path


def load_last(folder: Path, data_fingerprint: str) -> State | None:
    """Returns the last state that can be read, or None if there is none.

    A damaged file is reported and renamed, and the state before it is read.

    Args:
        folder: Folder of the states.
        data_fingerprint: Fingerprint of the data, which must be that of the state.

    Raises:
        KxError: If the data has changed since the state was saved.
    """
    for path in reversed(state_files(folder)):
        try:
            state = load(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            print(f"{path} cannot be read ({error}): going back an epoch")
            path.replace(path.with_suffix(".damaged"))
            continue
        if state.data_fingerprint != data_fingerprint:
            raise KxError(
                "The data was changed since the run began, so it cannot continue exactly. Start a"
                " new run (resume=never), from the run's weights if you like: init_from=RUN."
            )
        return state
    return None


def load(path: Path) -> State:
    """Reads a state.

    Args:
        path: Path to the file.

    Raises:
        ValueError: If the file is damaged (also `OSError`, `zipfile.BadZipFile`).
    """
    # A zip file has checksums. NumPy does not close a damaged file that it opened itself.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        meta = json.loads(file["meta"].tobytes().decode())

        def unpacked(value: Any) -> Any:
            if isinstance(value, list):
                return [unpacked(item) for item in value]
            if not isinstance(value, dict):
                return value
            if "__array__" in value:
                array = file[value["__array__"]]
                return array if array.dtype.name == value["dtype"] else _as(array, value["dtype"])
            if "__tuple__" in value:
                return tuple(unpacked(item) for item in value["__tuple__"])
            return {key: unpacked(item) for key, item in value.items()}

        if meta.pop("format") != _FORMAT:
            raise ValueError("it was written by another version of kx")
        return State(**unpacked(meta))


def _as(array: np.ndarray, dtype: str) -> np.ndarray:
    import ml_dtypes

    return array.view(getattr(ml_dtypes, dtype))
