"""Reads texts."""

from __future__ import annotations

import os
from typing import Any

from kx.data.sources.delimited import TABLES, read_rows
from kx.errors import DataError
from kx.export.readers.arrays import Named
from kx.paths import expanded


def read_text(item: Any, column: str, *, quotes: bool = True) -> Named:
    """Reads texts: one, or those of a column of a file.

    Args:
        item: a text, or a `.csv` or `.tsv` file.
        column: of the texts; of a file with one column, it may have another name.
        quotes: as of `kx.data.sources.text.text_csv.text_csv`.

    Raises:
        DataError: if it names a file that is not there, or that is no table.
    """
    text = item.decode(errors="replace") if isinstance(item, bytes) else str(item)
    path = expanded(text)
    is_file = os.path.isfile(path)
    is_table = text.lower().endswith(TABLES) and (is_file or len(text.split()) == 1)
    takes = f"This run's model takes texts, or .csv and .tsv files with a column {column!r}."
    if is_file and not is_table and (path.suffix or os.sep in text):
        raise DataError(f"{text} is a file. {takes} Its text: kx predict RUN \"$(cat '{text}')\"")
    if not is_table:
        return [(text, text)]
    if not is_file:
        raise DataError(f"There is no file {text}. {takes}")
    rows = read_rows(path, quotes=quotes, key="INPUT")
    name = rows.header[0] if len(rows.header) == 1 else column
    texts = rows.column(name, "the column of the run's data.text")
    return [(one, one) for one in texts]
