"""Texts with labels from a CSV or TSV file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kx.contracts.examples import Examples
from kx.contracts.specs import DataIssue
from kx.data.sources.delimited import Rows, read_rows
from kx.data.sources.text.labelled import KEYS, Copies, Texts, labelled, refuse_own_answers
from kx.errors import DataError
from kx.paths import expanded


def text_csv(
    path: str,
    *,
    text: str | list[str] = "text",
    label: str | list[str] = "label",
    numeric: bool = False,
    label_separator: str | None = None,
    validation_path: str | None = None,
    test_path: str | None = None,
    classes: list[str] | None = None,
    encoding: str = "auto",
    copies: Copies = "kept",
    quotes: bool = True,
) -> Examples:
    """Loads texts with labels from a CSV or TSV file with a header line.

    Args:
        path: Path to the file; `.tsv` is split at tabs; `.gz`, `.bz2` and `.xz` are decompressed.
        text: Name of the column of the text, or a list of columns, each of which is a field of
            the input, such as `[premise, hypothesis]`. Defaults to `"text"`.
        label: Name of the column of the label (any words or numbers; each is a class), or a list
            of columns of 0 and 1, for several labels at once. Defaults to `"label"`.
        numeric: Whether the label is a number to predict (`task=regression`), or a list of
            columns of numbers. Defaults to False.
        label_separator: Separator of several labels in one column, such as `"|"`. Defaults to
            None: one label for each text.
        validation_path: Path to a file for the validation split. Defaults to None: it is taken
            from the first file.
        test_path: Path to a file for the test split. Defaults to None: it is taken from the first
            file.
        classes: Names of the classes that are kept. Defaults to None: all.
        encoding: Encoding of the files. Defaults to `"auto"`: UTF-8, that of a byte order mark,
            or GB18030 if a file is not UTF-8 and reads as Chinese.
        copies: `"kept"`, or `"one_split"`: texts that differ in nothing but case, spaces and
            punctuation are in one split alone. Defaults to `"kept"`.
        quotes: Whether a quotation mark at the beginning of a cell quotes it. Defaults to True.

    Returns:
        Examples that are strings; a tokenizer makes numbers of them.

    Raises:
        DataError: If the file or a column is missing, a cell is empty, or a line is ambiguous.
    """
    several = label_separator is not None  # then an empty cell is an example without a label
    files = {"train": path, "validation": validation_path, "test": test_path}
    given = {part: file for part, file in files.items() if file is not None}
    refuse_own_answers(given, text, label)
    parts = {
        part: _read(
            file, text, label, key=KEYS[part], quotes=quotes, empty_labels=several,
            encoding=encoding,
        )
        for part, file in given.items()
    }  # fmt: skip
    return labelled(
        parts,
        text=text,
        label=label,
        numeric=numeric,
        label_separator=label_separator,
        classes=classes,
        copies=copies,
        name=Path(path).name.split(".")[0],
        source=str(expanded(path).absolute()),
    )


def _read(
    path: str,
    text: str | list[str],
    label: str | list[str],
    *,
    key: str = "data.path",
    quotes: bool,
    empty_labels: bool = False,
    encoding: str,
) -> Texts:
    """Reads the columns of texts and labels, and refuses empty labels."""
    names = [label] if isinstance(label, str) else label
    fields = [text] if isinstance(text, str) else text
    keys = {**dict.fromkeys(names, "data.label"), **dict.fromkeys(fields, "data.text")}
    rows = read_rows(path, keys, quotes=quotes, key=key, encoding=encoding)
    labels = {name: [cell.strip() for cell in rows.column(name)] for name in names}
    for name, cells in labels.items() if not empty_labels else ():
        _refuse_empty(rows, name, cells)
    columns = [rows.column(one) for one in fields]
    texts: list[Any] = columns[0] if isinstance(text, str) else list(zip(*columns, strict=True))
    places = [rows.where(row) for row in range(len(texts))]
    issues = (*rows.issues, *_doubts(rows, texts))
    return Texts(texts, labels, places, issues, partial(_column, rows))


def _column(rows: Rows, name: str) -> list[str]:
    cells = [cell.strip() for cell in rows.column(name, "split.column")]
    _refuse_empty(rows, name, cells)
    return cells


def _refuse_empty(rows: Rows, name: str, cells: Sequence[str]) -> None:
    empty = [row for row, cell in enumerate(cells) if not cell]
    if empty:
        raise DataError(
            f"{rows.where(empty[0])}: column {name!r} is empty, in {len(empty)} of"
            f" {len(cells)} rows. Fill these cells or remove the rows."
        )


def _doubts(rows: Rows, texts: Sequence[Any]) -> Iterator[DataIssue]:
    """Yields issues of a file that may be meant in another way than it is read."""
    name = rows.path.name
    longest = max(range(len(texts)), key=lambda row: rows.num_lines[row])
    if rows.num_lines[longest] > 1:
        count = sum(number > 1 for number in rows.num_lines)
        yield DataIssue(
            name, "kept", f"{count:,} rows have a quoted cell of several lines; the longest has"
            f" {rows.num_lines[longest]} lines, from line {rows.lines[longest]} on",
        )  # fmt: skip
