"""Word vectors from files, as GloVe, word2vec and fastText write them as text."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kx.contracts.specs import DataIssue
from kx.errors import ConfigError, DataError
from kx.paths import expanded

_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_SPECIAL = 2  # padding and unknown: the first tokens, which no file has


@dataclass(frozen=True)
class Vectors:
    """Holds the vectors of a vocabulary, with which an embedding begins.

    Args:
        values: Vectors, shape `(vocabulary_size, size)`; NaN for tokens that have none.
        freeze: Whether the embedding stays as it is in the training.
    """

    values: np.ndarray
    freeze: bool = False

    def with_ends(self) -> Vectors:
        """Returns the vectors with those of two further tokens, which have none."""
        ends = np.full((2, self.values.shape[1]), np.nan, "float32")
        return Vectors(np.concatenate([self.values, ends]), self.freeze)


def vectors_of(
    path: str | None, tokens: Sequence[str], *, freeze: bool
) -> tuple[Vectors | None, tuple[DataIssue, ...]]:
    """Returns the vectors of a tokenizer's tokens, if it has a file of them, and issues.

    Args:
        path: Path to the file, or None.
        tokens: Tokens of a vocabulary.
        freeze: Whether the embedding stays as it is in the training.

    Raises:
        ConfigError: If there is nothing to freeze.
        DataError: If the file cannot be read, or has no vector of a token.
    """
    if path is not None:
        found, told = read_vectors(path, tokens, freeze=freeze)
        return found, (told,)
    if freeze:
        raise ConfigError("tokenizer.freeze_vectors has no effect without tokenizer.vectors=FILE.")
    return None, ()


def read_vectors(
    path: str, tokens: Sequence[str], *, freeze: bool = False
) -> tuple[Vectors, DataIssue]:
    """Returns the vectors of tokens, and how many have one.

    Args:
        path: Path to a text file: a line for each word, the word and its numbers, separated by
            spaces; a first line with two whole numbers (word2vec, fastText) is skipped. `.gz`,
            `.bz2` and `.xz` are decompressed.
        tokens: Tokens of a vocabulary.
        freeze: Whether the embedding stays as it is in the training. Defaults to False.

    Raises:
        DataError: If the file cannot be read, a line has another number of numbers, or no token has
            a vector.
    """
    wanted = {token: place for place, token in enumerate(tokens) if place >= _SPECIAL}
    if not os.path.isfile(expanded(path)):
        raise DataError(f"tokenizer.vectors: there is no file {expanded(path).absolute()}.")
    if not os.path.getsize(expanded(path)):
        raise DataError(f"tokenizer.vectors: the file {expanded(path).absolute()} is empty.")
    found = _read(path, wanted)
    if not found:
        raise DataError(
            f"tokenizer.vectors={path}: none of the {len(wanted):,} words of the training texts has"
            " a vector. Is this the language of the texts?"
        )
    size = len(next(iter(found.values())))
    values = np.full((len(tokens), size), np.nan, "float32")
    values[0] = 0.0  # padding
    for place, vector in found.items():
        values[place] = vector
    text = f"{len(found):,} of {len(wanted):,} words have a vector of {size} numbers in the file"
    return Vectors(values, freeze), DataIssue("tokenizer.vectors", "kept", text)


def _read(path: str, wanted: Mapping[str, int]) -> dict[int, np.ndarray]:
    file = expanded(path)
    opener = _OPENERS.get(file.suffix.lower(), open)
    found: dict[int, np.ndarray] = {}
    size = None
    try:
        with opener(file, "rb") as lines:  # type: ignore[operator]
            for number, line in enumerate(lines, 1):
                text = line.decode("utf-8", errors="replace").rstrip()
                # A few words have spaces within them.
                cells = text.split(" ") if size is None else text.rsplit(" ", size)
                if number == 1 and len(cells) == 2 and all(map(str.isdigit, cells)):
                    continue
                size = size or len(cells) - 1
                if len(cells) - 1 != size or size < 2:
                    raise DataError(
                        f"tokenizer.vectors: {file}, line {number}: expected a word and"
                        f" {max(size, 2)} numbers, as on the lines before. Received:"
                        f" {len(cells) - 1} after {cells[0]!r}."
                    )
                place = wanted.get(cells[0])
                if place is not None and place not in found:
                    found[place] = _numbers(cells[1:], f"{file}, line {number}")
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"tokenizer.vectors={path} cannot be read: {error}.") from error
    return found


def _numbers(cells: Sequence[str], where: str) -> np.ndarray:
    try:
        values = np.array(cells, "float32")
    except ValueError as error:
        raise DataError(
            f"tokenizer.vectors: {where}: expected numbers after the word, in a text file. {error}."
        ) from error
    if not np.isfinite(values).all():
        raise DataError(f"tokenizer.vectors: {where}: expected finite numbers.")
    return values
