"""Composition of trial configs, and the check that every value of a space is valid."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from omegaconf import OmegaConf

from kx.config import Composed, hydra_session, plain
from kx.config.checks.check import Checker
from kx.config.messages import command_line
from kx.config.overrides import word
from kx.errors import ConfigError, Mistake, did_you_mean
from kx.search.space import Parameter

# Keys besides the trial's values that its overrides list, since its metrics depend on them.
_TOLD = ("seed", "epochs", "task.monitor", "task.monitor_mode", "split.fold")


class Trials:
    """Composes the configs of a search's trials.

    Args:
        base: Config of the search.
        parameters: Parameters of the space, each after those on which it depends.

    Raises:
        ConfigError: If the space has mistakes. The error lists all of them.
    """

    def __init__(self, base: Composed, parameters: Sequence[Parameter]) -> None:
        self._base = base
        self._templates: dict[tuple[str, ...], Composed] = {}
        with self._session() as checker:
            self._groups = {p.path for p in parameters if checker.options.is_group(p.path)}
            self.parameters, mistakes = self._bound(checker, parameters)
            mistakes += self._check(checker)
        if mistakes:
            raise ConfigError(mistakes)

    @contextlib.contextmanager
    def _session(self) -> Iterator[Checker]:
        with hydra_session(self._base.config_dirs) as hydra:
            yield Checker(hydra)

    def defaults(self) -> dict[str, Any]:
        """Returns the value in the search's config of each parameter, by path."""
        found = {}
        for parameter in self.parameters:
            if parameter.path in self._groups:
                choice = self._base.choices.get(parameter.path)
                value: Any = choice
                if choice and choice.startswith("["):
                    value = choice.strip("[]").split(",")
            else:
                value = OmegaConf.select(self._base.config, parameter.path)
                if OmegaConf.is_config(value):
                    value = OmegaConf.to_container(value, resolve=True)
            found[parameter.path] = value
        return found

    def compose(self, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Composed:
        """Returns the config of a trial.

        Args:
            values: Values of the active parameters, by path.
            extra: Values of further keys of the schema, by path.
        """
        groups = {path: value for path, value in values.items() if path in self._groups}
        template = self._template(groups)
        config = template.config.copy()
        OmegaConf.set_struct(config, False)
        for path, value in {**values, **extra}.items():
            if path not in groups:
                OmegaConf.update(config, path, value, merge=False)
        config.tuner = {}
        OmegaConf.set_struct(config, True)
        told = {k: v for k, v in extra.items() if k in _TOLD and k not in values}
        told = {k: v for k, v in told.items() if OmegaConf.select(template.config, k) != v}
        words = [word(path, value) for path, value in {**values, **told}.items()]
        base = self._base_words({**values, **told})
        choices = {k: v for k, v in template.choices.items() if k.partition("/")[0] != "tuner"}
        return replace(template, config=config, overrides=[*base, *words], choices=choices)

    def _template(self, groups: Mapping[str, Any]) -> Composed:
        """Returns the config with the chosen group options; composes it only once."""
        key = tuple(word(path, value) for path, value in groups.items())
        if key not in self._templates:
            with self._session() as checker:
                words = [*self._base_words(groups, keep_tuner=True), *key]
                [self._templates[key]] = checker.compose_all(words, multirun=False)
        return self._templates[key]

    def _base_words(self, values: Mapping[str, Any], *, keep_tuner: bool = False) -> list[str]:
        """Returns the overrides of the search that a trial's values do not replace."""
        return [
            item
            for item in self._base.overrides
            if item.partition("=")[0].lstrip("+") not in values
            and (keep_tuner or not item.lstrip("+~").startswith(("tuner", "resume=", "run_dir=")))
        ]

    # --- checks

    def _check(self, checker: Checker) -> list[Mistake]:
        """Composes trials that cover each candidate of each parameter; returns the mistakes."""
        mistakes: dict[tuple[str, str], Mistake] = {}
        for values in self._assignments():
            words = {word(path, value): path for path, value in values.items()}
            places = {command_line(item): path for item, path in words.items()}
            for mistake in self._try(checker, values, list(words))[1]:
                placed = _placed(mistake, places)
                mistakes[placed.place, placed.message] = placed
        return list(mistakes.values())

    def _try(
        self, checker: Checker, values: Mapping[str, Any], words: list[str]
    ) -> tuple[Composed | None, list[Mistake]]:
        checker.mistakes = []
        try:
            base = self._base_words(values, keep_tuner=True)
            return checker.compose_all([*base, *words], multirun=False)[0], []
        except ConfigError as error:
            return None, error.mistakes

    def _bound(
        self, checker: Checker, parameters: Sequence[Parameter]
    ) -> tuple[list[Parameter], list[Mistake]]:
        """Restricts keys of group options to the options that have the key."""
        by_path = {parameter.path: parameter for parameter in parameters}
        options: dict[tuple[str, str], Composed | None] = {}
        found, mistakes = [], []
        for parameter in parameters:
            group = parameter.path.partition(".")[0]
            chooser = by_path.get(group)
            if parameter.path == group or chooser is None:
                found.append(parameter)
                continue
            having = []
            for value in parameter.when.get(group, chooser.candidates):
                key = word(group, value)
                if (group, key) not in options:
                    options[group, key] = self._try(checker, {group: value}, [key])[0]
                if _holds(options[group, key], parameter.path):
                    having.append(value)
                elif group in parameter.when:
                    name = parameter.path.partition(".")[2]
                    place = f"tuner.space.{parameter.path}.when"
                    mistakes.append(Mistake(place, f"{key} has no key {name!r}."))
            if having and (group in parameter.when or len(having) < len(chooser.candidates)):
                parameter = replace(parameter, when={**parameter.when, group: tuple(having)})
            found.append(parameter)
        return found, mistakes

    def _assignments(self) -> Iterator[dict[str, Any]]:
        """Yields values of trials that together cover each candidate of each parameter."""
        left = {p.path: list(p.candidates) for p in self.parameters}
        by_path = {p.path: p for p in self.parameters}
        while target := next((p for p in self.parameters if left[p.path]), None):
            fixed = {target.path: left[target.path].pop(0)}
            depends = list(target.when.items())
            while depends:
                path, allowed = depends.pop()
                fixed[path] = allowed[0]
                depends += by_path[path].when.items()
            values: dict[str, Any] = {}
            for parameter in self.parameters:
                path = parameter.path
                if not parameter.active(values):
                    continue
                if path in fixed:
                    values[path] = fixed[path]
                else:
                    values[path] = left[path].pop(0) if left[path] else parameter.candidates[0]
            yield values


def _holds(composed: Composed | None, path: str) -> bool:
    node: Any = plain(composed.config) if composed else {}
    for name in path.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return False
        node = node[name]
    return True


def _placed(mistake: Mistake, places: Mapping[str, str]) -> Mistake:
    """Returns a mistake with its place in the space instead of the trial's override."""
    if mistake.place in places:
        return Mistake(f"tuner.space.{places[mistake.place]}", mistake.message)
    return mistake


def unknown_space(model: str, available: Sequence[str]) -> ConfigError:
    """Returns the error for a search without a space whose model has no default space.

    Args:
        model: Name of the model.
        available: Names of the available spaces.
    """
    return ConfigError(
        f"tuner.space: there is no default space for model={model}."
        f" {did_you_mean(model, available)} Give it keys: tuner.space.optimizer.learning_rate="
        "'{type: float, min: 1e-4, max: 1e-2, sampling: log}', choose one of these"
        " (tuner/space=NAME), or write your own: conf/tuner/space/NAME.yaml."
    )
