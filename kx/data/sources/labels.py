"""Classes of the words in columns: one for each example, or several."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kx.contracts.specs import DataIssue, Spec
from kx.errors import DataError

_INVISIBLE = ("Cf", "Cc")  # Unicode categories: zero-width spaces, direction marks …


def class_targets(
    columns: Mapping[str, Sequence[str]],
    label: str | list[str],
    separator: str | None,
    where: Callable[[int], str],
) -> tuple[np.ndarray, Spec]:
    """Returns targets and their spec.

    Args:
        columns: Column name to cells, without spaces around them.
        label: Name of the column of the class, or a list of columns of 0 and 1.
        separator: Separator of several labels in one column, or None for one class in each row.
        where: Function from the number of a row to its place, for messages.

    Returns:
        Array of int32 class indices of shape `(num_rows,)`, or of float32 0 and 1 of shape
        `(num_rows, num_labels)`, and its spec.

    Raises:
        DataError: If a column has too many values to be classes, or other values than 0 and 1
            where it is in a list.
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


def number_targets(
    columns: Mapping[str, Sequence[str]], label: str | list[str], where: Callable[[int], str]
) -> tuple[np.ndarray, Spec]:
    """Returns numbers to predict, and their spec.

    Args:
        columns: Column name to cells, without spaces around them.
        label: Name of the column of the number, or a list of columns.
        where: Function from the number of a row to its place, for messages.

    Returns:
        Array of float32 of shape `(num_rows,)`, or `(num_rows, num_columns)`, and its spec.

    Raises:
        DataError: If a cell is no finite number.
    """
    names = [label] if isinstance(label, str) else label
    values = np.empty((len(columns[names[0]]), len(names)), "float32")
    for place, name in enumerate(names):
        for row, cell in enumerate(columns[name]):
            number = _number(cell)
            if number is None or abs(number) > np.finfo("float32").max:
                raise DataError(
                    f"{where(row)}: data.numeric=true: expected a number in column {name!r}."
                    f" Received: {cell!r}."
                )
            values[row, place] = number
    if isinstance(label, str):
        return values[:, 0], Spec((), "float32", column_names=(label,))
    return values, Spec((len(label),), "float32", column_names=tuple(label))


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
    """Returns the finite number that a text is, or None if it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    # Sorting with NaN, which compares as neither less nor greater, would depend on the process.
    return number if math.isfinite(number) else None


def natural(name: str) -> tuple[int, float, str]:
    """Returns a sort key that orders numbers by value, before words.

    Args:
        name: Name of a class.

    Example:
    >>> sorted(["b", "10", "nan", "9"], key=natural)
    ['9', '10', 'b', 'nan']
    """
    number = _number(name)
    return (1, 0.0, name) if number is None else (0, number, name)


_MISSING = ("nan", "null", "none", "na", "n/a", "<na>", "#n/a", "missing", "?")


def alike(class_names: Sequence[str], counts: Counter[str], source: str) -> list[DataIssue]:
    """Returns issues of class names that look like missing labels, or like one another.

    Names are alike if they differ only in letter case, width or form of the characters, or in
    spaces, or are the same number.

    Args:
        class_names: Name of each class.
        counts: Class name to number of examples.
        source: Name of the file or folder of the classes.

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
