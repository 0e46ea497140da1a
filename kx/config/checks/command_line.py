"""Parses the overrides of a command line, and splits those of a sweep into its jobs."""

from __future__ import annotations

import copy
import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    RangeSweep,
    Transformer,
    ValueType,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kx.config import Composed
from kx.config.checks.advice import as_text, belong_together, not_a_word, stray
from kx.config.checks.options import Options
from kx.config.checks.values import annotation_of, mismatch
from kx.config.messages import FREE_MAPPINGS, command_line
from kx.config.schema import type_problem
from kx.errors import ConfigError, Mistake

_LARGEST = 1e15  # floats represent all integers up to here (2^53 = 9e15)
_TOGETHER = ("jit_compile", "deterministic", "backend")  # `check_values` checks them together
_MOST_JOBS = 10_000  # in a sweep: all are composed and checked before the first one starts


def read_words(words: Sequence[str], loader: Any) -> tuple[list[Override], list[Mistake]]:
    """Returns the overrides that Hydra parses, and the mistakes of the others.

    Args:
        words: Overrides in Hydra's syntax.
        loader: Config loader of the open Hydra session, which finds the options of a glob.
    """
    parser = OverridesParser.create(config_loader=loader)
    overrides: list[Override] = []
    mistakes = []
    place, before = 0, ""
    while place < len(words):
        word = words[place]
        count, text = belong_together(words[place : place + 31])
        if not count:
            count = 1
            try:
                override = _read(parser, word)
                override.config_loader = loader  # `parse_override` does not set it
                overrides.append(override)
            except _NotReadError as error:
                no_sign = "=" not in word and not word.startswith("-")
                text = stray(word, before) if no_sign else not_a_word(word, error.why)
        if text:
            whole = " ".join(words[place : place + count])
            mistakes.append(Mistake(command_line(whole), text))
        before = word
        place += count
    return overrides, mistakes


class _NotReadError(Exception):
    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


def _read(parser: OverridesParser, word: str) -> Override:
    try:
        word.encode()
        override = parser.parse_override(word)
    except Exception as error:  # the parser raises many types
        raise _NotReadError(error) from error
    if not override.key_or_group:
        raise _NotReadError(ValueError("no key"))
    return override


def refuse_sweeps(overrides: Iterable[Override]) -> tuple[list[Override], list[Mistake]]:
    """Returns the overrides with one value, and the mistakes of those with several.

    Args:
        overrides: Overrides of a command line without `-m`.
    """
    kept, mistakes = [], []
    for override in overrides:
        if not override.is_sweep_override():
            kept.append(override)
            continue
        word = override.input_line or ""
        text = "Several values are a sweep: add -m (one job for each)"
        if override.value_type == ValueType.SIMPLE_CHOICE_SWEEP:
            key = override.get_key_element()
            text += f", or put brackets around a list: {key}=[{override.get_value_string()}]"
        text += f", or quotes around a word: {as_text(override)}"
        mistakes.append(Mistake(command_line(word), text))
    return kept, mistakes


def split_jobs(
    overrides: Iterable[Override], options: Options
) -> tuple[list[list[str]], list[Mistake]]:
    """Returns the overrides of each job of a sweep; the last override of a key is used.

    Args:
        overrides: Overrides of a command line with `-m`.
        options: Options of all groups.
    """
    choices: dict[str, list[str]] = {}
    mistakes = []
    for override in overrides:
        word, key = override.input_line or "", override.get_key_element()
        choices.pop(key, None)
        if not override.is_sweep_override():
            choices[key] = [word]
        elif override.is_delete():
            text = "A key is deleted or it is not: ~KEY has no values to try."
            mistakes.append(Mistake(command_line(word), text))
        else:
            try:
                values = list(_values(override._value, override, options))
                choices[key] = [f"{key}={value}" for value in values]
            except ConfigError as error:
                mistakes.append(Mistake(command_line(word), str(error)))
    count = math.prod(len(words) for words in choices.values())
    if count > _MOST_JOBS:
        text = f"This sweep has {count} jobs; {_MOST_JOBS} at most. Give it fewer values."
        mistakes.append(Mistake("command line", text))
    if mistakes:
        return [], mistakes
    return [list(words) for words in itertools.product(*choices.values())], []


def _values(value: Any, override: Override, options: Options) -> Iterator[str]:
    """Yields the values of a sweep as text: of choices, ranges and globs, also nested ones.

    Raises:
        ConfigError: If there is no value, or if there are too many.
    """
    if isinstance(value, ChoiceSweep):
        items = random.sample(value.list, len(value.list)) if value.shuffle else value.list
        for item in items:
            yield from _values(item, override, options)
    elif isinstance(value, RangeSweep):
        _check_range(value)
        numbers = list(value.range())
        yield from map(str, random.sample(numbers, len(numbers)) if value.shuffle else numbers)
    elif isinstance(value, Glob):
        yield from _matching(value, override.key_or_group, options)
    elif isinstance(value, IntervalSweep):
        raise ConfigError(
            "An interval has no values of its own. For some of it: range(START,STOP,STEP); to"
            " search it: tuner=random and tuner.space."
        )
    else:
        yield Transformer.str(value)


