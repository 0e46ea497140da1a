"""Formatting of printed output: consoles, numbers, counts and durations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console

_MANY = 100


def wide_console() -> Console:
    """Returns a console for tables; without a terminal, its lines have 160 characters."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def number(value: float) -> str:
    """Returns a score as text, with four decimals, or four digits from 1e5 on.

    Args:
        value: Score.

    Example:
    >>> number(0.98333), number(3.24e28)
    ('0.9833', '3.24e+28')
    """
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.4g}"


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun: `1 trial`, `2 trials`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def clock(seconds: float) -> str:
    """Returns a duration as text.

    Args:
        seconds: Duration in seconds.

    Example:
    >>> clock(75)
    '1:15'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def with_progress(items: Sequence[Any], text: str) -> Iterable[Any]:
    """Returns an iterable over items; from 100 items on, with a progress bar in a terminal.

    Args:
        items: Items to iterate over.
        text: Description of the work, printed before the progress bar.
    """
    console = Console(stderr=True)
    if len(items) < _MANY or not console.is_terminal:
        return items
    from rich.progress import track

    return track(items, text, console=console, transient=True)
