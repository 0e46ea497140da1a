"""Checks that the chosen options exist, and fit their group."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hydra.core.default_element import GroupDefault
from hydra.core.override_parser.types import Override

from kx.config.checks.options import Options
from kx.config.checks.unsupported import reason
from kx.config.messages import command_line, shown
from kx.config.schema import Config
from kx.errors import ConfigError, Mistake, did_you_mean

# Groups with one option each. Of the others, several may be given as a list.
_SINGLE = (
    "task", "model", "data", "split", "tokenizer", "sampler", "optimizer", "schedule", "transfer",
    "strategy", "report", "tracking", "launcher", "tuner",
)  # fmt: skip
_PLACED = ("experiment", *(item.name for item in fields(Config)))  # all are in conf/run.yaml
# Groups whose option cannot be deleted: nothing could be trained or logged without it.
NEEDED = (
    "task", "model", "data", "split", "sampler", "optimizer", "strategy", "report", "tracking",
    "launcher",
)  # fmt: skip


class Choices:
    """Checks chosen options.

    Args:
        repository: Repository of the open Hydra session.
        options: Options of all groups.
    """

    def __init__(self, repository: Any, options: Options) -> None:
        self._repository = repository
        self._options = options
        self._visited: set[str] = set()

    def mistakes(self, override: Override) -> list[Mistake]:
        """Returns the mistakes of an override that chooses, adds or deletes an option.

        Args:
            override: Override of a group.
        """
        group, value = override.key_or_group, override.value()
        place = command_line(override.input_line or "")
        if why := reason(group, value):
            return [Mistake(place, why)]
        names = ", ".join(self._options.of(group))
        if override.is_delete():
            if group not in NEEDED or override.package:
                return []
            return [Mistake(place, f"{group} is needed. Choose another option: {names}.")]
        has_place = group.partition("/")[0] in _PLACED and not override.package
        if override.is_force_add() or (override.is_add() and has_place):
            word = (override.input_line or "").lstrip("+")
            return [Mistake(place, f"An option is chosen without +: {word}")]
        if isinstance(value, dict):
            text = f"expected an option of {group}. Received: {shown(value)}. Available: {names}."
            example = next(iter(value), "KEY")
            return [Mistake(place, f"{text} A key of it is set by its path: {group}.{example}=…")]
        found: list[Mistake] = []
        self._check(group, value, place, found)
        return found

    def _check(self, group: str, value: Any, place: str, found: list[Mistake]) -> None:
        """Adds the mistakes of a choice, and of the choices in its file, to `found`."""
        options = self._options.of(group)
        hint = did_you_mean(shown(value).strip("'"), options)
        if group in _SINGLE and isinstance(value, list):
            one = f"{group}={value[0]}" if len(value) == 1 else f"-m {group}=A,B for a run of each"
            text = (
                f"{group} has one option, and not a list. Received: {shown(value)}. Write: {one}."
            )
            found.append(Mistake(place, text))
            return
        if value is None or value == "":
            none = f" For none: {group}=none." if "none" in options else ""
            text = f"expected an option of {group}. Received: {shown(value)}. {hint}{none}"
            found.append(Mistake(place, text))
            return
        before = len(found)
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str) or item not in options:
                self._add_missing(group, item, place, found)
        if len(found) == before:
            for item in value if isinstance(value, list) else [value]:
                self._check_defaults_of(f"{group}/{item}", found)

    def _add_missing(self, group: str, item: Any, place: str, found: list[Mistake]) -> None:
        hint = did_you_mean(str(item)[:300], self._options.of(group))
        found.append(Mistake(place, f"There is no option {shown(item)} of {group}. {hint}"))

    def _check_defaults_of(self, config_path: str, found: list[Mistake]) -> None:
        """Checks the options that a file's own defaults list chooses."""
        if config_path in self._visited:
            return
        self._visited.add(config_path)
        place = self._options.file_of(config_path)
        try:
            result = self._repository.load_config(config_path)
        except ConfigError as error:  # an experiment that is not valid YAML
            found += error.mistakes
            return
        except Exception as error:  # Hydra, YAML and OmegaConf raise many types
            found.append(Mistake(config_path, str(error) or repr(error)))
            return
        parent = config_path.rpartition("/")[0]
        for item in (result.defaults_list if result else None) or []:
            if not isinstance(item, GroupDefault) or item.group is None:
                continue
            group = item.group[1:] if item.group.startswith("/") else f"{parent}/{item.group}"
            if not self._options.is_group(group):
                known = self._options.groups()
                text = f"There is no group {group!r}. {did_you_mean(group, known)}"
                found.append(Mistake(place, text))
            elif item.value is not None:
                self._check(group, item.value, place, found)


def depends(key: str, refused: set[str]) -> bool:
    """Returns whether a key may depend on an option that was refused.

    Args:
        key: Path of the key.
        refused: Groups whose chosen options were refused.
    """
    top = key.partition(".")[0]
    chosen_by_data = "data" in refused and top in ("model", "task", "augment")
    chosen = chosen_by_data or (top != key and "experiment" in refused)
    return top in refused or chosen
