"""Reads examples that are rows of tables."""

from __future__ import annotations

import csv
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kx.data.sources.delimited import TABLES, is_number, read_rows
from kx.errors import DataError, first_line
from kx.export.readers.arrays import Named, array_of, names_arrays
from kx.paths import expanded

_LARGEST = float(np.finfo("float32").max)


def read_row(item: Any, columns: Sequence[str]) -> Named:
    """Reads rows of a table from a line, a sequence of numbers, or a file.

    Args:
        item: `"1.5,2,3"`, `[1.5, 2, 3]`, or a `.csv` or `.tsv` file, whose columns are found by
            their names.
        columns: Names of the numbers of a row.

    Raises:
        DataError: If the input cannot be read for sure: too few numbers, an invalid number, or a
            missing column.
    """
    if not isinstance(item, str | Path):
        try:
            cells = [str(value) for value in _by_name(item, columns)]
        except TypeError as error:
            raise DataError(f"{item!r}: this run's model takes {_takes(columns)}") from error
        return [(",".join(cells), _line(cells, columns, f"[{', '.join(cells)[:80]}]"))]
    text = str(item)
    if names_arrays(item):
        name, values = array_of(item)
        rows = [values] if values.ndim < 2 else list(values)
        return [
            (name if values.ndim < 2 else f"{name}[{number}]", raw)
            for number, row in enumerate(rows)
            for _, raw in read_row(np.atleast_1d(row), columns)
        ]
    if os.path.isfile(expanded(text)):
        return _rows_of_file(expanded(text), columns)
    if text.lower().endswith(TABLES):
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
    """Returns the values of a row in the order of the columns, if the row names them."""
    named = item.to_dict() if hasattr(item, "to_dict") else item  # a pandas Series
    if not isinstance(named, Mapping):
        return item
    if list(named) == list(range(len(columns))):  # numbered, not named
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
    if not file.name.lower().endswith((*TABLES, ".txt")):
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
    """Returns the cells as a line of CSV, which is the raw example."""
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