def _matching(glob: Glob, group: str, options: Options) -> list[str]:
    if not options.is_group(group):
        raise ConfigError(f"glob chooses among the options of a group, and {group!r} is none.")
    names = options.of(group)
    found: list[str] = glob.filter(names)
    if not found:
        raise ConfigError(f"No option of {group} matches. Available: {', '.join(names)}.")
    return found


def _check_range(value: RangeSweep) -> None:
    numbers = [value.start, value.stop, value.step]
    finite = all(isinstance(n, int | float) and abs(n) < _LARGEST for n in numbers)
    if not finite or not value.step:
        raise ConfigError("expected range(START,STOP,STEP) of numbers, STEP not 0.")
    start, stop, step = (float(n) for n in numbers)  # type: ignore[arg-type]
    count = math.ceil((stop - start) / step)
    if count < 1:
        received = f"Received: start {value.start}, stop {value.stop}."
        raise ConfigError(f"This range has no value: the sweep has no job. {received}")
    if count > _MOST_JOBS:
        raise ConfigError(f"This range has {count} values; {_MOST_JOBS} at most.")


class Similar:
    """Makes the configs of jobs that differ only in values from one that Hydra composed.

    Hydra takes a fifth of a second for a config. A sweep has few combinations of options and many
    values. The first job of a combination is composed by Hydra and checked completely. For the
    others, only the keys that they set are checked, and the keys that depend on these by an
    interpolation. A job with a mistake is composed by Hydra, so that the messages are the same.

    Args:
        options: Options of all groups.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._whole: dict[tuple[str, ...], Composed] = {}
        self._following: dict[tuple[str, ...], set[str]] = {}

    def keep(self, overrides: Sequence[Override], composed: Composed) -> None:
        """Keeps a config for similar jobs."""
        self._whole.setdefault(self._combination(overrides), composed)

    def make(self, overrides: Sequence[Override]) -> Composed | None:
        """Returns the config of a job, or None if Hydra must compose it.

        Args:
            overrides: Overrides of the job.
        """
        combination = self._combination(overrides)
        whole = self._whole.get(combination)
        if whole is None:
            return None
        set_to = {o.key_or_group: o.value() for o in overrides if self._is_plain(o)}
        config = copy.deepcopy(whole.config)
        for key, value in set_to.items():
            default = OmegaConf.select(whole.config, key, throw_on_missing=False)
            if isinstance(default, DictConfig) or mismatch(default, value):
                return None
            try:
                OmegaConf.update(config, key, value, merge=False)
            except OmegaConfBaseException:  # Hydra then composes it, and reports the mistake
                return None
        if combination not in self._following:
            self._following[combination] = _following(whole.config, set_to)
        if self._has_mistake(config, {*set_to, *self._following[combination]}):
            return None
        words = [override.input_line or "" for override in overrides]
        return Composed(config, words, dict(whole.choices))

    def _combination(self, overrides: Sequence[Override]) -> tuple[str, ...]:
        """Returns what jobs that differ only in plain values have in common, in order."""
        return tuple(
            f"{override.key_or_group}=" if self._is_plain(override) else override.input_line or ""
            for override in overrides
        )

    def _is_plain(self, override: Override) -> bool:
        """Returns whether an override sets an existing key to a plain value."""
        key = override.key_or_group
        adds = override.is_add() or override.is_force_add() or override.is_delete()
        if adds or override.package or self._options.is_group(key) or key in _TOGETHER:
            return False
        others = ("hydra", *(f"{path}." for path in FREE_MAPPINGS))
        if key.startswith(others) or key.endswith("_target_"):
            return False
        value = override.value()
        items = value if isinstance(value, list) else [value]
        return all(
            item is None or isinstance(item, bool | int | float | str) and "${" not in str(item)
            for item in items
        )

    def _has_mistake(self, config: DictConfig, keys: Iterable[str]) -> bool:
        for key in keys:
            group, _, name = key.rpartition(".")
            try:
                node = OmegaConf.select(config, group) if group else config
                value = OmegaConf.select(config, key)
            except OmegaConfBaseException:
                return True
            value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            rule = annotation_of(key, name, node if isinstance(node, DictConfig) else {})
            if type_problem(key, value) or (rule is not None and rule.problem(value)):
                return True
        return False


def _following(config: DictConfig, keys: Iterable[str]) -> set[str]:
    """Returns the keys that interpolate one of the given keys, directly or indirectly."""
    texts, named = dict(_interpolations(config)), list(keys)
    found: set[str] = set()
    while named:
        key = named.pop()
        # A relative interpolation, `${.monitor}`, does not have the whole key.
        more = {path for path, text in texts.items() if key in text or "${." in text}
        named += more - found
        found |= more
    return found


def _interpolations(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields the path and the text of each interpolation."""
    plain: Any = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
    for key, value in plain.items() if isinstance(plain, dict) else ():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, str | list) and "${" in str(value):
            yield here, str(value)
        else:
            yield from _interpolations(value, here)
