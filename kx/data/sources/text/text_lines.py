"""Plain text files for language models."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kx.contracts.examples import SPLITS, Examples
from kx.contracts.specs import DataIssue, Spec
from kx.data.sources.delimited import find_file, read_text
from kx.data.sources.text.labelled import KEYS
from kx.data.sources.text.reviews import reviews
from kx.errors import DataError
from kx.paths import expanded
from kx.types import Count

_FILES = (".txt", ".md", ".gz", ".bz2", ".xz")


def text_lines(
    path: str | None = None,
    *,
    num_characters: Count = 512,
    validation_path: str | None = None,
    test_path: str | None = None,
    encoding: str = "auto",
) -> Examples:
    """Loads plain texts, cut into pieces of one length, for a language model.

    The pieces are in the order of the file: `split=time` trains on the beginning, and tests on
    the end.

    Args:
        path: Path to a text file, or to a folder of them, which are joined in the order of their
            names; `.gz`, `.bz2` and `.xz` are decompressed. Defaults to None: short reviews that
            are written by rules.
        num_characters: Number of characters of a piece. The last one of a file may be shorter.
            Defaults to 512.
        validation_path: Path to a file or folder for the validation split. Defaults to None: it is
            taken from the first one.
        test_path: Path to a file or folder for the test split. Defaults to None: it is taken from
            the first one.
        encoding: Encoding of the files. Defaults to `"auto"`: UTF-8, that of a byte order mark,
            or GB18030 if a file is not UTF-8 and reads as Chinese.

    Returns:
        Examples that are strings, without targets; a tokenizer makes numbers of them.

    Raises:
        DataError: If a file is missing, cannot be read, or has no text.
    """
    given = {"train": path, "validation": validation_path, "test": test_path}
    if path is None and (validation_path or test_path):
        raise DataError("data.path: expected a file to train on, beside those of other splits.")
    _refuse_shared({part: where for part, where in given.items() if where is not None})
    issues: list[DataIssue] = []
    pieces: list[str] = []
    splits: dict[str, np.ndarray] = {}
    for part in SPLITS:
        where = given[part]
        if where is None and part != "train":
            continue
        texts = [_reviews()] if where is None else _texts(where, KEYS[part], encoding, issues)
        found = [piece for text in texts for piece in _pieces(text, num_characters)]
        if not any(one.strip() for one in found):
            raise DataError(f"{KEYS[part]}={where} has no text.")
        splits[part] = np.arange(len(pieces), len(pieces) + len(found))
        pieces += found
    return Examples(
        pieces,
        {},
        Spec((), "string", kind="text"),
        {},
        kind="text",
        name="reviews" if path is None else Path(path).name.split(".")[0],
        source="written by kx" if path is None else str(expanded(path).absolute()),
        own_splits=splits if len(splits) > 1 else {},
        in_order=True,
        issues=tuple(issues),
        identity=(pieces,),
    )


def _refuse_shared(given: Mapping[str, str]) -> None:
    """Refuses a file that is in two splits."""
    files = {part: _files(where, KEYS[part]) for part, where in given.items()}
    for one, other in itertools.combinations(files, 2):
        for file in files[other]:
            if any(file.samefile(same) for same in files[one]):
                raise DataError(
                    f"{file} is in {KEYS[one]} and in {KEYS[other]}: the model would be judged by"
                    f" what it was trained on. Leave {KEYS[other]} out (split.{other}_fraction), or"
                    " name another."
                )


def _pieces(text: str, num_characters: int) -> list[str]:
    starts = range(0, len(text), num_characters)
    return [text[start : start + num_characters] for start in starts]


def _reviews() -> str:
    return "\n".join(reviews("en", 3000).inputs)


def _texts(path: str, key: str, encoding: str, issues: list[DataIssue]) -> list[str]:
    """Returns the texts of a file or a folder, and adds what is to be told of them."""
    texts = []
    for file in _files(path, key):
        text, told = read_text(file, encoding)
        texts.append(text)
        issues += told
    return texts


def _files(path: str, key: str) -> list[Path]:
    folder = expanded(path)
    if not os.path.isdir(folder):
        return [find_file(path, key)]
    files = sorted(one for one in folder.rglob("*") if one.suffix.lower() in _FILES)
    if not files:
        raise DataError(f"{key}: the folder {folder.absolute()} has no file {', '.join(_FILES)}.")
    return files
