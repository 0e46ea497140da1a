"""The errors that kx raises on purpose.

Each message says what was expected, what was received, what is available and
what to do::

    KxError
    ├── ConfigError           a key, an option or a value that cannot be used
    ├── DataError             data that is missing, unreadable or does not fit
    ├── TrainingError         training that cannot go on (a loss that is NaN)
    ├── RunNotFoundError      a RUN that names no run, or more than one
    ├── ExportError           an exported model that does not answer like the trained one
    ├── ReproductionError     a run that came out otherwise than it was recorded
    └── MissingExtraError     an optional dependency that is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from kx.secrets import redact_word, scrub


class KxError(Exception):
    """Is the base of every error that kx raises on purpose. Its text shows no secret."""

    def __str__(self) -> str:
        return scrub(super().__str__())


@dataclass(frozen=True)
class Mistake:
    """Holds one mistake of a config.

    Args:
        place: where it came from: `command line: epochz=3`, a file's path.
        message: what is wrong, and what to do.
    """

    place: str
    message: str


class ConfigError(KxError):
    """Reports every mistake of a config at once.

    Args:
        mistakes: the mistakes, or one message.
    """

    def __init__(self, mistakes: str | Iterable[Mistake]) -> None:
        if isinstance(mistakes, str):
            mistakes = [Mistake("", mistakes)]
        self.mistakes = list(dict.fromkeys(mistakes))
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.mistakes) == 1 and not self.mistakes[0].place:
            return self.mistakes[0].message
        count = len(self.mistakes)
        lines = ["1 mistake in the config" if count == 1 else f"{count} mistakes in the config"]
        for mistake in self.mistakes:
            label, line, word = mistake.place.partition("command line: ")
            hidden = redact_word(word)  # of a key that is misspelt, too
            place = label + line + hidden
            told = mistake.message.replace(word, hidden) if hidden != word else mistake.message
            body = scrub(told).replace("\n", "\n    ")
            lines.append(f"\n  {place}\n    {body}" if place else f"\n  {body}")
        return "\n".join(lines)


class DataError(KxError):
    """Reports data that is missing, unreadable or does not fit."""


class TrainingError(KxError):
    """Reports training that cannot go on."""


class RunNotFoundError(KxError):
    """Reports a RUN that names no run, or more than one."""


class ExportError(KxError):
    """Reports an exported model that does not answer like the trained one."""


class ReproductionError(KxError):
    """Reports a run that came out otherwise than it was recorded."""


class MissingExtraError(KxError):
    """Reports an optional dependency that is not installed."""


NO_METRIC = "There will be no metric"  # an error that begins so, no other values would mend


def did_you_mean(word: str, available: Iterable[str], label: str = "Available") -> str:
    """Returns the closest of the available names as a question, then all of them.

    Args:
        word: what was received.
        available: what exists.
        label: the word before the list.

    Example:
    >>> did_you_mean("epochz", ["epochs", "seed"])
    "Did you mean 'epochs'? Available: epochs, seed."
    """
    names = sorted(str(name) for name in available)
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    if not close:  # `lr` for `learning_rate`
        close = [n for n in names if "_" in n and "".join(p[:1] for p in n.split("_")) == word]
    question = f"Did you mean {close[0]!r}? " if close else ""
    return f"{question}{label}: {', '.join(names) if names else 'none'}."


def one_line(text: object) -> str:
    r"""Returns a name as it is told: line breaks and what else cannot be seen are escaped.

    Args:
        text: any; of a file's name, also what is no UTF-8.

    Example:
    >>> one_line("two\nlines.png")
    'two\\nlines.png'
    """
    name = str(text)
    return name.encode(errors="replace").decode() if name.isprintable() else repr(name)[1:-1]


def first_line(error: BaseException, max_length: int = 200) -> str:
    """Returns the first line of an error's text; its name, if it has none.

    Args:
        error: what was raised.
        max_length: characters at most. Defaults to 200.

    Example:
    >>> first_line(MemoryError())
    'MemoryError()'
    """
    lines = str(error).strip().splitlines()
    return lines[0][:max_length] if lines else repr(error)
