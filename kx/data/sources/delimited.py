"""CSV and TSV files: read as Python's `csv` reads them, or refused with a line number.

Nothing is repaired: a reader that guesses (shifts a row, joins lines) leads to another model
than the user expects.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kx.contracts.specs import DataIssue
from kx.data.sources.encodings import decoded
from kx.errors import DataError, did_you_mean, first_line
from kx.paths import expanded

SEPARATORS = (",", ";", "\t")  # spreadsheets choose by the language
TABLES = (".csv", ".tsv", ".tab", ".gz", ".bz2", ".xz")  # suffixes
_LONGEST_CELL = 2**31 - 1
_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_NO_QUOTES = "If quotation marks are letters here as any other: data.quotes=false"


@dataclass(frozen=True)
class Rows:
    """Holds the rows of a file.

    Args:
        path: Path to the file.
        header: Names of the columns, without spaces around them.
        cells: Cells of each row, as many as the header has.
        lines: Line of the file on which each row begins, counted from 1.
        num_lines: Number of lines of each row: more than 1 if a quoted cell has several lines.
        issues: Issues of the file. Defaults to none.
    """

    path: Path
    header: tuple[str, ...]
    cells: list[list[str]]
    lines: list[int]
    num_lines: list[int]
    issues: tuple[DataIssue, ...] = ()

    def column(self, name: str, key: str = "") -> list[str]:
        """Returns the cells of a column.

        Args:
            name: Name of the column.
            key: Key of the config that names the column, for messages. Defaults to an empty
                string: none.

        Raises:
            DataError: If there is no such column, or more than one.
        """
        count = self.header.count(name)
        if count != 1:
            what = f"{count} columns" if count else "no column"
            hint = did_you_mean(name, self.header, "Columns")
            named = f" ({key})" if key else ""
            raise DataError(f"{self.path} has {what} {name!r}{named}. {'' if count else hint}")
        place = self.header.index(name)
        return [row[place] for row in self.cells]

    def where(self, row: int) -> str:
        """Returns the place of a row for messages: `reviews.csv, line 12`.

        Args:
            row: Index of the row.
        """
        return f"{self.path}, line {self.lines[row]}"


def find_file(path: str | Path, key: str) -> Path:
    """Returns the path of an existing file.

    Args:
        path: Path to the file; `~` is the home folder.
        key: Key of the config that names the file, for messages.

    Raises:
        DataError: If there is no such file.
    """
    file = expanded(path)
    if not os.path.isfile(file):  # False for an invalid name, too
        raise DataError(f"{key}: there is no file {file.absolute()}.")
    return file


def read_rows(
    path: str | Path,
    wanted: Mapping[str, str] | None = None,
    *,
    quotes: bool = True,
    key: str = "data.path",
    names: Sequence[str] | None = None,
    encoding: str | None = None,
) -> Rows:
    """Reads a table with a header line.

    Args:
        path: Path to the file; `.gz`, `.bz2` and `.xz` are decompressed.
        wanted: Required columns, each with the key of the config that names it. The separator is
            a tab in `.tsv`, else the first of comma, semicolon and tab with which they are found,
            or else the one with the most columns. Defaults to None: no column is required.
        quotes: Whether a quotation mark at the beginning of a cell quotes it. Defaults to True.
        key: Key of the config that names the file, for messages. Defaults to `"data.path"`.
        names: Names of the columns for a file whose first line consists of numbers. Defaults to
            None: the first line has the names.
        encoding: As in `kx.data.sources.encodings.decoded`. Defaults to None.

    Raises:
        DataError: If the file is ambiguous, with file and line: a row with more or fewer cells
            than the header (empty cells at its end do not count), a quotation mark without end,
            a quoted cell of several lines in a TSV, or text that is not UTF-8.
    """
    file = find_file(path, key)
    text, issues = read_text(file, encoding)
    if not text.strip():
        raise DataError(f"{file} is empty. Expected a header line, and rows.")
    packed = file.suffix.lower() in _OPENERS
    suffix = (Path(file.stem) if packed else file).suffix.lower()
    separators = ("\t",) if suffix in (".tsv", ".tab") else SEPARATORS
    separator = separators[0]
    if len(separators) > 1:
        heads = {mark: _header(text, mark, quotes) for mark in separators}
        known = set(wanted or names or ())
        there = [mark for mark, head in heads.items() if known and known <= set(head)]
        separator = there[0] if there else max(heads, key=lambda mark: len(heads[mark]))
    head = _header(text, separator, quotes)
    if names is not None and (set(names) <= set(head) or not all(map(is_number, head))):
        names = None  # the first line has the names
    elif names is not None and head in _counted_names(len(head)):
        raise DataError(
            f"{file}: the first line, {separator.join(head)}, may be a row, or numbers in place of"
            " names, as pandas writes them. Give the columns their names"
            f" ({', '.join(names)}), or leave the line out: to_csv(…, index=False, header=False)."
        )
    rows = replace(_parse(file, text, separator, quotes, names), issues=issues)
    for name, named_by in (wanted or {}).items():
        rows.column(name, named_by)
    if not rows.cells:
        raise DataError(f"{file} has a header line, but no row.")
    return rows


def read_text(file: Path, encoding: str | None = None) -> tuple[str, tuple[DataIssue, ...]]:
    """Returns the text of a file, decompressed and decoded, and an issue if that was a guess.

    Args:
        file: Path to the file; `.gz`, `.bz2` and `.xz` are decompressed.
        encoding: As in `kx.data.sources.encodings.decoded`. Defaults to None.

    Raises:
        DataError: If the file cannot be read or decoded.
    """
    opener = _OPENERS.get(file.suffix.lower(), open)
    try:
        with opener(file, "rb") as opened:  # type: ignore[operator]
            content = opened.read()
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{file} cannot be read: {first_line(error)}") from error
    return decoded(content, file, encoding)


def is_number(cell: str) -> bool:
    """Returns whether a cell is a number; infinity and NaN are numbers.

    Args:
        cell: Text of the cell.

    Example:
    >>> is_number(" -1.5e3"), is_number("1_000"), is_number("")
    (True, False, False)
    """
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _counted_names(count: int) -> list[list[str]]:
    return [[str(n + first) for n in range(count)] for first in (0, 1)]


def _header(text: str, separator: str, quotes: bool) -> list[str]:
    """Returns the first row that is not blank, or an empty list if it cannot be parsed."""
    lines = io.StringIO(text, newline="")
    rows = csv.reader(lines, delimiter=separator, quoting=_quoting(quotes))
    try:
        row = next((row for row in rows if len(row) > 1 or "".join(row).strip()), [])
    except csv.Error:
        return []
    return [name.strip() for name in row]


def _quoting(quotes: bool) -> Literal[0, 3]:
    return csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE


def _parse(
    file: Path, text: str, separator: str, quotes: bool, names: Sequence[str] | None
) -> Rows:
    limit = csv.field_size_limit(_LONGEST_CELL)
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, quoting=_quoting(quotes), strict=True
    )
    header = None if names is None else tuple(names)
    rows = Rows(file, (), [], [], [])
    begin = 1
    try:
        for row in lines:
            count = lines.line_num - begin + 1
            if count > 1 and separator == "\t":
                raise DataError(
                    f"{file}, line {begin}: a quotation mark opens a cell that ends on line"
                    f" {lines.line_num}. Expected rows of one line in a TSV. {_NO_QUOTES}"
                )
            if header is None:
                blank = len(row) < 2 and not any(cell.strip() for cell in row)
                header = None if blank else tuple(cell.strip() for cell in row)
            elif row and not (len(header) > 1 and len(row) == 1 and row[0].isspace()):
                rows.cells.append(_row(row, header, f"{file}, line {begin}"))
                rows.lines.append(begin)
                rows.num_lines.append(count)
            begin = lines.line_num + 1
    except csv.Error as error:
        raise DataError(f"{file}, line {begin}: {_complaint(error, separator)}") from error
    finally:
        csv.field_size_limit(limit)
    return Rows(file, header or (), rows.cells, rows.lines, rows.num_lines)


def _row(row: list[str], header: tuple[str, ...], where: str) -> list[str]:
    """Returns a row with as many cells as the header, without further empty cells."""
    more = row[len(header) :]
    if len(row) < len(header) or any(cell.strip() for cell in more):
        raise DataError(
            f"{where}: {len(row)} cells, and the header has {len(header)}: {', '.join(header)}."
            " Put quotation marks around a cell in which the separator stands."
        )
    return row[: len(header)]


def _complaint(error: csv.Error, separator: str) -> str:
    if "unexpected end of data" in str(error):
        return f"a quotation mark opens a cell that has no end. {_NO_QUOTES}"
    if "expected after" in str(error):
        return (
            "letters after the quotation mark that ends a cell; one within a quoted cell is"
            f' written twice: "". {_NO_QUOTES}'
        )
    return first_line(error)
