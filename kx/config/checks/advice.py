"""Suggests commands that work in place of what Hydra's parser cannot read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString

from kx.errors import did_you_mean, first_line

_EXPECTED = "Expected KEY=VALUE or OPTION=CHOICE."
_FLAGS = ("-m", "--multirun", "--cfg", "--resolve", "--package", "--info", "--help", "--config-dir")
_IN_A_FILE = "In a file it has any: experiments/NAME.yaml, then experiment=NAME"
_CLOSING = {"[": "]", "{": "}", "(": ")"}
_LONGEST = 300  # characters of a command in a message
_DEEPEST = 50  # nested brackets; some hundreds raise a RecursionError
_MOST_JOINED = 30  # arguments that are tried as one, with quotes around them


def readable(word: str) -> Override | None:
    """Returns the override that Hydra parses from text, or None if it cannot.

    Args:
        word: Argument of the command line.
    """
    try:
        return OverridesParser.create().parse_override(word)
    except Exception:  # the parser raises many types, and the text is the user's
        return None


def quoted(key: str, value: str) -> str:
    r"""Returns KEY=VALUE for the shell, quoted so that the value is read as plain text.

    Args:
        key: Key of the config.
        value: Any text.

    Example:
    >>> quoted("data.path", "runs/epoch=3.csv")
    '\'data.path="runs/epoch=3.csv"\''
    """
    return shlex.quote(f"{key}={_literal(value)}")


def _literal(text: str) -> str:
    """Returns text in quotes of Hydra's syntax, with `${` escaped for OmegaConf."""
    escaped = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)
    return QuotedString(escaped, Quote.double).with_quotes()


def not_a_word(word: str, error: Exception) -> str:
    """Returns why an argument of the command line is not an override, and how to write it.

    Args:
        word: Argument that was received.
        error: Error of the parser.
    """
    key, sign, value = word.partition("=")
    if word.startswith("-"):
        return _dashed(word)
    if isinstance(error, UnicodeEncodeError):
        return "This word is not UTF-8. Rename the file that it names."
    if not sign or not key.strip("+~@/ "):
        return _EXPECTED
    parts = word.split()
    if len(parts) > 1 and all("=" in part and readable(part) for part in parts):
        return f"These are {len(parts)} words in one pair of quotes. Write: {' '.join(parts)}"
    if key.strip() != key and readable(f"{key.strip()}=1"):
        return f"There are no spaces around =. Write: {_command(key.strip(), value.strip())}"
    if readable(f"{key}=1") is None:
        return _no_key(key)
    if isinstance(error, RecursionError) or _depth(value) > _DEEPEST:
        return "This value has too many brackets within brackets."
    if isinstance(error, ValueError):  # Python's limit for a whole number is 4300
        return "This number has too many digits."
    return _unreadable(key, value, error)


def _dashed(word: str) -> str:
    key, sign, value = word.lstrip("-").partition("=")
    if sign and key:
        return f"Keys have no dashes before them. Write: {_command(key, value)}"
    hint = did_you_mean(word, _FLAGS, "Flags")
    return f"There is no flag {word[:_LONGEST]!r}. {hint} A key has no dashes: KEY=VALUE."


def _no_key(key: str) -> str:
    if not key.isascii():
        return f"Here a key has letters of English alone. {_IN_A_FILE}"
    plain = re.sub(r"\[['\"]?([\w-]+)['\"]?\]", r".\1", key)
    hint = f" Write: {plain}=VALUE" if plain != key and readable(f"{plain}=1") else ""
    return f"A key has letters of English, digits, _ and -, with dots between its parts.{hint}"


def _unreadable(key: str, value: str, error: Exception) -> str:
    if re.search(r"[{,][^:,]*[^\x00-\x7f][^:,]*:", value):
        return f"Here a key has letters of English alone. {_IN_A_FILE}"
    why = ""
    if " while evaluating " in str(error):  # the message of a function: range(…), cast(…)
        why = first_line(error).partition(": ")[2]
        return f"{why}. If it is text: {_shortened(quoted(key, value))}"
    elif left := _left_open(value):
        why = f"{left} is left open. "
    mended = _mended(value)
    if mended is not None and mended != value and readable(f"{key}={mended}"):
        each = "each" if value.startswith("[") else "words with spaces or other letters within it"
        return f"{why}Put quotes around {each}: {_shortened(shlex.quote(f'{key}={mended}'))}"
    command = quoted(key, value)
    read = readable(f"{key}={_literal(value)}")
    if read is None:
        return f"{why}This value cannot be read here. {_IN_A_FILE}"
    return f"{why}Put quotes around a value with spaces or other letters: {_shortened(command)}"


