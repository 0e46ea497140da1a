"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path


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
