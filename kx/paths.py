"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path

# For which TensorFlow takes a path for a pattern of file names, where it loads a SavedModel.
PATTERN_LETTERS = frozenset("*?[]\\") - {os.sep}


def expanded(path: str | Path) -> Path:
    """Returns a path, `~` for the home folder; as it is, where no such user has one.

    Example:
    >>> expanded("~nobody-of-that-name/x.csv")
    PosixPath('~nobody-of-that-name/x.csv')
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