def _shortened(command: str) -> str:
    return command if len(command) <= _LONGEST else f'{command.partition("=")[0]}="…"\''


def _command(key: str, value: str) -> str:
    """Returns KEY=VALUE for the shell, with quotes around the value if needed."""
    word = f"{key}={value}"
    return _shortened(shlex.quote(word) if readable(word) else quoted(key, value))


def _left_open(text: str) -> str:
    """Returns which bracket or quote of a value is not closed, or an empty string."""
    for sign in ("'", '"'):
        if text.count(sign) % 2 and text.startswith(sign):
            return f"The quote {sign}"
    for sign, closing in _CLOSING.items():
        if text.count(sign) > text.count(closing):
            return f"The bracket {sign}"
    return ""


def _depth(text: str) -> int:
    """Returns the maximum depth of nested brackets."""
    depth = most = 0
    for letter in text:
        depth += (letter in "[{(") - (letter in "]})")
        most = max(most, depth)
    return most


# --- lists and mappings


def _mended(text: str) -> str | None:
    """Returns a list or mapping with quotes around unreadable items, or None for other text."""
    text = text.strip()
    if len(text) < 2 or text[0] not in "[{" or text[-1] != _CLOSING[text[0]]:
        return None
    items = _items(text[1:-1])
    if items is None:
        return None
    found = []
    for item in items:
        name, sign, value = item.partition(":") if text[0] == "{" else ("", "", item)
        inner = value.strip()
        whole = _mended(inner)
        if whole is None:
            plain = readable(f"x={inner}") if " " not in inner else None
            fits = plain is not None and not plain.is_sweep_override()
            whole = inner if fits or inner[:1] in ("'", '"') else _literal(inner)
        found.append(f"{name.strip()}{sign}{whole}")
    return f"{text[0]}{','.join(found)}{text[-1]}"


def _items(text: str) -> list[str] | None:
    """Splits at commas outside brackets and quotes, or returns None if one is not closed."""
    items, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and not items[-1].strip():
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        elif letter == "," and depth == 0:
            items.append("")
            continue
        items[-1] += letter
    return None if depth or quote else [item for item in items if item.strip()]


# --- several arguments that are one override


def belong_together(words: Sequence[str]) -> tuple[int, str]:
    """Returns how many of the first arguments are one mistake, and its message; 0 if none.

    Args:
        words: Arguments of the command line, from the one to check on.
    """
    first, following = words[0], list(words[1:])
    second = following[0] if following else ""
    if not first or not following:
        return 0, ""
    name = first.lstrip("-")
    if "=" not in first and second.startswith("="):
        count = 3 if second == "=" and len(following) > 1 else 2
        value = following[1] if count == 3 else second[1:]
        return count, f"There are no spaces around =. Write: {_command(name, value)}"
    ends = first.endswith("=") and first.count("=") == 1 and len(first) > 1
    if ends and "=" not in second and not second.startswith(("~", "-")):
        return 2, f"There are no spaces around =. Write: {_command(name[:-1], second)}"
    if first.startswith("-") and "=" not in first and re.match(r"[^-=~][^=]*$", second):
        return 2, f"Keys have no dashes before them. Write: {_command(name, second)}"
    if "=" in first and _left_open(first.partition("=")[2]) and not readable(first):
        for count in range(2, min(len(words), _MOST_JOINED) + 1):
            joined = " ".join(words[:count])
            if readable(joined):
                command = _shortened(shlex.quote(joined))
                return count, f"These words belong together. Put quotes around them: {command}"
    return 0, ""


def stray(word: str, before: str) -> str:
    """Returns the message for an argument without `=`, which may belong to the one before.

    Args:
        word: Argument of the command line.
        before: Argument before it, or an empty string.
    """
    key, sign, value = before.partition("=")
    if not sign or "." not in key or readable(before) is None or value.startswith(("[", "{")):
        return _EXPECTED
    whole = _shortened(quoted(key, f"{value} {word}"))
    return f"{_EXPECTED} If it belongs to the word before it: {whole}"


def as_text(override: Override) -> Any:
    """Returns the command that sets an override's value as text, including its commas."""
    word = override.input_line or ""
    return _shortened(quoted(override.get_key_element(), word.partition("=")[2]))
