"""Checks the arguments of a config's targets.

Sources are read as text: nothing is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kx.config.messages import shown
from kx.config.moved import new_key, new_target
from kx.config.schema import PIPELINE_KEYS
from kx.config.signatures import signature_of
from kx.errors import Mistake, did_you_mean

ENTRIES = ("callbacks", "augment")  # entries of any name, each with a `_target_`
# Arguments that kx passes to a model, a task, an augmentation or a schedule.
_FROM_KX = {
    "examples", "texts", "tokens", "inputs", "outputs", "targets", "facts", "environment", "seeds",
    "steps_per_epoch", "epochs",
}  # fmt: skip


def check_targets(config: dict[str, Any]) -> list[Mistake]:
    """Returns the mistakes of targets that do not exist, and of arguments that they do not have.

    Only plain Python files are read (kx's and the user's), as text. Other
    targets are checked by `build`, after their module is imported.

    Args:
        config: Composed config, plain values.
    """
    mistakes = [
        Mistake(
            key,
            "expected `_target_: module.function`, and the function's arguments. Received:"
            f" {shown(config[key])}.",
        )
        for key in ("model", "data", "split", "sampler", "task", "optimizer", "strategy")
        if config.get(key) != "???" and "_target_" not in (config.get(key) or {})
    ]
    mistakes += _entry_mistakes(config)
    for path, node in _nodes(config):
        target = str(node["_target_"])
        if (now := new_target(target)) != target:
            mistakes.append(Mistake(f"{path}._target_", f"There is no {target}. It is {now} now."))
            continue
        try:
            found = signature_of(target)
        except LookupError as error:
            mistakes.append(Mistake(f"{path}._target_: {target[:300]}", str(error)))
            continue
        if found is None or found.takes_others:
            continue
        for name in node:
            if (path == "data" and name in PIPELINE_KEYS) or f"{path}.{name}" == "task.metrics":
                continue  # kx reads them itself
            if name not in found.names and not str(name).startswith("_"):
                hint = did_you_mean(str(name), set(found.names) - _FROM_KX)
                if moved := new_key(f"{path}.{name}"):
                    hint = f"It is {moved} now."
                mistakes.append(
                    Mistake(f"{path}.{name}", f"{target} has no argument {name!r}. {hint}")
                )
    return mistakes


def _entry_mistakes(config: dict[str, Any]) -> list[Mistake]:
    """Returns the mistakes of entries that are neither null nor a mapping with a target."""
    return [
        Mistake(
            f"{group}.{name}",
            "expected `_target_: module.Class` and its arguments, or null to leave it out."
            f" Received: {shown(entry)}.",
        )
        for group in ENTRIES
        for name, entry in (config.get(group) or {}).items()
        if entry is not None and not (isinstance(entry, dict) and "_target_" in entry)
    ]


def _nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _nodes(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _nodes(value, f"{path}[{index}]")


def takes_argument(node: dict[str, Any], name: str) -> bool:
    """Returns whether a node's target may take an argument, as far as its source shows.

    Args:
        node: Node with `_target_`, or a mapping of named entries.
        name: Name of the argument.
    """
    try:
        found = signature_of(str(node["_target_"])) if "_target_" in node else None
    except LookupError:
        return False
    return found is None or found.takes_others or name in found.names


def needed_arguments(target: str) -> tuple[str, ...]:
    """Returns the required arguments of a target, as far as its source shows.

    Args:
        target: Import path: `module.function`.
    """
    try:
        found = signature_of(target)
    except LookupError:
        return ()
    return () if found is None else found.needed
