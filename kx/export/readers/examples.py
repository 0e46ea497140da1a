"""Reads raw examples of any kind: of one value, or of fields by name."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kx.contracts.fields import named_fields
from kx.data.sources.delimited import TABLES, read_rows
from kx.data.sources.images.folder.formats import MAX_MEGAPIXELS
from kx.errors import DataError, first_line
from kx.export.readers.arrays import Named, read_array
from kx.export.readers.images import is_one_image, read_image
from kx.export.readers.rows import read_row
from kx.export.readers.texts import read_text
from kx.paths import expanded

_JSON_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Field:
    """Describes a raw value.

    Args:
        kind: `"image"`, `"text"`, `"row"` or `"array"`.
        shape: Shape of the raw value; None for an axis of any size.
        dtype: Dtype of the raw value.
        column_names: Names of the numbers of a row. Defaults to none.
    """

    kind: str
    shape: tuple[int | None, ...]
    dtype: str
    column_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """Reads raw examples from what a user gives: files, texts, JSON, arrays.

    Args:
        fields: The raw value, or values by name.
        max_megapixels: Size of the largest image that is accepted, in megapixels. Defaults to
            `MAX_MEGAPIXELS`.
        text_column: Column of the texts in a file. Defaults to `"text"`.
        quotes: Whether quotation marks quote a cell of a file. Defaults to True.
    """

    fields: Field | Mapping[str, Field]
    max_megapixels: float = MAX_MEGAPIXELS
    text_column: str = "text"
    quotes: bool = True

    def examples_of(self, inputs: Any) -> Sequence[Any]:
        """Returns inputs as a sequence: an array may be one example, or several.

        Args:
            inputs: A user's inputs: a sequence, an array, or a pandas DataFrame.
        """
        if hasattr(inputs, "to_dict") and hasattr(inputs, "columns"):  # a pandas DataFrame
            records: list[Any] = inputs.to_dict("records")
            return records
        if not isinstance(self.fields, Field):
            return self._with_fields(inputs)
        if not isinstance(inputs, np.ndarray):
            return inputs  # type: ignore[no-any-return]
        field = self.fields
        if field.kind == "image":
            one = is_one_image(inputs)
        else:
            one = inputs.ndim == (1 if field.kind == "row" else len(field.shape))
        return [inputs] if one and inputs.dtype.kind in "biuf" else list(inputs)

    def _with_fields(self, inputs: Any) -> list[Any]:
        """Returns examples of fields: words `name=value` are one example together."""
        if isinstance(inputs, Mapping):
            return [inputs]
        found: list[Any] = []
        given: dict[str, str] = {}
        for item in inputs:
            name, equals, value = item.partition("=") if isinstance(item, str) else ("", "", "")
            if not equals or name not in named_fields(self.fields, ""):
                found.append(item)
            elif name in given:
                raise DataError(f"{name}= is given twice. Several examples: a CSV or JSON lines.")
            else:
                given[name] = value
        return [given, *found] if given else found

    def read(self, item: Any) -> Named:
        """Reads one input, which may be several examples: a file of rows.

        Args:
            item: Input of a user.

        Returns:
            Pairs of a name and a raw example.

        Raises:
            DataError: If it cannot be read for sure.
        """
        if isinstance(self.fields, Field):
            return self._read_value(self.fields, item)
        if isinstance(item, Mapping):
            return [self._example(item)]
        if not isinstance(item, str | Path):
            raise DataError(f"{type(item).__name__}: {self._takes()}")
        return [self._example(one, where) for where, one in self._mappings(str(item))]

    def _read_value(self, field: Field, item: Any) -> Named:
        if field.kind == "image":
            return read_image(item, self.max_megapixels)
        if field.kind == "row":
            return read_row(item, field.column_names)
        if field.kind == "text":
            return read_text(item, self.text_column, quotes=self.quotes)
        return read_array(item, field.shape, field.dtype)

    def _takes(self, *, upper: bool = False) -> str:
        names = named_fields(self.fields, "")
        shown = " ".join(f"{name}={_EXAMPLE.get(field.kind, '…')}" for name, field in names.items())
        text = (
            f"this run's model takes the fields {', '.join(names)}: {shown}; a mapping of them, a"
            " .csv file with these columns, or a .jsonl file."
        )
        return f"T{text[1:]}" if upper else text

    def _mappings(self, text: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Returns the examples of a file, or of a JSON object, each with its place."""
        file = expanded(text)
        lower = text.lower()
        if text.lstrip().startswith("{"):
            return [("", self._parsed(text, text[:80]))]
        if not os.path.isfile(file):
            missing = lower.endswith((*TABLES, *_JSON_LINES, ".json"))
            what = f"There is no file {text}" if missing else repr(text[:200])
            raise DataError(f"{what}: {self._takes()}")
        if lower.endswith(TABLES):
            names = list(named_fields(self.fields, ""))
            rows = read_rows(file, names=names, quotes=self.quotes, key="INPUT")
            if lacking := [name for name in names if name not in rows.header]:
                raise DataError(
                    f"{file} has no column {', '.join(map(repr, lacking))}. Its columns:"
                    f" {', '.join(rows.header)}. {self._takes(upper=True)}"
                )
            if others := [name for name in rows.header if name not in names]:
                print(f"{file}: not used: {', '.join(others)}", file=sys.stderr)
            columns = [rows.column(name) for name in names]
            return [
                (f"{file}:{rows.lines[i]}", dict(zip(names, cells, strict=True)))
                for i, cells in enumerate(zip(*columns, strict=True))
            ]
        if lower.endswith((*_JSON_LINES, ".json")):
            return self._of_json_lines(file)
        raise DataError(f"{file}: {self._takes()}")

    def _of_json_lines(self, file: Path) -> list[tuple[str, Mapping[str, Any]]]:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} cannot be read: {first_line(error)}") from error
        return [
            (f"{file}:{number}", self._parsed(line, f"{file}:{number}"))
            for number, line in enumerate(lines, 1)
            if line.strip()
        ]

    def _parsed(self, text: str, where: str) -> Mapping[str, Any]:
        try:
            value = json.loads(text)
        except ValueError as error:
            raise DataError(f"{where}: this is no JSON: {first_line(error)}") from error
        if not isinstance(value, Mapping):
            raise DataError(f"{where}: expected a JSON object. {self._takes(upper=True)}")
        return value

    def _example(self, item: Mapping[str, Any], where: str = "") -> tuple[Any, Any]:
        """Returns the name and the raw fields of an example."""
        fields = named_fields(self.fields, "")
        lacking = [name for name in fields if name not in item]
        if lacking:
            has = ", ".join(map(str, item)) or "nothing"
            raise DataError(
                f"{where + ': ' if where else ''}there is no {', '.join(map(repr, lacking))}."
                f" Given: {has}. {self._takes(upper=True)}"
            )
        if others := [str(name) for name in item if name not in fields]:
            print(f"{where + ': ' if where else ''}not used: {', '.join(others)}", file=sys.stderr)
        raw, shown = {}, {}
        for name, field in fields.items():
            try:
                found = self._read_value(field, _beside(item[name], where, field))
            except DataError as error:
                raise DataError(f"{where + ': ' if where else ''}{name}: {error}") from error
            if len(found) != 1:
                raise DataError(
                    f"{name}: expected one example. Received: {len(found)}. Several examples: a"
                    " .csv or .jsonl file."
                )
            shown[name], raw[name] = found[0]
        return where or " ".join(f"{name}={value}" for name, value in shown.items()), raw


_EXAMPLE = {"image": "cat.png", "text": '"a text"', "row": "1.5,2", "array": "x.npy"}


def _beside(value: Any, where: str, field: Field) -> Any:
    """Returns the path to a file that a table names relative to itself."""
    if field.kind not in ("image", "array") or not where or not isinstance(value, str):
        return value
    beside = Path(where.rpartition(":")[0]).parent / value
    return str(beside) if not os.path.isfile(expanded(value)) and beside.is_file() else value
