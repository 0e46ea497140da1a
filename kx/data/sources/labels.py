"""From words in columns to classes: one each, or several."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kx.contracts.specs import DataIssue, Spec
from kx.errors import DataError

_INVISIBLE = ("Cf", "Cc")  # categories of Unicode: zero-width spaces, marks of direction …


def class_targets(
    columns: Mapping[str, Sequence[str]],
    label: str | list[str],
    separator: str | None,
    where: Callable[[int], str],
) -> tuple[np.ndarray, Spec]:
    """Returns targets and their spec.

    Args:
        columns: name to cells, spaces about them taken away.
        label: the column of the class, or a list of columns of 0 and 1.
        separator: splits one column into several labels. None is one class each.
        where: function from the number of a row to where it stands.

    Raises:
        DataError: for what are no classes.
    """
    if isinstance(label, list):
        hot = np.stack([_zeros_and_ones(name, columns[name], where) for name in label], axis=1)
        return hot, Spec((len(label),), "float32", class_names=tuple(label))
    cells = columns[label]
    if separator is not None:
        given = [{word.strip() for word in cell.split(separator)} - {""} for cell in cells]
        names = sorted(set().union(*given))
        hot = np.array([[name in words for name in names] for words in given], dtype="float32")
        return hot, Spec((len(names),), "float32", class_names=tuple(names))
    names = sorted(set(cells), key=natural)
    if len(names) > max(100, len(cells) // 2):
        raise DataError(
            f"data.label: column {label!r} has {len(names)} different values in {len(cells)} rows:"
            " is this the column of the classes?"
        )
    index = {name: i for i, name in enumerate(names)}
    classes = np.array([index[cell] for cell in cells], dtype="int32")
    return classes, Spec((), "int32", class_names=tuple(names))


def _zeros_and_ones(name: str, cells: Sequence[str], where: Callable[[int], str]) -> np.ndarray:
    values = np.empty(len(cells), "float32")
    for row, cell in enumerate(cells):
        number = _number(cell)
        if number not in (0.0, 1.0):
            raise DataError(
                f"{where(row)}: data.label: a list names columns of 0 and 1. Column {name!r} has"
                f" {cell!r}."
            )
        values[row] = number
    return values


def _number(text: str) -> float | None:
    """Returns a finite number, or None for a word."""
    try:
        number = float(text)
    except ValueError:
        return None
    # An order by NaN, which is neither less nor more, would be another in each process.
    return number if math.isfinite(number) else None


def natural(name: str) -> tuple[int, float, str]:
    """Returns what sorts numbers as numbers, then words.

    Example:
    >>> sorted(["b", "10", "nan", "9"], key=natural)
    ['9', '10', 'b', 'nan']
    """
    number = _number(name)
    return (1, 0.0, name) if number is None else (0, number, name)


_MISSING = ("nan", "null", "none", "na", "n/a", "<na>", "#n/a", "missing", "?")


def alike(class_names: Sequence[str], counts: Counter[str], source: str) -> list[DataIssue]:
    """Tells classes whose names a person may take for one: by letter case, width or form.

    Args:
        class_names: of the data.
        counts: name to the number of its examples.
        source: where they come from.

    Example:
    >>> alike(["Pos", "neg", "pos"], Counter(Pos=1, neg=7, pos=9), "x.csv")[0].reason
    "two classes with like names: 'Pos' (1 examples), 'pos' (9)"
    """
    same = defaultdict(list)
    for name in class_names:
        same[_plainest(name)].append(name)
    issues = [
        DataIssue(source, "kept", f"a class {name!r} ({counts[name]:,} examples): missing labels?")
        for name in class_names
        if name.casefold() in _MISSING
    ]
    for names in same.values():
        if len(names) > 1:
            first, *others = (f"{name!r} ({counts[name]:,})" for name in names)
            told = ", ".join([first.replace(")", " examples)"), *others])
            count = {2: "two", 3: "three"}.get(len(names), str(len(names)))
            text = f"{count} classes with like names: {told}"
            issues.append(DataIssue(source, "kept", text))
    return issues


def _plainest(name: str) -> str | float:
    text = unicodedata.normalize("NFKC", name).casefold()
    text = "".join(c for c in text if unicodedata.category(c) not in _INVISIBLE)
    number = _number(text)
    return " ".join(text.split()) if number is None else number
