"""Issues of the files and classes of a data set, printed and kept with the run."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kx.contracts.specs import Data, DataIssue, class_names_of

_SHOWN = 20
_UNEVEN = 3.0  # times as many examples of the largest class as of the smallest


def print_issues(data: Data) -> None:
    """Prints a table of the issues of a data set, at most the first 20, if there are any.

    Args:
        data: Data set.
    """
    if not data.issues:
        return
    order = {"left out": 0, "copy": 1, "converted": 2, "kept": 3}
    rows = sorted(data.issues, key=lambda item: order.get(item.what, len(order)))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("file", "", "why"):
        table.add_column(column, overflow="fold")
    for item in rows[:_SHOWN]:
        table.add_row(Text(item.file), item.what, Text(item.reason))
    Console().print(table)
    counts = Counter(item.what for item in data.issues)
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    if len(rows) > _SHOWN:
        told += f" (the first {_SHOWN} are shown; a run keeps all in data/issues.csv)"
    print(told)


def issues_csv(issues: Sequence[DataIssue]) -> str:
    """Returns issues as CSV with the columns `file,what,reason`.

    Args:
        issues: Issues of a data set.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "what", "reason"])
    writer.writerows([item.file, item.what, item.reason] for item in issues)
    return out.getvalue()


def issues_tags(data: Data) -> dict[str, str]:
    """Returns the number of issues of each kind as tags of a run: `kx.data.left_out`.

    Args:
        data: Data set.
    """
    counts = Counter(item.what for item in data.issues)
    return {f"kx.data.{what.replace(' ', '_')}": str(count) for what, count in counts.items()}


def class_lines(data: Data) -> list[str]:
    """Returns a line if a split lacks classes, and one if the training classes are uneven.

    Args:
        data: Data set.
    """
    counts, names = data.class_counts.get("train"), class_names_of(data.targets)
    if not counts or not names:
        return []
    lines = []
    for part, noun in (("train", "training"), ("validation", "validation"), ("test", "test")):
        if part not in data.class_counts:
            continue
        absent = [n for count, n in zip(data.class_counts[part], names, strict=True) if not count]
        if absent:
            told = ", ".join(absent[:5]) + (" …" if len(absent) > 5 else "")
            lines = [f"{len(absent)} of {len(names)} classes have no {noun} example: {told}"]
            break
    by_count = sorted(pair for pair in zip(counts, names, strict=True) if pair[0])
    (few, least), (many, most) = by_count[0], by_count[-1]
    if many >= _UNEVEN * few:
        lines.append(f"uneven classes: {many:,} of {most}, {few:,} of {least}")
    return lines
