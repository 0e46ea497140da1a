"""Pairs of texts, such as sentences and their translations."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import numpy as np

from kx.contracts.examples import SPLITS, Examples
from kx.contracts.specs import DataIssue, Spec
from kx.data.sources.delimited import Rows, read_rows
from kx.data.sources.text.labelled import (
    KEYS,
    Copies,
    plain_hash,
    refuse_own_answers,
    without_copies,
)
from kx.data.sources.text.numbers import number_pairs
from kx.errors import DataError
from kx.paths import expanded


def text_pairs(
    path: str | None = None,
    *,
    source: str = "source",
    target: str = "target",
    validation_path: str | None = None,
    test_path: str | None = None,
    encoding: str = "auto",
    quotes: bool = True,
    copies: Copies = "kept",
) -> Examples:
    """Loads pairs of texts from a CSV or TSV file with a header line.

    Pairs of one source are in one split: a source may have several targets.

    Args:
        path: Path to the file; `.tsv` is split at tabs; `.gz`, `.bz2` and `.xz` are decompressed.
            Defaults to None: numbers in English and in Chinese words.
        source: Name of the column of the texts that are given. Defaults to `"source"`.
        target: Name of the column of the texts that are written. Defaults to `"target"`.
        validation_path: Path to a file for the validation split. Defaults to None: it is taken
            from the first file.
        test_path: Path to a file for the test split. Defaults to None: it is taken from the first
            file.
        encoding: Encoding of the files. Defaults to `"auto"`: UTF-8, that of a byte order mark,
            or GB18030 if a file is not UTF-8 and reads as Chinese.
        quotes: Whether a quotation mark at the beginning of a cell quotes it. Defaults to True.
        copies: `"kept"`, or `"one_split"`: of sources in several splits of their own, which differ
            in nothing but case, spaces and punctuation, those in the last split are kept. Defaults
            to `"kept"`.

    Returns:
        Examples whose inputs and targets are strings; tokenizers make numbers of them.

    Raises:
        DataError: If a file or a column is missing, or a text is empty.
    """
    if path is None:
        named = {"source": source, "target": target}
        others = {key: name for key, name in named.items() if name != key}
        _refuse_ignored(validation_path=validation_path, test_path=test_path, **others)
        return _numbers()
    files = {"train": path, "validation": validation_path, "test": test_path}
    given = {part: file for part, file in files.items() if file is not None}
    refuse_own_answers(given, source, target, ("data.source", "data.target"))
    columns = {source: "data.source", target: "data.target"}
    parts = {
        part: read_rows(file, columns, quotes=quotes, key=KEYS[part], encoding=encoding)
        for part, file in given.items()
    }
    names = [part for part in SPLITS if part in parts]
    sources, targets = (
        list(itertools.chain.from_iterable(_texts(parts[part], name, key) for part in names))
        for name, key in columns.items()
    )
    ends = np.cumsum([0, *(len(parts[part].cells) for part in names)])
    splits = {part: np.arange(*ends[i : i + 2]) for i, part in enumerate(names)}
    contents = np.array([plain_hash(text) for text in sources], dtype=object)
    issues: list[DataIssue] = [issue for part in names for issue in parts[part].issues]
    if copies == "one_split":
        splits = without_copies(splits, contents, issues)
    own = splits if len(splits) > 1 else {}
    return Examples(
        sources,
        targets,
        Spec((), "string", kind="text"),
        Spec((), "string", kind="text"),
        kind="text",
        name=Path(path).name.split(".")[0],
        source=str(expanded(path).absolute()),
        own_splits=own,
        contents=None if own else contents,
        copies=contents if own and copies == "kept" else None,
        columns=partial(_column, parts["train"], len(sources)),
        issues=tuple(issues),
        identity=(sources, targets),
    )


def _refuse_ignored(**given: str | None) -> None:
    for key, value in given.items():
        if value is not None:
            raise DataError(
                f"data.{key}={value} would be ignored: data.path=FILE names no file to train on."
            )


def _numbers() -> Examples:
    english, chinese = number_pairs()
    spec = Spec((), "string", kind="text")
    return Examples(
        english, chinese, spec, spec, kind="text", name="numbers", source="written by kx",
        contents=np.array(english, dtype=object),
    )  # fmt: skip


def _texts(rows: Rows, name: str, key: str) -> list[str]:
    """Returns the cells of a column, none of them empty."""
    cells = [cell.strip() for cell in rows.column(name)]
    empty = [row for row, cell in enumerate(cells) if not cell]
    if empty:
        raise DataError(
            f"{rows.where(empty[0])}: column {name!r} ({key}) is empty, in {len(empty)} of"
            f" {len(cells)} rows. A pair has two texts: fill these cells or remove the rows."
        )
    return cells


def _column(train: Rows, count: int, name: str) -> list[str]:
    cells = [cell.strip() for cell in train.column(name, "split.column")]
    return cells + cells[:1] * (count - len(cells))
