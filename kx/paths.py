"""Paths given by users."""

from __future__ import annotations

import os
from pathlib import Path

# Characters that make TensorFlow take a path for a file name pattern when it loads a SavedModel.
PATTERN_LETTERS = frozenset("*?[]\\") - {os.sep}


def expanded(path: str | Path) -> Path:
    """Returns a path with `~` expanded to the home folder; unchanged if there is no such user.

    Args:
        path: Path that may begin with `~` or `~user`.

    Example:
    >>> expanded("~no-user-of-that-name/x.csv")
    PosixPath('~no-user-of-that-name/x.csv')
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def cache_dir() -> Path:
    """Returns the cache folder of kx: `KX_CACHE_DIR`, else `$XDG_CACHE_HOME/kx`, `~/.cache/kx`."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded(os.environ.get("KX_CACHE_DIR") or f"{base}/kx")
