"""Texts with labels from a CSV or TSV file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from kx.contracts.examples import Examples
from kx.contracts.specs import DataIssue, Spec
from kx.data.sources.delimited import Rows, read_rows
from kx.data.sources.labels import alike, class_targets
from kx.errors import DataError
from kx.paths import expanded


def text_csv(
    path: str,
    *,
    text: str = "text",
    label: str | list[str] = "label",
    label_separator: str | None = None,
    test_path: str | None = None,
    quotes: bool = True,
) -> Examples:
    """Loads texts with labels from a CSV or TSV file with a header line.

    Args:
        path: Path to the file; `.tsv` is split at tabs; `.gz`, `.bz2` and `.xz` are decompressed.
        text: Name of the column of the text. Defaults to `"text"`.
        label: Name of the column of the label (any words or numbers; each is a class), or a list
            of columns of 0 and 1, for several labels at once. Defaults to `"label"`.
        label_separator: Separator of several labels in one column, such as `"|"`. Defaults to
            None: one label for each text.
        test_path: Path to a second file for the test split. Defaults to None: the test split is
            taken from the first file.
        quotes: Whether a quotation mark at the beginning of a cell quotes it. Defaults to True.

    Returns:
        Examples that are strings; a tokenizer makes numbers of them.

    Raises:
        DataError: If the file or a column is missing, a cell is empty, or a line is ambiguous.
    """
    several = label_separator is not None  # then an empty cell is an example without a label
    read = partial(_read, text=text, label=label, quotes=quotes, empty_labels=several)
    table = read(path)
    num_own, issues = len(table.texts), list(table.issues)
    if test_path is not None:
        other = read(test_path, key="data.test_path")
        issues += other.issues
        table = table.followed_by(other)
    _refuse_own_answers(path, test_path, text, label)
    targets, spec = class_targets(table.labels, label, label_separator, table.where)
    if isinstance(label, str) and spec.shape == ():
        issues += alike(spec.class_names or (), Counter(table.labels[label]), Path(path).name)
    everything = np.arange(len(targets))
    return Examples(
        table.texts,
        targets,
        Spec((), "string", kind="text"),
        spec,
        kind="text",
        name=Path(path).name.split(".")[0],
        source=str(expanded(path).absolute()),
        own_splits={"train": everything[:num_own], "test": everything[num_own:]}
        if test_path is not None
        else {},
        columns=table.column,
        issues=tuple(issues),
        identity=([str(one) for one in table.texts], targets),
    )


@dataclass(frozen=True)
class _Texts:
    """Holds texts with the cells of their labels.

    Args:
        texts: Text of each row.
        labels: Column name to cells, without spaces around them.
        places: Place of each row, for messages.
        issues: Issues of the file.
        rows: All columns of the file.
        num_others: Number of rows of the second file, the test split.
    """

    texts: list[str]
    labels: dict[str, list[str]]
    places: list[str]
    issues: tuple[DataIssue, ...]
    rows: Rows
    num_others: int = 0

    def followed_by(self, other: _Texts) -> _Texts:
        labels = {name: cells + other.labels[name] for name, cells in self.labels.items()}
        return replace(
            self,
            texts=self.texts + other.texts,
            labels=labels,
            places=self.places + other.places,
            num_others=len(other.texts),
        )

    def where(self, row: int) -> str:
        return self.places[row]

    def column(self, name: str) -> list[str]:
        """Returns the cells of a column for a split; the test file gets a placeholder."""
        cells = [cell.strip() for cell in self.rows.column(name, "split.column")]
        _refuse_empty(self.rows, name, cells)
        return cells + cells[:1] * self.num_others


def _read(
    path: str,
    text: str,
    label: str | list[str],
    *,
    key: str = "data.path",
    quotes: bool,
    empty_labels: bool = False,
) -> _Texts:
    """Reads the columns of texts and labels, and refuses empty labels."""
    names = [label] if isinstance(label, str) else label
    keys = {**dict.fromkeys(names, "data.label"), text: "data.text"}
    rows = read_rows(path, keys, quotes=quotes, key=key)
    labels = {name: [cell.strip() for cell in rows.column(name)] for name in names}
    for name, cells in labels.items() if not empty_labels else ():
        _refuse_empty(rows, name, cells)
    texts = rows.column(text)
    places = [rows.where(row) for row in range(len(texts))]
    return _Texts(texts, labels, places, tuple(_doubts(rows, texts)), rows)


def _refuse_empty(rows: Rows, name: str, cells: Sequence[str]) -> None:
    empty = [row for row, cell in enumerate(cells) if not cell]
    if empty:
        raise DataError(
            f"{rows.where(empty[0])}: column {name!r} is empty, in {len(empty)} of"
            f" {len(cells)} rows. Fill these cells or remove the rows."
        )


def _doubts(rows: Rows, texts: Sequence[str]) -> Iterator[DataIssue]:
    """Yields issues of a file that may be meant in another way than it is read."""
    name = rows.path.name
    empty = [row for row, text in enumerate(texts) if not text.strip()]
    if empty:
        first = rows.lines[empty[0]]
        yield DataIssue(name, "kept", f"{len(empty):,} empty texts, the first in line {first}")
    longest = max(range(len(texts)), key=lambda row: rows.num_lines[row])
    if rows.num_lines[longest] > 1:
        count = sum(number > 1 for number in rows.num_lines)
        yield DataIssue(
            name, "kept", f"{count:,} rows have a quoted cell of several lines; the longest has"
            f" {rows.num_lines[longest]} lines, from line {rows.lines[longest]} on",
        )  # fmt: skip


def _refuse_own_answers(
    path: str, test_path: str | None, text: str, label: str | list[str]
) -> None:
    """Refuses the training file as the test file, and the text as its own label."""
    if test_path is not None and os.path.samefile(expanded(path), expanded(test_path)):
        raise DataError(
            "data.test_path is the file of data.path: the model would be tested by what it was"
            " trained on. Leave it out (split.test_fraction), or name another."
        )
    if text == label or (isinstance(label, list) and text in label):
        raise DataError(f"data.text and data.label are one column, {text!r}.")
