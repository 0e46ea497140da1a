"""Texts with labels from JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kx.contracts.examples import Examples
from kx.data.sources.delimited import find_file, read_text
from kx.data.sources.text.labelled import KEYS, Copies, Texts, labelled, refuse_own_answers
from kx.errors import DataError, did_you_mean, first_line
from kx.paths import expanded

_SEPARATOR = "\x1f"  # of several labels: no text has it


def jsonl(
    path: str,
    *,
    text: str | list[str] = "text",
    label: str = "label",
    numeric: bool = False,
    validation_path: str | None = None,
    test_path: str | None = None,
    classes: list[str] | None = None,
    encoding: str = "auto",
    copies: Copies = "kept",
) -> Examples:
    """Loads texts with labels from JSON lines: an object on each line.

    Args:
        path: Path to the file; `.gz`, `.bz2` and `.xz` are decompressed.
        text: Name of the text, or a list of names, each of which is a field of the input. Defaults
            to `"text"`.
        label: Name of the label: a word, a number, or true or false; or a list of words, for
            several labels at once. Defaults to `"label"`.
        numeric: Whether the label is a number to predict (`task=regression`). Defaults to False.
        validation_path: Path to a file for the validation split. Defaults to None: it is taken
            from the first file.
        test_path: Path to a file for the test split. Defaults to None: it is taken from the first
            file.
        classes: Names of the classes that are kept. Defaults to None: all.
        encoding: Encoding of the files. Defaults to `"auto"`: UTF-8, that of a byte order mark,
            or GB18030 if a file is not UTF-8 and reads as Chinese.
        copies: `"kept"`, or `"one_split"`: texts that differ in nothing but case, spaces and
            punctuation are in one split alone. Defaults to `"kept"`.

    Returns:
        Examples that are strings; a tokenizer makes numbers of them.

    Raises:
        DataError: If a file is missing, or a line is no object with a text and a label.
    """
    files = {"train": path, "validation": validation_path, "test": test_path}
    given = {part: file for part, file in files.items() if file is not None}
    refuse_own_answers(given, text, label)
    read = {part: _objects(file, KEYS[part], encoding) for part, file in given.items()}
    several = any(
        isinstance(one.get(label), list) for objects, *_ in read.values() for one in objects
    )
    parts = {part: _texts(*found, text, label, several) for part, found in read.items()}
    return labelled(
        parts, text=text, label=label, numeric=numeric,
        label_separator=_SEPARATOR if several else None, classes=classes,
        copies=copies, name=Path(path).name.split(".")[0], source=str(expanded(path).absolute()),
    )  # fmt: skip


def _objects(path: str, key: str, encoding: str) -> tuple[list[Mapping[str, Any]], list[str], Any]:
    """Returns the objects of a file, their places, and issues."""
    file = find_file(path, key)
    content, issues = read_text(file, encoding)
    objects: list[Mapping[str, Any]] = []
    places = []
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            found = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: this is no JSON: {first_line(error)}.") from error
        if not isinstance(found, dict):
            raise DataError(f"{where}: expected an object. Received: {line.strip()[:60]}")
        objects.append(found)
        places.append(where)
    return objects, places, issues


def _texts(
    objects: Sequence[Mapping[str, Any]],
    places: list[str],
    issues: Any,
    text: str | list[str],
    label: str,
    several: bool,
) -> Texts:
    texts: list[Any] = []
    labels = []
    fields = [text] if isinstance(text, str) else text
    wanted = [*((name, "data.text") for name in fields), (label, "data.label")]
    for one, where in zip(objects, places, strict=True):
        for key, named_by in wanted:
            if one.get(key) is None:
                hint = f"there is no {key!r} ({named_by}). {did_you_mean(key, one, 'Names')}"
                null = f"{key!r} ({named_by}) is null. Remove the line, or give it a value."
                raise DataError(f"{where}: {null if key in one else hint}")
        for name in fields:
            if not isinstance(one[name], str):
                raise DataError(f"{where}: {name!r} is no text (data.text): {one[name]!r}.")
        texts.append(one[text] if isinstance(text, str) else tuple(one[name] for name in fields))
        labels.append(_label(one[label], where, label, several))
    return Texts(texts, {label: labels}, places, issues, partial(_column, objects, places))


def _label(value: Any, where: str, label: str, several: bool) -> str:
    values = value if isinstance(value, list) else [value]
    if several is not isinstance(value, list) or any(isinstance(v, list | dict) for v in values):
        raise DataError(
            f"{where}: {label!r} (data.label): expected a {'list of words' if several else 'word'},"
            f" as on the other lines. Received: {value!r}."
        )
    cells = [str(one).strip() if not isinstance(one, bool) else str(one).lower() for one in values]
    if not several and not cells[0]:
        raise DataError(f"{where}: {label!r} (data.label) is empty.")
    return _SEPARATOR.join(cells)


def _column(objects: Sequence[Mapping[str, Any]], places: Sequence[str], name: str) -> list[str]:
    for one, where in zip(objects, places, strict=True):
        if one.get(name) is None:
            hint = did_you_mean(name, one, "Names")
            raise DataError(f"{where}: there is no {name!r} (split.column). {hint}")
    return [str(one[name]) for one in objects]
