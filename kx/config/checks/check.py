"""Finds every mistake of a config before anything heavy is imported.

The chosen option files define the keys that exist. The overrides and experiments
are checked against them: unknown keys, wrong types, options that do not exist,
values that Keras cannot use, arguments that a `_target_` in a plain Python file
does not have.
"""

from __future__ import annotations

import re
from typing import Any, cast

from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.hydra import Hydra
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from kx.config import Composed, plain
from kx.config.checks.choices import Choices, depends
from kx.config.checks.command_line import (
    Similar,
    read_words,
    refuse_sweeps,
    split_jobs,
)
from kx.config.checks.options import Options, defaults_list, places_of
from kx.config.checks.overrides import (
    drop_keys_of_others,
    key_problem,
    takes_new_keys,
    with_missing,
)
from kx.config.checks.targets import ENTRIES, check_targets, takes_argument
from kx.config.checks.values import NO_VALUE, check_values, is_choice, mismatch
from kx.config.messages import (
    FREE_MAPPINGS,
    Delta,
    choice_text,
    command_line,
    composition_text,
    is_place,
    key_of,
    open_free,
    origin,
    place_text,
    shown,
    unknown_key,
    with_line,
    without_echoes,
)
from kx.config.schema import type_problem
from kx.errors import ConfigError, Mistake


