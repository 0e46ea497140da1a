"""Reads examples that are texts."""

from __future__ import annotations

import os
from typing import Any

from kx.data.sources.delimited import TABLES, read_rows
from kx.errors import DataError
from kx.export.readers.arrays import Named
from kx.paths import expanded


def read_text(item: Any, column: str, *, quotes: bool = True) -> Named:
    """Reads one text, or the texts in a column of a file.

    Args:
        item: Text, or path to a `.csv` or `.tsv` file.
        column: Column of the texts; the only column of a file may have another name.
        quotes: Whether a quotation mark at the beginning of a cell quotes it, as in
            `kx.data.sources.text.text_csv.text_csv`. Defaults to True.

    Raises:
        DataError: If the file does not exist, or is not a table.
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
