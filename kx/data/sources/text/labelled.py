"""Examples of texts with labels, from whatever they were read."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from kx.contracts.examples import SPLITS, Examples
from kx.contracts.fields import map_fields
from kx.contracts.specs import DataIssue, Spec
from kx.data.sources.labels import alike, class_targets, number_targets
from kx.errors import DataError
from kx.paths import expanded

KEYS = {"train": "data.path", "validation": "data.validation_path", "test": "data.test_path"}
Copies = Literal["kept", "one_split"]
_BETWEEN = "\x1f"  # the texts of several fields: no text has it
# Spaces, and marks that are not part of a number.
_MARKS = re.compile(r"\s|(?<!\d)[.,]|[.,](?!\d)|[!?…'\"’‘“”。、]")


@dataclass(frozen=True)
class Texts:
    """Holds the texts of one split, or of all, with the cells of their labels.

    Args:
        texts: Texts, or tuples of the texts of several fields.
        labels: Column name to cells, without spaces around them.
        places: Place of each text, for messages.
        issues: Issues of the file. Defaults to none.
        column: Function from the name of a further column to its cells. Defaults to None.
    """

    texts: list[Any]
    labels: Mapping[str, list[str]]
    places: list[str]
    issues: tuple[DataIssue, ...] = field(default=())
    column: Callable[[str], list[str]] | None = None


def labelled(
    parts: Mapping[str, Texts],
    *,
    label: str | list[str],
    name: str,
    source: str,
    text: str | list[str] = "text",
    numeric: bool = False,
    label_separator: str | None = None,
    classes: Sequence[str] | None = None,
    copies: Copies = "kept",
) -> Examples:
    """Returns examples of texts with classes, labels or numbers.

    Texts are copies if they differ in nothing but case, spaces, punctuation marks and the width of
    characters. The number of copies of training texts in other splits is told.

    Args:
        parts: Split name to texts; `train` alone is divided by the option of `split`.
        label: Name of the column of the class, or a list of columns of 0 and 1.
        name: Name of the data set.
        source: Where it came from.
        text: Name of the text, or names of several fields, which are the inputs by name. Defaults
            to `"text"`.
        numeric: Whether the label is a number to predict. Defaults to False.
        label_separator: Separator of several labels in one column. Defaults to None.
        classes: Names of the classes that are kept. Defaults to None: all.
        copies: `"kept"`, or `"one_split"`: copies are in one split alone; of splits of the
            source's own, in the last that has one. Defaults to `"kept"`.

    Raises:
        DataError: If the labels cannot be read, or a split has no text.
    """
    if numeric and (label_separator is not None or classes is not None):
        given = "data.label_separator" if label_separator is not None else "data.classes"
        raise DataError(f"{given} is of classes, and data.numeric=true predicts a number.")
    several = label_separator is not None
    kept = {
        part: _of_classes(parts[part], label, classes, part, several)
        for part in SPLITS
        if part in parts
    }
    texts = [text for one in kept.values() for text in one.texts]
    places = [place for one in kept.values() for place in one.places]
    names = [label] if isinstance(label, str) else label
    labels = {key: [cell for one in kept.values() for cell in one.labels[key]] for key in names}
    issues = [issue for one in kept.values() for issue in one.issues]
    if numeric:
        targets, spec = number_targets(labels, label, places.__getitem__)
    else:
        targets, spec = class_targets(labels, label, label_separator, places.__getitem__)
    if not numeric and isinstance(label, str) and spec.shape == ():
        issues += alike(spec.class_names or (), Counter(labels[label]), name)
    ends = np.cumsum([0, *(len(one.texts) for one in kept.values())])
    splits = {part: np.arange(*ends[i : i + 2]) for i, part in enumerate(kept)}
    contents = np.array([_content(text) for text in texts], dtype=object)
    told: list[DataIssue] = _empty(texts, places)
    if copies == "one_split":
        splits = without_copies(splits, contents, told)
    own = {part: splits[part] for part in SPLITS if part in splits} if len(splits) > 1 else {}
    inputs: Any = texts
    if isinstance(text, list):
        inputs = {one: [text[place] for text in texts] for place, one in enumerate(text)}
    return Examples(
        inputs,
        targets,
        map_fields(lambda _: Spec((), "string", kind="text"), inputs),
        spec,
        kind=map_fields(lambda _: "text", inputs),
        name=name,
        source=source,
        own_splits=own,
        contents=contents if copies == "one_split" else None,
        copies=contents if copies == "kept" else None,
        columns=lambda column: _column(kept, column),
        issues=(*issues, *told),
        identity=(list(map(_joined, texts)), targets),
    )


def _content(text: Any) -> str:
    """Returns a hash of a text, or of the texts of several fields, each by itself."""
    return plain_hash(text) if isinstance(text, str) else " ".join(map(plain_hash, text))


def _joined(text: Any) -> str:
    """Returns a text, or the texts of several fields as one."""
    return text if isinstance(text, str) else _BETWEEN.join(text)


def plain_hash(text: str) -> str:
    """Returns a hash that is equal for texts that differ in case, spaces and punctuation marks.

    Args:
        text: Text.

    Example:
    >>> plain_hash("It's  GOOD!") == plain_hash("its good")
    True
    """
    whole = unicodedata.normalize("NFKC", text).casefold()
    plain = _MARKS.sub("", whole)
    return hashlib.md5((plain or whole).encode(errors="replace"), usedforsecurity=False).hexdigest()


def without_copies(
    splits: Mapping[str, np.ndarray], contents: np.ndarray, issues: list[DataIssue]
) -> dict[str, np.ndarray]:
    """Returns the source's splits, each without texts of which a later split has a copy.

    Args:
        splits: Split name to positions.
        contents: Hash of each text that is equal for copies.
        issues: List to which what was left out is added.
    """
    found = dict(splits)
    order = [part for part in SPLITS if part in splits]
    for place, part in enumerate(order):
        for other in order[place + 1 :]:
            there = set(contents[found[other]])
            same = np.array([content in there for content in contents[found[part]]], bool)
            if same.any():
                found[part] = found[part][~same]
                text = f"{int(same.sum()):,} of {len(same):,} texts are in {other}, too"
                issues.append(DataIssue(part, "left out", text))
    return found


def _empty(texts: Sequence[Any], places: Sequence[str]) -> list[DataIssue]:
    empty = [
        row
        for row, text in enumerate(texts)
        if not all(one.strip() for one in ([text] if isinstance(text, str) else text))
    ]
    if not empty:
        return []
    reason = f"{len(empty):,} empty texts, the first in {places[empty[0]]}"
    return [DataIssue("texts", "kept", reason)]


def _of_classes(
    texts: Texts,
    label: str | list[str],
    names: Sequence[str] | None,
    part: str,
    several: bool,
) -> Texts:
    """Returns the texts of some classes, or all of them."""
    if not texts.texts:
        raise DataError(f"The {part} split has no text.")
    if names is None:
        return texts
    if several or not isinstance(label, str):
        raise DataError("data.classes: these texts have several labels, not one class each.")
    cells = texts.labels[label]
    if absent := sorted(set(names) - set(cells)):
        raise DataError(
            f"data.classes: no text of the {part} split has the class {', '.join(absent)}."
            f" Received: {', '.join(sorted(set(cells))[:20])}."
        )
    at = [row for row, cell in enumerate(cells) if cell in set(names)]
    left = Counter(cell for cell in cells if cell not in set(names))
    issues = [
        DataIssue(f"{part}: {cell}", "left out", f"{count:,} texts: no class of data.classes")
        for cell, count in sorted(left.items())
    ]

    def chosen(cells: Sequence[Any]) -> list[Any]:
        return [cells[row] for row in at]

    column = texts.column
    return Texts(
        chosen(texts.texts),
        {label: chosen(cells)},
        chosen(texts.places),
        (*texts.issues, *issues),
        None if column is None else lambda name: chosen(column(name)),
    )


def _column(parts: Mapping[str, Texts], name: str) -> list[str]:
    """Returns the cells of a column for a split; other parts than `train` get a placeholder."""
    train = parts["train"]
    if train.column is None:
        raise DataError(f"split.column={name}: these texts have no columns.")
    cells = train.column(name)
    others = sum(len(one.texts) for part, one in parts.items() if part != "train")
    return cells + cells[:1] * others


def refuse_own_answers(
    files: Mapping[str, str],
    text: str | list[str],
    label: str | list[str],
    keys: tuple[str, str] = ("data.text", "data.label"),
) -> None:
    """Refuses one file for two splits, and the text as its own label.

    Args:
        files: Split name to path.
        text: Name of the column of the text, or names.
        label: Name of the column of the label, or names.
        keys: Keys of the config that name both. Defaults to `("data.text", "data.label")`.

    Raises:
        DataError: If a model would be judged by what it was trained on.
    """
    for one, other in itertools.combinations(files, 2):
        paths = [expanded(files[part]) for part in (one, other)]
        if all(map(os.path.isfile, paths)) and os.path.samefile(*paths):
            raise DataError(
                f"{KEYS[other]} is the file of {KEYS[one]}: the model would be judged by what it"
                f" was trained on. Leave it out (split.{other}_fraction), or name another."
            )
    texts, labels = ([one] if isinstance(one, str) else one for one in (text, label))
    if both := [one for one in texts if one in labels]:
        raise DataError(f"{keys[0]} and {keys[1]} are one column, {both[0]!r}.")
    if not texts or len(set(texts)) < len(texts):
        raise DataError(
            f"{keys[0]}: expected a column, or several different ones. Received: {texts}."
        )
