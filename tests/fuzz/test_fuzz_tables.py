"""Random tables and texts: read as Python's csv reads them, or refused with file and line."""

from __future__ import annotations

import contextlib
import csv
import io
import random
import re
import time
from pathlib import Path

from fuzz.helpers import fuzz_count
from kx.data.sources.delimited import read_rows
from kx.errors import DataError
from kx.export.readers.rows import read_row

WORDS = [
    "a",
    "good film",
    "",
    " ",
    "1",
    "-2.5",
    "中文，好",
    "ü",
    "nan",
    "x" * 300,
    "\u3000",
    "'",
    "#",
]
ODD = [
    '"',
    '""',
    ",",
    ";",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\ufeff",
    "\0",
    '"x',
    'x"y',
    "\\",
    "\x1c",
    "\u2028",
]
BREAKS = ["\n", "\r\n", "\r"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "gb18030", "latin-1"]
SLOWEST_SECONDS = 5.0


def cell(chance: random.Random) -> str:
    text = chance.choice(WORDS)
    while chance.random() < 0.15:
        at = chance.randint(0, len(text))
        text = text[:at] + chance.choice(ODD) + text[at:]
    return text


def table(chance: random.Random, separator: str) -> str:
    """A table as a program, a spreadsheet or a person writes it: some rows ragged or unquoted."""
    width, count = chance.randint(1, 4), chance.randint(0, 8)
    names = ["text", "label", "other", "more"][:width]
    careful = chance.random() < 0.5
    out = io.StringIO(newline="")
    ending = chance.choice(BREAKS)
    writer = csv.writer(out, delimiter=separator, lineterminator=ending)
    for row in [names, *([cell(chance) for _ in range(width)] for _ in range(count))]:
        if chance.random() < 0.08:
            row = row[:-1] if chance.random() < 0.5 else [*row, cell(chance)]
        if chance.random() < 0.1:
            out.write(ending)
        if careful or chance.random() < 0.6:
            writer.writerow(row)
        else:
            out.write(separator.join(row) + ending)
    text = out.getvalue()
    return text[: chance.randint(0, len(text))] if chance.random() < 0.1 else text


def expected(text: str, separator: str) -> list[list[str]] | None:
    """The rows as Python's csv has them, without blank lines; None if it refuses the text."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error:
        return None
    finally:
        csv.field_size_limit(limit)
    while rows and len(rows[0]) < 2 and not "".join(rows[0]).strip():
        rows.pop(0)
    several = bool(rows) and len(rows[0]) > 1  # columns; in one column, a cell may be empty
    return [row for row in rows if row and not (several and len(row) == 1 and row[0].isspace())]


def test_tables_are_read_as_python_reads_them_or_refused(tmp_path: Path) -> None:
    count, read, refused = fuzz_count(), 0, 0
    for seed in range(count):
        chance = random.Random(seed)
        separator, ending = chance.choice(
            [(",", ".csv"), (";", ".csv"), ("\t", ".csv"), ("\t", ".tsv")]
        )
        text, encoding = table(chance, separator), chance.choice(ENCODINGS)
        path = tmp_path / f"table{ending}"
        path.write_bytes(text.encode(encoding, errors="replace"))
        begun = time.monotonic()
        try:
            rows = read_rows(path)
        except DataError as error:
            refused += 1
            assert str(path) in str(error), f"seed {seed}"
            alone = ("is empty", "no row")
            assert re.search(r", line \d+: ", str(error)) or any(w in str(error) for w in alone), (
                f"seed {seed}: {error}"
            )
        else:
            read += 1
            truth = path.read_bytes()
            wide = truth[:2] in (b"\xff\xfe", b"\xfe\xff")
            decoded = truth.decode("utf-16" if wide else "utf-8-sig")
            used = [mark for mark in (",", ";", "\t") if expected(decoded, mark) is not None]
            wanted = [expected(decoded, mark) for mark in used]
            got = [list(rows.header), *rows.cells]
            assert any(same(got, one) for one in wanted), f"seed {seed}"
        assert time.monotonic() - begun < SLOWEST_SECONDS, f"seed {seed}"
    print(f"\n{count} tables: {read} read as Python's csv reads them, {refused} refused")
    assert read and refused


def same(got: list[list[str]], wanted: list[list[str]] | None) -> bool:
    """Whether rows are the same; spaces about names, and empty cells at an end, count for none."""
    if wanted is None or len(got) != len(wanted) or not wanted:
        return False
    if got[0] != [name.strip() for name in wanted[0]]:
        return False
    return all(
        one == other[: len(one)] and not "".join(other[len(one) :]).strip()
        for one, other in zip(got[1:], wanted[1:], strict=True)
    )


def test_rows_to_predict_are_found_by_their_names_or_have_no_answer(
    tmp_path: Path,
) -> None:
    count, read, refused = fuzz_count(), 0, 0
    columns = ["a", "b", "c"]
    for seed in range(count):
        chance = random.Random(seed)
        names = chance.sample([*columns, "d"], 4)
        if chance.random() < 0.3:
            names.remove(chance.choice(names))
        odd = ["", "nan", "x", "1e99"] if chance.random() < 0.2 else []
        rows = [
            {name: chance.choice([f"{chance.uniform(-9, 9):.4f}"] * 4 + odd) for name in names}
            for _ in range(chance.randint(1, 4))
        ]
        out = io.StringIO()
        writer = csv.writer(out, delimiter=chance.choice([",", ";", "\t"]))
        if chance.random() < 0.9:
            writer.writerow(names)
        writer.writerows([row[name] for name in names] for row in rows)
        path = tmp_path / "rows.csv"
        path.write_text(out.getvalue())
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # columns that are not used
                found = read_row(str(path), columns)
        except DataError as error:
            refused += 1
            assert str(path) in str(error), f"seed {seed}"
        else:
            read += 1
            headed = out.getvalue()[:1] in "abcd"
            wanted = [[float(row[name]) for name in (columns if headed else names)] for row in rows]
            got = [[float(number) for number in raw.split(",")] for _, raw in found]
            assert got == wanted, f"seed {seed}"
    print(
        f"\n{count} files of rows: {read} answered by the names of their columns, {refused} refused"
    )
    assert read > count / 3 and refused
