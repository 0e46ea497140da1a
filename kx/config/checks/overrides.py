"""Checks whether an override may set, add or delete its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from kx.config.checks.targets import ENTRIES, needed_arguments
from kx.config.checks.unsupported import setting_reason
from kx.config.messages import FREE_MAPPINGS, Delta, shown
from kx.config.schema import PIPELINE_KEYS, TYPES
from kx.config.signatures import signature_of
from kx.errors import did_you_mean

# Keys of options that kx itself reads by name, besides the option's function.
_READ = ("task.monitor", "task.monitor_mode")
_READ_WHOLE = ("tuner", "launcher", "transfer")
_CLOSED = ("threads", "report", "tracking", "hydra")  # mappings that accept no additional keys


def key_problem(override: Override, known: dict[str, Any]) -> str | None:
    """Returns why an override is not possible for its path or its `+` or `~`, or None.

    Args:
        override: Override of a key, not of a group.
        known: Keys of the chosen options' files.
    """
    key = override.key_or_group
    if override.package is not None:
        return f"@ places an option of a group, and {shown(key)} is none."
    if why := setting_reason(key):
        return why
    if key.partition(".")[0] == "hydra" and (override.is_delete() or override.is_add()):
        return "Hydra's own settings are there already, and stay."
    if (problem := _list_problem(key, known)) or override.is_delete():
        return problem or _deletion_problem(override, known)
    there, value = _find(key, known)
    if override.is_add() and there and not isinstance(override.value(), dict | list):
        if value is not None and not isinstance(value, dict):
            word = (override.input_line or "").lstrip("+")
            return f"{key} has a value already. Write it without +: {word}"
    return None


def takes_new_keys(path: str) -> bool:
    """Returns whether `+` may add a key below a path."""
    return bool(path) and path.partition(".")[0] not in _CLOSED


def _find(key: str, known: dict[str, Any]) -> tuple[bool, Any]:
    node: Any = known
    for name in key.split("."):
        if not isinstance(node, dict) or name not in node:
            return False, None
        node = node[name]
    return True, node


def _list_problem(key: str, known: dict[str, Any]) -> str | None:
    """Returns the message for a key below a list, or None if there is no such list."""
    node: Any = known
    names = key.split(".")
    for index, name in enumerate(names):
        if isinstance(node, list):
            path = ".".join(names[:index])
            last = index == len(names) - 1
            if last and name.isascii() and name.isdigit() and int(name[:9]) < len(node):
                return None
            return (
                f"{path} is a list of {len(node)}: its places are {path}.0 and so on. Set all of"
                f" it: {path}=[…]"
            )
        if not isinstance(node, dict) or name not in node:
            return None
        node = node[name]
    return None


def _deletion_problem(override: Override, known: dict[str, Any]) -> str | None:
    """Returns why a key cannot be deleted (it is needed, or does not exist), or None."""
    key = override.key_or_group
    group, _, name = key.rpartition(".")
    node = _find(group, known)[1] if group else known
    if isinstance(node, list):
        return f"An item of a list cannot be deleted. Set all of it: {group}=[…]"
    is_free = any(key.startswith(f"{path}.") for path in FREE_MAPPINGS)
    if not _find(key, known)[0]:
        if is_free:
            return None
        names = [item for item in (node if isinstance(node, dict) else known) if item != "hydra"]
        return f"There is no key {shown(key)} to delete. {did_you_mean(name, names)}"
    if is_free or group in ENTRIES:
        return None
    target = str(node.get("_target_", "")) if isinstance(node, dict) else ""
    top = key.partition(".")[0]
    needed = (
        not group
        or key in TYPES
        or top in TYPES
        or key in _READ
        or top in _READ_WHOLE
        or name == "_target_"
        or name in needed_arguments(target)
    )
    if not needed:
        return None
    what = f"{key} is needed: it cannot be deleted."
    if not group and isinstance(known[key], dict):
        return f"{what} Set its keys: {key}.KEY=VALUE"
    null = f" (or {key}=null)" if _admits_null(key, known) else ""
    return f"{what} Set it: {key}=VALUE{null}"


def _admits_null(key: str, known: dict[str, Any]) -> bool:
    there, value = _find(key, known)
    return there and value is None


def drop_keys_of_others(
    config: DictConfig,
    known: Mapping[str, Any],
    overrides: Sequence[Override],
    deltas: Sequence[Delta],
) -> None:
    """Removes the keys of an option whose `_target_` is another one now, and does not take them.

    With `optimizer._target_=mine` Adam's `beta_1` has no meaning, and its learning rate another
    one. What was set besides is kept, and so are the keys of a class whose source does not tell
    what it takes.

    Args:
        config: Composed config, which is changed.
        known: Keys of the option files with their defaults.
        overrides: Overrides of the command line.
        deltas: Places and contents of the experiments.
    """
    given = {item.key_or_group for item in overrides}
    for _, content in deltas:
        given |= set(_paths(content))
    nodes = {
        key: node
        for key, node in known.items()
        if isinstance(node, dict) and key not in _READ_WHOLE  # kx reads these itself
    }
    for group in ENTRIES:
        entries = nodes.pop(group, {})
        nodes |= {f"{group}.{k}": v for k, v in entries.items() if isinstance(v, dict)}
    for path, node in nodes.items():
        now = OmegaConf.select(config, path)
        before = node.get("_target_")
        if before is None or not isinstance(now, DictConfig) or now.get("_target_") == before:
            continue
        kept = {"_target_", *(PIPELINE_KEYS if path == "data" else ())}
        kept |= _taken(path, str(now.get("_target_")), node)
        for key in set(node) - kept:
            here = f"{path}.{key}"
            if key in now and not any(f"{one}.".startswith(f"{here}.") for one in given):
                del now[key]


def _taken(path: str, target: str, node: Mapping[str, Any]) -> set[str]:
    """Returns the keys of an option that another target takes, too."""
    if path == "optimizer":
        return set()
    try:
        signature = signature_of(target)
    except LookupError:  # reported when the targets are checked
        return set()
    return set(node) if signature is None or signature.takes_others else set(signature.names)


def _paths(content: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yields the path of each value of nested mappings."""
    for key, value in content.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _paths(value, here)
        else:
            yield here


def with_missing(
    values: dict[str, Any], overrides: Sequence[Override], deltas: Sequence[Delta]
) -> dict[str, Any]:
    """Returns the values of a config, with `???` where an experiment asks for a value.

    OmegaConf leaves the option's own value there, as if the experiment had not asked.

    Args:
        values: Values of the composed config.
        overrides: Overrides of keys on the command line, not those that choose options.
        deltas: Places and contents of the experiments, the last of which wins.
    """
    given = {item.key_or_group for item in overrides}
    asked: dict[str, Any] = {}
    for _, content in deltas:
        for path in _paths(content):
            asked[path] = _find(path, dict(content))[1]
    for path, value in asked.items():
        if value == "???" and not any(f"{path}.".startswith(f"{one}.") for one in given):
            *above, name = path.split(".")
            there, node = _find(".".join(above), values) if above else (True, values)
            if there and isinstance(node, dict):
                node[name] = value
    return values
