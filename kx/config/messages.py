"""The places and the messages of mistakes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kx.config.moved import new_key
from kx.config.places import EXPERIMENTS_DIR, is_file
from kx.errors import Mistake, did_you_mean, one_line
from kx.secrets import redact, scrub

Delta = tuple[str, dict[str, Any]]  # the place and the content of an experiment
# Mappings that accept any key.
FREE_MAPPINGS = (
    "task.metrics",
    "tracking.tags",
    "tuner.space",
    "strategy.layout",
    "launcher.parameters",
    "launcher.resources",
)


_LONGEST = 300  # characters of a value in a message


def unknown_key(
    here: str, key: Any, path: str, known: Any, root: dict[str, Any], *, can_add: bool
) -> str:
    """Returns the message for an unknown key, with suggestions.

    Args:
        here: Whole path of the key.
        key: Last part of the path.
        path: Path of the mapping that would have the key.
        known: Existing keys of that mapping.
        root: Whole config.
        can_add: Whether `+` may add the key.
    """
    what = f"There is no key {shown(here)}."
    if now := new_key(here):
        return f"{what} It is {now} now."
    if path == "tuner" and "_target_" not in known:
        return f"{what} Choose a method beside it: tuner=random, grid, bayesian or hyperband."
    hint = did_you_mean(key, [k for k in known if k not in ("_target_", "hydra")])
    if "Did you mean" not in hint and path == "":
        # `learning_rate=…` may mean `optimizer.learning_rate=…`
        homes = [f"{group}.{key}" for group, node in root.items() if _has(node, key)]
        if homes:
            hint = f"Did you mean {' or '.join(map(repr, homes))}? {hint}"
    if len(here) > _LONGEST:
        can_add = False
    add = f" To pass an argument that the option's file does not list: +{here}=…" if can_add else ""
    return f"{what} {hint}{add}"


def origin(path: str, overrides: list[Override], deltas: list[Delta]) -> str | None:
    """Returns where the value at a config path was set, or None if by an option's file."""
    for override in reversed(overrides):
        if override.key_or_group == path or path.startswith(f"{override.key_or_group}."):
            return command_line(override.input_line or "")
    for place, delta in reversed(deltas):
        node: Any = delta
        for name in path.split("."):
            node = node.get(name) if isinstance(node, dict) else None
        if node is not None:
            return with_line(place, path.rpartition(".")[2])
    for override in reversed(overrides):  # `+model.a.b=3` sets `model.a`, too
        if override.key_or_group.startswith(f"{path}."):
            return command_line(override.input_line or "")
    return None


def command_line(word: str) -> str:
    """Returns a command-line argument as the place of a mistake, shortened if it is long.

    Args:
        word: Argument of the command line.
    """
    text = one_line(word)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text)} letters)"
    return f"command line: {text}"


def key_of(place: str) -> str:
    """Returns the key of the override that has a mistake, or an empty string.

    Args:
        place: Place of the mistake.
    """
    word = place.removeprefix("command line: ")
    return word.partition("=")[0].strip("+~- ") if word != place else ""


def shown(value: Any) -> str:
    """Returns a value as text for a message, without secrets, shortened if it is long.

    Args:
        value: Value that was received.
    """
    text = "null" if value is None else scrub(repr(redact(value)))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} letters)"


def open_free(word: str) -> str:
    """Returns an override with `++` if its mapping accepts any key: `tracking.tags.team=vision`."""
    starts = tuple(f"{path}{sign}" for path in FREE_MAPPINGS for sign in ".=")
    return f"++{word}" if word.startswith(starts) else word


def _has(node: Any, key: Any) -> bool:
    return isinstance(node, dict) and key in node


def display(path: Path) -> str:
    """Returns a path relative to the current folder, or to kx's own, if it is inside."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        if path.is_relative_to(EXPERIMENTS_DIR.parent):
            return str(path.relative_to(EXPERIMENTS_DIR.parent))
        return str(path)


def with_line(place: str, key: str) -> str:
    """Returns a place with the line of the key, if the place is a file that has it."""
    if place.startswith("command line"):
        return place
    path = Path(place) if is_file(Path(place)) else EXPERIMENTS_DIR.parent / place
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # not a readable file: its name alone is reported
        return place
    for number, line in enumerate(lines, 1):
        if re.match(rf"\s*['\"]?{re.escape(key)}['\"]?\s*:", line):
            return f"{place}, line {number}"
    return place


def choice_text(choice: Any) -> str:
    """Returns a chosen option, or a list of them, as text."""
    return "[" + ",".join(choice) + "]" if isinstance(choice, list) else str(choice)


def without_echoes(mistakes: list[Mistake], config: DictConfig) -> list[Mistake]:
    """Returns mistakes without those of keys that repeat another's value: `${task.monitor}`.

    Args:
        mistakes: Mistakes whose places are the paths of their keys.
        config: Config with unresolved interpolations.
    """
    texts = [mistake.message for mistake in mistakes]
    found = []
    for mistake in mistakes:
        parent, _, name = mistake.place.rpartition(".")
        try:
            node = OmegaConf.select(config, parent) if parent else config
            copies = OmegaConf.is_dict(node) and OmegaConf.is_interpolation(node, name)
        except OmegaConfBaseException:  # a user's own key that is not a valid path
            copies = False
        if not copies or texts.count(mistake.message) == 1:
            found.append(mistake)
    return found


def place_text(override: Override, error: BaseException, places: Sequence[str] = ()) -> str:
    """Returns the message for an override of a group that Hydra could not compose.

    Args:
        override: Override of a group.
        error: Error of the composition.
        places: Further places of its options. Defaults to none.
    """
    if override.package is None:
        return composition_text(error)
    group, value = override.key_or_group, override.get_value_element_as_str()
    if override.package in places:
        return composition_text(error)
    if places:
        hint = did_you_mean(override.package, places, "Places")
        return f"There is no place {override.package!r} for an option of {group}. {hint}"
    word = f"~{group}" if override.is_delete() else f"{group}={value}"
    return f"The options of {group} have their place already. Write: {word}"


def composition_text(error: BaseException) -> str:
    """Returns the messages of Hydra and OmegaConf for a config that cannot be composed."""
    texts = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        texts.append(str(error))
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    hidden = ("object_type=", "reference_type=")
    kept = [line for line in dict.fromkeys(lines) if not any(word in line for word in hidden)]
    return "\n".join(kept) or repr(error)


def is_place(key: str, known: dict[str, Any]) -> bool:
    """Returns whether a path ends at an index of a list: `model.filters.0`.

    Args:
        key: Path of a key.
        known: Keys that are there.
    """
    node: Any = known
    for name in key.split(".")[:-1]:
        node = node.get(name) if isinstance(node, dict) else None
    return isinstance(node, list)
