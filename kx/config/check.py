"""Finds every mistake of a config before anything heavy is imported.

The keys of the chosen option files are what exists; what a command line or an
experiment sets is held against them: unknown keys, wrong types, options that
are not there, values that Keras cannot use, arguments that a `_target_` in a
plain Python file does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import yaml
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.defaults_list import create_defaults_list
from hydra._internal.hydra import Hydra
from hydra.core.default_element import GroupDefault, ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kx.config import Composed, experiment_files, load_yaml, plain
from kx.config.options import Options
from kx.config.places import (
    FREE_MAPPINGS,
    Delta,
    choice_text,
    composition_text,
    not_a_word,
    open_free,
    origin,
    unknown_key,
    with_line,
)
from kx.config.refused import reason
from kx.config.targets import check_targets
from kx.config.values import check_values, is_choice, mismatch
from kx.errors import ConfigError, Mistake, did_you_mean

_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError)
# Named entries that a user adds at will, each with a `_target_`.
_OPEN_MAPPINGS = ("callbacks", "augment")


class Checker:
    """Composes configs in an open Hydra session, collecting every mistake.

    Args:
        hydra: the open session.
    """

    def __init__(self, hydra: Hydra) -> None:
        self.loader = cast(Any, hydra.config_loader)
        self.repository = CachingConfigRepository(self.loader.repository)
        self.options = Options(self.repository)
        self.mistakes: list[Mistake] = []

    def compose_all(self, words: list[str], *, multirun: bool) -> list[Composed]:
        """Composes each job, and raises once with the mistakes of all."""
        parsed = self._parse(words)
        if not multirun:
            self._refuse_sweeps(parsed)
            composed = [self._compose(parsed)]
        else:
            jobs = self._split(parsed)
            composed = [self._compose(self._parse(job)) for job in jobs]
        if self.mistakes:
            raise ConfigError(self.mistakes)
        return [job for job in composed if job is not None]

    # --- the words of the command line

    def _parse(self, words: list[str]) -> list[Override]:
        parser = OverridesParser.create(config_loader=self.loader)
        overrides = []
        for word in words:
            try:
                overrides.append(parser.parse_override(word))
            except HydraException as error:
                self._add(f"command line: {word}", not_a_word(word, error))
        return overrides

    def _refuse_sweeps(self, overrides: list[Override]) -> None:
        for override in [item for item in overrides if item.is_sweep_override()]:
            overrides.remove(override)
            self._add(
                f"command line: {override.input_line}",
                "Several values are a sweep: add -m (one job for each), or put brackets around"
                f" a list: {override.key_or_group}=[{override.get_value_string()}].",
            )

    def _split(self, overrides: list[Override]) -> list[list[str]]:
        try:
            batches = BasicSweeper.split_arguments(overrides, max_batch_size=None)
        except _ERRORS as error:
            raise ConfigError([*self.mistakes, Mistake("command line", str(error))]) from error
        return [list(job) for batch in batches for job in batch]

    # --- one job

    def _compose(self, overrides: list[Override]) -> Composed | None:
        """Returns the composed config, or None if a mistake was noted."""
        before = len(self.mistakes)
        groups = [item for item in overrides if self.options.is_group(item.key_or_group)]
        good = [item for item in groups if self._group_choice_exists(item)]
        try:
            defaults = create_defaults_list(
                self.repository, "run", good, prepend_hydra=True, skip_missing=False
            ).defaults
            known = self._known_keys(defaults)
        except _ERRORS as error:
            self._add("config", composition_text(error))
            return None
        deltas = list(self._deltas(defaults))
        for place, delta in deltas:
            if self._check_delta(place, delta, known, known):
                good = [item for item in good if item.key_or_group != "experiment"]
        for override in [item for item in overrides if item not in groups]:
            if not self._check_value_override(override, known):
                good.append(override)
        found = len(self.mistakes)
        composed = self._finish([item for item in overrides if item in good], deltas)
        if composed is None and before < found:
            # What cannot be composed may only lack the experiment that was left out.
            del self.mistakes[found:]
        return composed if len(self.mistakes) == before else None

    def _finish(self, overrides: list[Override], deltas: list[Delta]) -> Composed | None:
        """Composes what has no mistake so far, and checks its values and targets."""
        words = [item.input_line or "" for item in overrides]
        try:
            config = self.loader.load_configuration(
                "run", [open_free(word) for word in words], RunMode.RUN
            )
            choices = plain(config.hydra.runtime.choices)
            OmegaConf.set_struct(config, False)
            del config["hydra"]
            OmegaConf.set_struct(config, True)
            values = plain(config, resolve=True)
        except _ERRORS as error:
            key = re.search(r"full_key: (\S+)", str(error))
            place = self._origin(key[1], overrides, deltas) if key else None
            self._add(place or "config", composition_text(error))
            return None
        for mistake in check_values(values, choices) + check_targets(values):
            place = self._origin(mistake.place.partition(": ")[0], overrides, deltas)
            if place is None:
                self.mistakes.append(mistake)
            else:
                self._add(place, f"{mistake.place}: {mistake.message}")
        ours = {
            str(group): choice_text(choice)
            for group, choice in choices.items()
            if choice and not str(group).startswith("hydra/")
        }
        return Composed(config, words, ours)

    def _origin(self, path: str, overrides: list[Override], deltas: list[Delta]) -> str | None:
        """Returns where a value was set: a word, an experiment, or the file of a chosen option."""
        set_by = [item for item in overrides if not self.options.is_group(item.key_or_group)]
        place = origin(path, set_by, deltas)
        group = path.partition(".")[0]
        for override in overrides if place is None else []:
            if override.key_or_group == group and isinstance(override.value(), str):
                path = path.removesuffix("._target_")
                file = self.options.file_of(f"{group}/{override.value()}")
                place = with_line(file, path.split(".")[-1])
        return place

    # --- groups and their options

    def _group_choice_exists(self, override: Override) -> bool:
        if override.is_delete():
            return True
        place = f"command line: {override.input_line}"
        if why := reason(override.key_or_group, override.value()):
            self._add(place, why)
            return False
        return self._choice_exists(override.key_or_group, override.value(), place)

    def _choice_exists(self, group: str, value: Any, place: str) -> bool:
        options = self.options.of(group)
        wanted = value if isinstance(value, list) else [value]
        missing = [item for item in wanted if item is not None and str(item) not in options]
        for item in missing:
            if group == "experiment" and str(item) in experiment_files():
                try:  # it is there, and was left out since it does not parse
                    load_yaml(experiment_files()[str(item)])
                except ConfigError as error:
                    self.mistakes += error.mistakes
                    continue
            self._add(
                place, f"There is no option {item!r} of {group}. {did_you_mean(item, options)}"
            )
        if isinstance(value, str) and f"{group}/{value}" not in self._visited:
            return not missing and self._check_defaults_of(f"{group}/{value}")
        return not missing

    _visited: frozenset[str] = frozenset()

    def _check_defaults_of(self, config_path: str) -> bool:
        """Checks the options that a file's own defaults list chooses."""
        self._visited |= {config_path}
        try:
            result = self.repository.load_config(config_path)
        except _ERRORS as error:
            self._add(config_path, str(error))
            return False
        parent = config_path.rpartition("/")[0]
        fine = True
        for item in (result.defaults_list if result else None) or []:
            if not isinstance(item, GroupDefault) or item.group is None:
                continue
            group = item.group[1:] if item.group.startswith("/") else f"{parent}/{item.group}"
            place = self.options.file_of(config_path)
            if not self.options.is_group(group):
                known = [name for name in self.loader.list_groups("") if name != "hydra"]
                self._add(place, f"There is no group {group!r}. {did_you_mean(group, known)}")
                fine = False
            else:
                fine &= self._choice_exists(group, item.value, place)
        return fine

    # --- keys

    def _known_keys(self, defaults: list[ResultDefault]) -> dict[str, Any]:
        """Returns what the option files list: keys with their defaults."""
        options = [d for d in defaults if not str(d.config_path).startswith("experiment/")]
        config = self.loader._compose_config_from_defaults_list(options, self.repository)
        return plain(config)

    def _deltas(self, defaults: list[ResultDefault]) -> Iterator[Delta]:
        """Yields the place and the content of each experiment file."""
        for item in defaults:
            path = str(item.config_path)
            if path.startswith("experiment/"):
                result = self.repository.load_config(path)
                assert result is not None
                content = plain(result.config)
                content.pop("defaults", None)
                yield self.options.file_of(path), content

    def _check_value_override(self, override: Override, known: dict[str, Any]) -> bool:
        """Returns whether a mistake was noted."""
        key = override.key_or_group
        if override.is_delete():
            return False
        if override.is_add() or override.is_force_add():
            if key.partition(".")[0] in known:
                return False  # Hydra's own words for "yes, a new key"; `build` checks it
            self._add(
                f"command line: {override.input_line}", unknown_key(key, key, "", known, known)
            )
            return True
        delta: Any = override.value()
        if isinstance(delta, dict):
            delta = {str(k): v for k, v in delta.items()}
        for name in reversed(re.split(r"\.", key)):
            delta = {name: delta}
        return self._check_delta(f"command line: {override.input_line}", delta, known, known)

    def _check_delta(
        self, place: str, delta: Any, known: Any, root: dict[str, Any], path: str = ""
    ) -> bool:
        """Holds keys and types against the known keys; returns whether a mistake was noted."""
        before = len(self.mistakes)
        if path in FREE_MAPPINGS or "_target_" in delta:
            return False  # another target has other arguments: `check_targets` sees to those
        for key, value in delta.items():
            here = f"{path}.{key}" if path else str(key)
            where = with_line(place, str(key))
            if key not in known:
                is_entry = isinstance(value, dict) and "_target_" in value
                if path in _OPEN_MAPPINGS and (is_entry or value is None):
                    continue
                self._add(where, unknown_key(here, key, path, known, root))
            elif isinstance(known[key], dict) and isinstance(value, dict):
                self._check_delta(place, value, known[key], root, here)
            elif isinstance(known[key], dict) and value is None and path in _OPEN_MAPPINGS:
                continue
            elif not is_choice(str(key)) and (problem := mismatch(known[key], value)):
                if isinstance(value, str) and not path and self.options.is_group(str(key)):
                    problem += f" To choose an option: defaults: [override /{key}: {value}]"
                self._add(where, f"{here}: {problem}")
        return len(self.mistakes) > before

    # --- messages

    def _add(self, place: str, message: str) -> None:
        self.mistakes.append(Mistake(place, message))
