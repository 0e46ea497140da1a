"""The errors that kx raises on purpose.

Each message states what was expected, what was received, what is available and
what to do::

    KxError
    ├── ConfigError           a key, an option or a value that cannot be used
    ├── DataError             data that is missing, unreadable or does not fit
    ├── TrainingError         training that cannot continue (a loss that is NaN)
    ├── RunNotFoundError      a RUN that matches no run, or more than one
    ├── ExportError           an exported model whose predictions differ from the trained one's
    ├── ReproductionError     a run whose results differ from the recorded ones
    └── MissingExtraError     an optional dependency that is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from kx.secrets import redact_word, scrub

_NO_REASONS = ("Detected at node", "<stack traces", 'File "', "[[", "[Op:")  # lines of TensorFlow


class KxError(Exception):
    """Serves as the base class of the errors that kx raises. Secrets are hidden in its text."""

    def __str__(self) -> str:
        return scrub(super().__str__())


@dataclass(frozen=True)
class Mistake:
    """Holds one mistake of a config.

    Args:
        place: Place of the mistake: `command line: epochz=3`, or the path of a file.
        message: Description of the mistake and its remedy.
    """

    place: str
    message: str


class ConfigError(KxError):
    """Reports all mistakes of a config at once.

    Args:
        mistakes: Mistakes, or one message.
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
            hidden = redact_word(word)  # also if the key is misspelt
            place = label + line + hidden
            told = mistake.message.replace(word, hidden) if hidden != word else mistake.message
            body = scrub(told).replace("\n", "\n    ")
            lines.append(f"\n  {place}\n    {body}" if place else f"\n  {body}")
        return "\n".join(lines)


class DataError(KxError):
    """Reports data that is missing, unreadable or does not fit."""


class TrainingError(KxError):
    """Reports training that cannot continue."""


class RunNotFoundError(KxError):
    """Reports a RUN that matches no run, or more than one."""


class ExportError(KxError):
    """Reports an exported model whose predictions differ from the trained one's."""


class ReproductionError(KxError):
    """Reports a run whose results differ from the recorded ones."""


class MissingExtraError(KxError):
    """Reports an optional dependency that is not installed."""


# How the message of an error begins that other values of a search would not resolve.
NO_METRIC = "There will be no metric"


def did_you_mean(word: str, available: Iterable[str], label: str = "Available") -> str:
    """Returns a question with the closest available name, followed by all available names.

    Args:
        word: Name that was received.
        available: Names that exist.
        label: Label of the list. Defaults to `"Available"`.

    Example:
    >>> did_you_mean("epochz", ["epochs", "seed"])
    "Did you mean 'epochs'? Available: epochs, seed."
    """
    names = sorted(str(name) for name in available)
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    if not close:  # by initials: `lr` for `learning_rate`
        close = [n for n in names if "_" in n and "".join(p[:1] for p in n.split("_")) == word]
    question = f"Did you mean {close[0]!r}? " if close else ""
    return f"{question}{label}: {', '.join(names) if names else 'none'}."


def one_line(text: object) -> str:
    r"""Returns a name for messages, with line breaks and other unprintable characters escaped.

    Args:
        text: Text, or an object with one. File names need not be valid UTF-8.

    Example:
    >>> one_line("two\nlines.png")
    'two\\nlines.png'
    """
    name = str(text)
    return name.encode(errors="replace").decode() if name.isprintable() else repr(name)[1:-1]


def first_line(error: BaseException, max_length: int = 200) -> str:
    """Returns the first line of an error's text, or its `repr` if it has no text.

    Args:
        error: Error that was raised.
        max_length: Maximum number of characters of the line. Defaults to 200.

    Example:
    >>> first_line(MemoryError())
    'MemoryError()'
    """
    lines = str(error).strip().splitlines()
    if lines and lines[0].startswith("Graph execution error"):  # TensorFlow's reason comes last
        told = [line.strip() for line in lines[1:] if line.strip()]
        lines = [line for line in told if not line.startswith(_NO_REASONS)][-1:] or lines
    return lines[0][:max_length] if lines else repr(error)
