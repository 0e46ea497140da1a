"""Where a mistake stands, and how it is said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from kx.config import EXPERIMENTS_DIR
from kx.errors import did_you_mean

Delta = tuple[str, dict[str, Any]]  # the place, the content of an experiment
# Mappings that take any key.
FREE_MAPPINGS = (
    "tracking.tags",
    "tuner.space",
    "strategy.layout",
    "launcher.parameters",
    "launcher.resources",
)


def unknown_key(here: str, key: Any, path: str, known: Any, root: dict[str, Any]) -> str:
    """Says that a key is not there, and which one may be meant.

    Args:
        here: the whole path.
        key: its last word.
        path: what is before it.
        known: the keys that are there.
        root: the whole config.
    """
    what = f"There is no key {here!r}."
    if path == "tuner" and "_target_" not in known:
        return f"{what} Choose a method beside it: tuner=random, grid, bayesian or hyperband."
    hint = did_you_mean(key, [k for k in known if k not in ("_target_", "hydra")])
    if "Did you mean" not in hint and path == "":
        # `learning_rate=…` for `optimizer.learning_rate=…`
        homes = [f"{group}.{key}" for group, node in root.items() if _has(node, key)]
        if homes:
            hint = f"Did you mean {' or '.join(map(repr, homes))}? {hint}"
    add = f" To pass an argument that the option's file does not list: +{here}=…" if path else ""
    return f"{what} {hint}{add}"


def not_a_word(word: str, error: Exception) -> str:
    """Says why a word of the command line is no override.

    Args:
        word: what was received.
        error: the parser's.
    """
    if "=" not in word:
        return "Expected KEY=VALUE or OPTION=CHOICE."
    if len(parts := word.split()) > 1 and all("=" in part for part in parts):
        return f"These are {len(parts)} words in one pair of quotes. Write: {' '.join(parts)}"
    return str(error).split("\nSee https")[0] + _advice(*word.partition("=")[::2])


def _advice(key: str, value: str) -> str:
    """Says how to write a value with spaces or with letters that Hydra's words do not have."""
    if not key.isascii() or re.search(r"[{,][^:,]*[^\x00-\x7f][^:,]*:", value):
        return (
            " Here a key has letters of English alone. In a file it has any:"
            " experiments/NAME.yaml, then experiment=NAME"
        )
    if value.isascii() and " " not in value:
        return ""
    if value.startswith("[") and not set("{[('\"").intersection(value[1:]):
        items = [item.strip() for item in value.strip("[]").split(",")]
        quoted = [f'"{item}"' if _needs_quotes(item) else item for item in items if item]
        return f" Put quotes around each: '{key}=[{','.join(quoted)}]'"
    if value.startswith(("[", "{")):
        return " Put quotes around words with spaces or other letters within it."
    return f" Put quotes around a value with spaces or other letters: \"{key}='{value}'\""


def _needs_quotes(item: str) -> bool:
    return not item.isascii() or " " in item


def origin(path: str, overrides: list[Override], deltas: list[Delta]) -> str | None:
    """Returns where the value at a config path was set, if not by the options' own files."""
    for override in reversed(overrides):
        if override.key_or_group == path or path.startswith(f"{override.key_or_group}."):
            return f"command line: {override.input_line}"
    for place, delta in reversed(deltas):
        node: Any = delta
        for name in path.split("."):
            node = node.get(name) if isinstance(node, dict) else None
        if node is not None:
            return with_line(place, path.rpartition(".")[2])
    return None


def open_free(word: str) -> str:
    """Lets `tracking.tags.team=vision` add a key without Hydra's `+`."""
    starts = tuple(f"{path}{sign}" for path in FREE_MAPPINGS for sign in ".=")
    return f"++{word}" if word.startswith(starts) else word


def _has(node: Any, key: Any) -> bool:
    return isinstance(node, dict) and key in node


def display(path: Path) -> str:
    """Returns a path as the user would write it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        if path.is_relative_to(EXPERIMENTS_DIR.parent):
            return str(path.relative_to(EXPERIMENTS_DIR.parent))
        return str(path)


def with_line(place: str, key: str) -> str:
    """Adds the line where a key stands in a file."""
    path = Path(place) if Path(place).is_file() else EXPERIMENTS_DIR.parent / place
    if place.startswith("command line") or not path.is_file():
        return place
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(rf"\s*['\"]?{re.escape(key)}['\"]?\s*:", line):
            return f"{place}, line {number}"
    return place


def choice_text(choice: Any) -> str:
    """Returns a chosen option, or several, as one word."""
    return "[" + ",".join(choice) + "]" if isinstance(choice, list) else str(choice)


def composition_text(error: BaseException) -> str:
    """Returns what Hydra and OmegaConf say of a config that cannot be composed."""
    texts = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        texts.append(str(error))
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    hidden = ("object_type=", "reference_type=")
    kept = [line for line in dict.fromkeys(lines) if not any(word in line for word in hidden)]
    return "\n".join(kept) or repr(error)