class Checker:
    """Composes configs in an open Hydra session, and collects every mistake.

    Args:
        hydra: Open Hydra session.
    """

    def __init__(self, hydra: Hydra) -> None:
        self.loader = cast(Any, hydra.config_loader)
        self.repository = CachingConfigRepository(self.loader.repository)
        self.options = Options(self.repository)
        self.mistakes: list[Mistake] = []
        self.hydra_nodes: list[DictConfig] = []  # Hydra's own settings of each composed job
        self._unread: set[str] = set()  # keys of overrides that could not be read
        self._choices = Choices(self.repository, self.options)
        self._similar = Similar(self.options)
        self._words: dict[str, Override] = {}
        self._composed_files: dict[tuple[str, ...], tuple[list[ResultDefault], dict[str, Any]]] = {}

    def compose_all(
        self, words: list[str], *, multirun: bool, each: bool = False
    ) -> list[Composed]:
        """Composes each job (with `each` by Hydra); raises one ConfigError with all mistakes."""
        parsed = self._noted(read_words(words, self.loader))
        self._unread = {key_of(mistake.place) for mistake in self.mistakes}
        if multirun:
            jobs = self._noted(split_jobs(parsed, self.options))
            from kx.console import with_progress  # it imports rich, which --help does not need

            shown = with_progress(jobs, "checking the jobs")
            compose = self._compose if each else self._compose_like
            composed = [compose(self._noted(self._read(job))) for job in shown]
        else:
            composed = [self._compose(self._noted(refuse_sweeps(parsed)))]
        if self.mistakes:
            raise ConfigError(self.mistakes)
        return [job for job in composed if job is not None]

    def _noted(self, found: tuple[Any, list[Mistake]]) -> Any:
        self.mistakes += found[1]
        return found[0]

    def _read(self, words: list[str]) -> tuple[list[Override], list[Mistake]]:
        """Parses the overrides of a job; each override of a sweep is parsed once."""
        if all(word in self._words for word in words):
            return [self._words[word] for word in words], []
        overrides, mistakes = read_words(words, self.loader)
        self._words.update({override.input_line or "": override for override in overrides})
        return overrides, mistakes

    def _compose_like(self, overrides: list[Override]) -> Composed | None:
        """Returns the config of a job of a sweep: from a similar job, or composed by Hydra."""
        like = self._similar.make(overrides)
        if like is None:
            like = self._compose(overrides)
            if like is not None:
                self._similar.keep(overrides, like)
        return like

    def _compose(self, overrides: list[Override]) -> Composed | None:
        """Returns the composed config, or None if it has a mistake."""
        before = len(self.mistakes)
        groups = [item for item in overrides if self.options.is_group(item.key_or_group)]
        good = []
        for item in groups:
            wrong = self._choices.mistakes(item)
            self.mistakes += wrong
            if not wrong:
                good.append(item)
        refused = {item.key_or_group for item in groups if item not in good} | self._unread
        found_files = self._files(good)
        if found_files is None:
            return None
        defaults, known = found_files
        deltas = list(self.options.deltas(defaults))
        for place, delta in deltas:
            if self._check_delta(place, delta, known, known):
                good = [item for item in good if item.key_or_group != "experiment"]
        for override in [item for item in overrides if item not in groups]:
            if depends(override.key_or_group, refused):
                continue  # its option does not exist, so its keys are unknown
            if not self._check_value_override(override, known):
                good.append(override)
        found = len(self.mistakes)
        composed = self._finish([item for item in overrides if item in good], deltas, known)
        if composed is None and before < found:
            # The composition may have failed only because the wrong experiment was left out.
            del self.mistakes[found:]
        return composed if len(self.mistakes) == before else None

    def _files(self, groups: list[Override]) -> tuple[list[ResultDefault], dict[str, Any]] | None:
        """Returns the files of chosen options and their keys, or None if there is a mistake."""

        def composed(overrides: list[Override]) -> tuple[list[ResultDefault], dict[str, Any]]:
            key = tuple(item.input_line or "" for item in overrides)
            if key not in self._composed_files:  # shared by jobs that differ only in values
                defaults = defaults_list(self.repository, "run", overrides, True, False).defaults
                self._composed_files[key] = (defaults, self._known_keys(defaults))
            return self._composed_files[key]

        try:
            return composed(groups)
        except Exception as error:  # Hydra raises many types; the input is the user's
            before = len(self.mistakes)
            for override in groups:
                try:
                    places = places_of(override, groups, composed)
                    composed([override] if places is None else groups)
                except Exception as own:
                    text = place_text(override, own, places or ())
                    self._add(command_line(override.input_line or ""), text)
            if len(self.mistakes) == before:
                self._add("config", composition_text(error))
            return None

    def _finish(
        self, overrides: list[Override], deltas: list[Delta], known: dict[str, Any]
    ) -> Composed | None:
        """Composes the overrides without mistakes, and checks the values and targets."""
        words = [item.input_line or "" for item in overrides]
        try:
            config = self.loader.load_configuration(
                "run", [open_free(word) for word in words], RunMode.RUN
            )
            choices = plain(config.hydra.runtime.choices)
            OmegaConf.set_struct(config, False)
            hydra_node = config.pop("hydra")
            drop_keys_of_others(config, known, overrides, deltas)
            OmegaConf.set_struct(config, True)
            own = [one for one in overrides if not self.options.is_group(one.key_or_group)]
            values = with_missing(plain(config, resolve=True), own, deltas)
        except Exception as error:  # Hydra and OmegaConf raise many types
            self._add(self._place_of(error, overrides, deltas), composition_text(error))
            return None
        found = without_echoes(check_values(values, choices), config) + check_targets(values)
        told = {key_of(mistake.place) for mistake in self.mistakes}
        for mistake in found:
            if mistake.place in told and NO_VALUE in mistake.message:
                continue  # it has a value, whose mistake is reported already
            place = self._origin(mistake.place.partition(": ")[0], overrides, deltas)
            if place is None:
                self.mistakes.append(mistake)
            else:
                self._add(place, f"{mistake.place}: {mistake.message}")
        self.hydra_nodes.append(hydra_node)
        ours = {
            str(group): choice_text(choice)
            for group, choice in choices.items()
            if choice and not str(group).startswith("hydra/")
        }
        return Composed(config, words, ours)

    def _place_of(self, error: Exception, overrides: list[Override], deltas: list[Delta]) -> str:
        """Returns where the value that an error of Hydra or OmegaConf names was set."""
        text = str(error)
        for override in overrides:
            line = override.input_line or ""
            if f"override {line}\n" in f"{text}\n" or f"override '{override.key_or_group}'" in text:
                return command_line(line)
        key = re.search(r"full_key: (\S+)", text) or re.search(r"'([\w.]+)'", text)
        return (self._origin(key[1], overrides, deltas) if key else None) or "config"

    def _origin(self, path: str, overrides: list[Override], deltas: list[Delta]) -> str | None:
        """Returns where a value was set: an override, an experiment, or a chosen option's file."""
        set_by = [item for item in overrides if not self.options.is_group(item.key_or_group)]
        place = origin(path, set_by, deltas)
        group = path.partition(".")[0]
        for override in overrides if place is None else []:
            if override.key_or_group == group and isinstance(override.value(), str):
                path = path.removesuffix("._target_")
                file = self.options.file_of(f"{group}/{override.value()}")
                place = with_line(file, path.split(".")[-1])
        return place

    def _known_keys(self, defaults: list[ResultDefault]) -> dict[str, Any]:
        """Returns the keys of the option files with their defaults."""
        options = [d for d in defaults if not str(d.config_path).startswith("experiment/")]
        config = self.loader._compose_config_from_defaults_list(options, self.repository)
        return plain(config)

    def _check_value_override(self, override: Override, known: dict[str, Any]) -> bool:
        """Returns whether an override of a value has a mistake, which is recorded."""
        key = override.key_or_group
        place = command_line(override.input_line or "")
        if problem := key_problem(override, known):
            self._add(place, problem)
            return True
        if override.is_delete() or is_place(key, known):
            return False
        delta: Any = override.value()
        if isinstance(delta, dict):
            delta = {str(k): v for k, v in delta.items()}
        for name in reversed(key.split(".")):
            delta = {name: delta}
        adds = override.is_add() or override.is_force_add()
        return self._check_delta(place, delta, known, known, adds=adds)

    def _check_delta(
        self,
        place: str,
        delta: Any,
        known: Any,
        root: dict[str, Any],
        path: str = "",
        *,
        adds: bool = False,
    ) -> bool:
        """Checks keys and types, and returns whether there is a mistake, which is recorded."""
        before = len(self.mistakes)
        if path in FREE_MAPPINGS or "_target_" in delta:
            return False  # another target has other arguments, see `check_targets`
        for key, value in delta.items():
            here = f"{path}.{key}" if path else str(key)
            where = with_line(place, str(key))
            if key not in known and here in FREE_MAPPINGS:
                continue
            if key not in known:
                is_entry = isinstance(value, dict) and "_target_" in value
                if path in ENTRIES and (is_entry or value is None):
                    continue
                if adds and takes_new_keys(path):
                    continue  # the user wrote `+` or `++`; `build` checks the key
                can_add = takes_new_keys(path) and takes_argument(known, str(key))
                self._add(where, unknown_key(here, key, path, known, root, can_add=can_add))
            elif value == "???":  # to be set on the command line
                continue
            elif expected := type_problem(here, value):
                self._add(where, f"{here}: expected {expected}. Received: {shown(value)}.")
            elif isinstance(known[key], dict) and isinstance(value, dict):
                self._check_delta(place, value, known[key], root, here, adds=adds)
            elif isinstance(known[key], dict) and value is None and path in ENTRIES:
                continue
            elif not is_choice(here, str(key), known) and (problem := mismatch(known[key], value)):
                if isinstance(value, str) and not path and self.options.is_group(str(key)):
                    problem += f" To choose an option: defaults: [override /{key}: {value}]"
                self._add(where, f"{here}: {problem}")
        return len(self.mistakes) > before

    def _add(self, place: str, message: str) -> None:
        self.mistakes.append(Mistake(place, message))
