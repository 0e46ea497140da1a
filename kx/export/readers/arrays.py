"""Reads examples that are arrays."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kx.data.sources.arrays.files import load_member, load_numpy
from kx.errors import DataError, first_line
from kx.paths import expanded

Named = list[tuple[Any, Any]]  # pairs of the user's input and the raw example


def read_array(item: Any, shape: Sequence[int | None], dtype: str) -> Named:
    """Reads one or several examples that are arrays, from a file, JSON, or an object.

    Args:
        item: `.npy`, `.npz` or `.json` file, JSON, or an object that NumPy converts to an array.
            An array with one more axis than an example is several examples.
        shape: Shape of one raw example.
        dtype: Dtype of one raw example.

    Raises:
        DataError: If it is not an array, has another shape, or contains anything but numbers.
    """
    name, values = array_of(item)
    kind = np.dtype(tf.as_dtype(dtype).as_numpy_dtype)
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name}: expected numbers. Received: {values.dtype}.")
    several = values.ndim == len(shape) + 1
    got = values.shape[1:] if several else values.shape
    if len(got) != len(shape) or any(w not in (None, g) for g, w in zip(got, shape, strict=True)):
        raise DataError(
            f"{name}: expected one example of shape {tuple(shape)}, or several with an axis before"
            f" it. Received: shape {values.shape}."
        )
    with np.errstate(all="ignore"):
        cast = values.astype(kind)
    if (
        not np.isfinite(cast).all()
        or not np.isfinite(values).all()
        or (kind.kind != "f" and not (cast.astype("float64") == values.astype("float64")).all())
    ):
        raise DataError(f"{name}: expected finite numbers that {kind} can hold.")
    if not several:
        return [(name, cast)]
    return [(f"{name}[{number}]", one) for number, one in enumerate(cast)]


def names_arrays(item: Any) -> bool:
    """Returns whether an input names a file of arrays: `x.npy`, `x.npz`, `x.npz:test`.

    Args:
        item: Input of a user.
    """
    text = str(item) if isinstance(item, str | Path) else ""
    path = text.partition(".npz:")[0] + ".npz" if ".npz:" in text else text
    return path.lower().endswith((".npy", ".npz")) and os.path.isfile(expanded(path))


def array_of(item: Any) -> tuple[str, np.ndarray]:
    """Returns an array and its name, from a file, JSON, or an object.

    Args:
        item: Input of a user.

    Raises:
        DataError: If it cannot be read as one array.
    """
    if not isinstance(item, str | Path):
        array = np.asarray(item)
        return f"array of shape {array.shape}", array
    text = str(item)
    path, _, chosen = text.partition(".npz:") if ".npz:" in text else (text, "", "")
    file = expanded(f"{path}.npz" if chosen else path)
    if not os.path.isfile(file):
        try:
            return text[:80], _from_json(json.loads(text), text[:80])
        except ValueError as error:
            raise DataError(
                f"{text[:200]}: this is no file, and no JSON. This run's model takes arrays: .npy,"
                " .npz and .json files, or JSON: [[0.5, 1.5], [2.0, 3.0]]."
            ) from error
    if file.suffix.lower() == ".json":
        try:
            return text, _from_json(json.loads(file.read_text(encoding="utf-8-sig")), text)
        except (ValueError, OSError) as error:
            raise DataError(f"{file} cannot be read as JSON: {first_line(error)}") from error
    loaded = load_numpy(file)
    if isinstance(loaded, np.ndarray):
        return text, loaded
    names = list(loaded)
    if not chosen and len(names) == 1:
        chosen = names[0]
    if chosen not in names:
        raise DataError(
            f"{file} has {len(names)} arrays: {', '.join(names)}. Name one: '{file}:{names[0]}'"
            if names and file.suffix.lower() == ".npz"
            else f"{file}: expected an .npy, .npz or .json file of arrays."
            if names
            else f"{file} has no array."
        )
    return text, load_member(loaded, chosen, file)


def _from_json(value: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise DataError(f"{name}: expected lists of one length each.") from error
