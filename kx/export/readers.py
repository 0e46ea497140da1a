"""How a raw example is given to a finished run's model, by its kind: a file, a word, an object."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kx.data.sources.arrays.files import load_member, load_numpy
from kx.data.sources.delimited import is_number, read_rows
from kx.data.sources.images.folder.formats import readable
from kx.errors import DataError, first_line
from kx.paths import expanded

Named = list[tuple[Any, Any]]  # what the user wrote, and the raw example
_TABLES = (".csv", ".tsv", ".tab", ".gz", ".bz2", ".xz")
_LARGEST = float(np.finfo("float32").max)


def read_image(item: Any, max_megapixels: float) -> Named:
    """Reads an image: a file, its bytes, or an array of uint8.

    Args:
        item: a path, bytes, or an array `(height, width[, 1 or 3])`.
        max_megapixels: of the largest picture that is taken.

    Raises:
        DataError: if it is no picture.
    """
    if isinstance(item, bytes):
        return [(f"{len(item)} bytes", readable(item, f"{len(item)} bytes", max_megapixels))]
    if isinstance(item, np.ndarray):
        pixels = item[..., None] if item.ndim == 2 else item
        if item.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] not in (1, 3):
            raise DataError(
                "An image as an array is uint8 of shape (height, width[, 1 or 3])."
                f" Received: {item.dtype} of shape {item.shape}."
            )
        return [(f"array of shape {item.shape}", tf.io.encode_png(pixels).numpy())]
    if _names_arrays(item):
        name, values = _array_of(item)
        if values.ndim not in (2, 3, 4):
            raise DataError(
                f"{name}: expected one image, or several with an axis before it. Received: shape"
                f" {values.shape}."
            )
        images = [values] if is_one_image(values) else list(values)
        return [
            (name if len(images) == 1 else f"{name}[{number}]", raw)
            for number, one in enumerate(images)
            for _, raw in read_image(np.asarray(one), max_megapixels)
        ]
    if not isinstance(item, str | Path):
        raise DataError(
            f"{type(item).__name__}: expected an image file, its bytes, or an array of uint8:"
            " np.asarray(image)."
        )
    try:
        encoded = _existing(item, "image files").read_bytes()
    except OSError as error:
        raise DataError(f"{item} cannot be read: {first_line(error)}") from error
    return [(str(item), readable(encoded, str(item), max_megapixels))]


def _names_arrays(item: Any) -> bool:
    """Says whether an input is a file of arrays: `x.npy`, `x.npz`, `x.npz:test`."""
    text = str(item) if isinstance(item, str | Path) else ""
    path = text.partition(".npz:")[0] + ".npz" if ".npz:" in text else text
    return path.lower().endswith((".npy", ".npz")) and os.path.isfile(expanded(path))


def is_one_image(values: np.ndarray) -> bool:
    """Says whether an array is one image, and not several.

    Args:
        values: an image `(height, width[, 1 or 3])`, or several with an axis before it.
    """
    return values.ndim == 2 or (values.ndim == 3 and values.shape[-1] in (1, 3))


def read_row(item: Any, columns: Sequence[str]) -> Named:
    """Reads rows of a table: a line, a sequence of numbers, or a file.

    Args:
        item: `"1.5,2,3"`, `[1.5, 2, 3]`, or a `.csv` or `.tsv` file, whose columns are found by
            their names.
        columns: names of the numbers of a row.

    Raises:
        DataError: for what cannot be read for sure: too few numbers, a number that is none, a
            column that is not there.
    """
    if not isinstance(item, str | Path):
        try:
            cells = [str(value) for value in _by_name(item, columns)]
        except TypeError as error:
            raise DataError(f"{item!r}: this run's model takes {_takes(columns)}") from error
        return [(",".join(cells), _line(cells, columns, f"[{', '.join(cells)[:80]}]"))]
    text = str(item)
    if _names_arrays(item):
        name, values = _array_of(item)
        rows = [values] if values.ndim < 2 else list(values)
        return [
            (name if values.ndim < 2 else f"{name}[{number}]", raw)
            for number, row in enumerate(rows)
            for _, raw in read_row(np.atleast_1d(row), columns)
        ]
    if os.path.isfile(expanded(text)):
        return _rows_of_file(expanded(text), columns)
    if text.lower().endswith(_TABLES):
        raise DataError(f"There is no file {text}. This run's model takes {_takes(columns)}")
    try:
        cells = next(csv.reader([text]), [])
    except csv.Error as error:
        raise DataError(f"{text[:200]!r}: {first_line(error)}. Expected one line.") from error
    if not any(map(is_number, cells)):
        raise DataError(
            f"{text[:200]}: this is no row of numbers, and no file. This run's model takes"
            f" {_takes(columns)}"
        )
    return [(text, _line(cells, columns, text[:200]))]


def _by_name(item: Any, columns: Sequence[str]) -> Any:
    """Returns the values of a row in the order of the columns, where it names them."""
    named = item.to_dict() if hasattr(item, "to_dict") else item  # a Series of pandas
    if not isinstance(named, Mapping):
        return item
    if list(named) == list(range(len(columns))):  # counted, and not named
        return list(named.values())
    missing = [name for name in columns if name not in named]
    if missing:
        raise DataError(
            f"A row has no {', '.join(map(repr, missing[:10]))}. It has:"
            f" {', '.join(map(str, named))}. This run's model takes {_takes(columns)}"
        )
    return [named[name] for name in columns]


def _takes(columns: Sequence[str]) -> str:
    return f"rows of {len(columns)} numbers, or .csv files of them: {', '.join(columns)}."


def _rows_of_file(file: Path, columns: Sequence[str]) -> Named:
    if not file.name.lower().endswith((*_TABLES, ".txt")):
        raise DataError(
            f"{file}: expected a .csv or .tsv file. This run's model takes {_takes(columns)}"
        )
    rows = read_rows(file, names=columns, key="INPUT")
    missing = [name for name in columns if name not in rows.header]
    if missing:
        raise DataError(
            f"{file} has no column {', '.join(map(repr, missing[:10]))}. Its columns:"
            f" {', '.join(rows.header)}. This run's model takes {_takes(columns)}"
        )
    if rows.lines[0] == 1:
        print(f"{file}: without names, its columns are {', '.join(columns)}", file=sys.stderr)
    others = [name for name in rows.header if name not in columns]
    if others:
        print(f"{file}: not used: {', '.join(others)}", file=sys.stderr)
    by_name = [rows.column(name) for name in columns]
    found = []
    for row, cells in enumerate(zip(*by_name, strict=True)):
        where = rows.where(row)
        found.append((f"{file}:{rows.lines[row]}", _line(cells, columns, where)))
    return found


def _line(cells: Sequence[str], columns: Sequence[str], where: str) -> str:
    """Returns numbers as the line that is a raw example."""
    if len(cells) != len(columns):
        raise DataError(
            f"{where}: {len(cells)} cells. Expected a line of {len(columns)} numbers:"
            f" {', '.join(columns)}."
        )
    numbers = []
    for name, cell in zip(columns, cells, strict=True):
        number = float(cell) if is_number(cell) else math.nan
        if not abs(number) <= _LARGEST:
            raise DataError(
                f"{where}: {name}: expected a finite number. Received: {cell.strip()!r}."
            )
        numbers.append(repr(number))
    return ",".join(numbers)


def read_text(item: Any, column: str, *, quotes: bool = True) -> Named:
    """Reads texts: one, or those of a column of a file.

    Args:
        item: a text, or a `.csv` or `.tsv` file.
        column: of the texts; of a file with one column, it may have another name.
        quotes: as of `kx.data.sources.text.text_csv.text_csv`.

    Raises:
        DataError: if it names a file that is not there, or that is no table.
    """
    text = item.decode(errors="replace") if isinstance(item, bytes) else str(item)
    path = expanded(text)
    is_file = os.path.isfile(path)
    is_table = text.lower().endswith(_TABLES) and (is_file or len(text.split()) == 1)
    takes = f"This run's model takes texts, or .csv and .tsv files with a column {column!r}."
    if is_file and not is_table and (path.suffix or os.sep in text):
        raise DataError(f"{text} is a file. {takes} Its text: kx predict RUN \"$(cat '{text}')\"")
    if not is_table:
        return [(text, text)]
    if not is_file:
        raise DataError(f"There is no file {text}. {takes}")
    rows = read_rows(path, quotes=quotes, key="INPUT")
    name = rows.header[0] if len(rows.header) == 1 else column
    texts = rows.column(name, "the column of the run's data.text")
    return [(one, one) for one in texts]


def read_array(item: Any, shape: Sequence[int], dtype: str) -> Named:
    """Reads examples that are arrays: one or several, from a file, JSON, or an object.

    Args:
        item: a `.npy`, `.npz` or `.json` file, JSON, or whatever NumPy takes for an array; with
            one axis more than an example has, it is several.
        shape: of one raw example.
        dtype: of one raw example.

    Raises:
        DataError: if it is none, of another shape, or holds what is no number.
    """
    name, values = _array_of(item)
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


def _array_of(item: Any) -> tuple[str, np.ndarray]:
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


def _existing(path: Any, what: str) -> Path:
    file = expanded(path)
    if os.path.isdir(file):
        raise DataError(f"{file} is a folder. Name the files in it: {file}/*")
    if not os.path.isfile(file):
        raise DataError(f"There is no file {str(file)[:200]}. This run's model takes {what}.")
    return file
