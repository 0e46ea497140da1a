"""Search spaces: parses and checks the YAML of `tuner.space` over keys of the config."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kx.errors import Mistake, did_you_mean

_ALLOWED = {
    "float": ("min", "max", "step", "sampling"),
    "int": ("min", "max", "step", "sampling"),
    "choice": ("values",),
    "bool": (),
}
_WORDS = {"type", "when", *(word for words in _ALLOWED.values() for word in words)}
_SAMPLINGS = ("linear", "log", "reverse_log")
_LARGEST = 1e15  # a float represents all whole numbers up to about 9e15 exactly
_SLACK = Decimal("1e-9")  # in steps: rounding error of a step such as 1/3 in 16 digits


def _exact(number: float) -> Decimal:
    """Returns a number as it was written: 0.1, not the nearest binary fraction."""
    return Decimal(str(number))


@dataclass(frozen=True)
class Parameter:
    """Describes the values that a key of the config may take.

    Args:
        path: Dotted path of the key.
        kind: Type of the parameter: `"float"`, `"int"`, `"choice"` or `"bool"`.
        min: Smallest number of a range.
        max: Largest number of a range, inclusive.
        step: Difference between numbers of a range; their ratio if sampling is not
            linear. Defaults to None: a continuous range.
        sampling: Sampling of a range: `"linear"`, `"log"` or `"reverse_log"`.
            Defaults to `"linear"`.
        values: Values of a choice. Lists, null and mixed types are allowed.
        when: Allowed values of other parameters, by path. The parameter is active only
            where each of them has one of its allowed values.
    """

    path: str
    kind: str
    min: float = 0.0
    max: float = 0.0
    step: float | None = None
    sampling: str = "linear"
    values: tuple[Any, ...] = ()
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def candidates(self) -> list[Any]:
        """Returns representative values: all values of a choice, the ends of a range."""
        if self.kind in ("float", "int"):
            return [self.min, self.max]
        return [False, True] if self.kind == "bool" else list(self.values)

    def active(self, values: Mapping[str, Any]) -> bool:
        """Returns whether the parameter is active, given the values of the others by path."""
        return all(
            path in values and values[path] in allowed for path, allowed in self.when.items()
        )

    def admits(self, value: Any) -> bool:
        """Returns whether the parameter may take a value."""
        if self.kind in ("choice", "bool"):
            return any(type(value) is type(v) and value == v for v in self.candidates)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not self.min <= value <= self.max:
            return False
        if self.kind == "int" and value != int(value):
            return False
        if not self.step:
            return True
        slack = 1e-6 * self.step if self.sampling == "linear" else 0
        return math.isclose(value, self.at(self.place(value)), rel_tol=1e-6, abs_tol=slack)

    @property
    def num_steps(self) -> int:
        """Returns the number of values of a range with a step; includes `max` if on a step."""
        assert self.step is not None
        if self.sampling == "linear":
            steps = (_exact(self.max) - _exact(self.min)) / _exact(self.step)
        else:
            steps = Decimal(math.log(self.max / self.min) / math.log(self.step))
        return int(steps + _SLACK) + 1

    def at(self, place: int) -> Any:
        """Returns the value at an index of a range with a step.

        The sum is decimal: 0.1, 0.2, 0.3, where binary floats give
        0.30000000000000004, which exceeds `max`.

        Args:
            place: Index of the value, from 0 (the smallest) to `num_steps` - 1.
        """
        low, high, step = _exact(self.min), _exact(self.max), _exact(self.step or 1)
        if self.sampling == "linear":
            value = low + place * step
        elif self.sampling == "log":
            value = low * step**place
        else:  # reverse_log: dense at the upper end, so the steps count down from it
            value = high + low - low * step ** (self.num_steps - 1 - place)
        if self.kind == "int":
            return int(min(max(value, low), high))
        return min(max(float(f"{value:.12g}"), self.min), self.max)

    def place(self, value: float) -> int:
        """Returns the index of the nearest value of a range with a step.

        Args:
            value: Number within the range.
        """
        assert self.step is not None
        if self.sampling == "linear":
            steps = (value - self.min) / self.step
        elif self.sampling == "log":
            steps = math.log(value / self.min) / math.log(self.step)
        else:
            ratio = (self.max + self.min - value) / self.min
            steps = self.num_steps - 1 - math.log(ratio) / math.log(self.step)
        return min(max(round(steps), 0), self.num_steps - 1)


def read_space(space: Mapping[str, Any]) -> tuple[list[Parameter], list[Mistake]]:
    """Parses a space. Nested and dotted keys are equivalent.

    Args:
        space: Mapping of keys to `{type: …}` nodes.

    Returns:
        The parameters, each after those on which it depends, and the mistakes.
    """
    parameters: dict[str, Parameter] = {}
    mistakes: list[Mistake] = []
    for path, node in flat(space).items():
        found = _problems(node)
        mistakes += [Mistake(f"tuner.space.{path}", problem) for problem in found]
        if not found:
            parameters[path] = _parameter(path, node)
    for parameter in parameters.values():
        for parent, allowed in parameter.when.items():
            place = f"tuner.space.{parameter.path}.when"
            if parent == parameter.path or parent not in parameters:
                known = [p for p in parameters if p != parameter.path]
                hint = did_you_mean(parent, known, "Parameters") if known else ""
                text = f"{parent!r} is not in the space: add tuner.space.{parent}. {hint}"
                if parent == parameter.path:
                    text = "it depends on itself."
                mistakes.append(Mistake(place, text.strip()))
                continue
            absent = [v for v in allowed if not parameters[parent].admits(v)]
            if absent:
                text = f"{parent} is never {' or '.join(map(repr, absent))}."
                names = parameters[parent].candidates
                mistakes.append(Mistake(place, f"{text} Its values: {names}."))
    if not mistakes and not parameters:
        mistakes.append(
            Mistake(
                "tuner.space",
                "There is nothing to search. Give it keys: tuner.space.optimizer.learning_rate="
                "'{type: float, min: 1e-4, max: 1e-2, sampling: log}'.",
            )
        )
    return ([] if mistakes else _parents_first(parameters, mistakes)), mistakes


def flat(space: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the nodes of a space by path, without those that a null removes."""
    nodes = {path: node for path, node in _pairs(space) if node is not None}
    return without(nodes, taken_out(space))


def without(nodes: Mapping[str, Any], nulls: Sequence[str]) -> dict[str, Any]:
    """Returns the nodes by path, without those that nulls remove.

    Args:
        nodes: Nodes of a space, by path.
        nulls: Paths whose node is null.
    """
    gone = {path for null in nulls for path in taken_by(null, nodes)}
    return {path: node for path, node in nodes.items() if path not in gone}


def taken_out(space: Mapping[str, Any]) -> list[str]:
    """Returns the paths whose node is null."""
    return [path for path, node in _pairs(space) if node is None]


def taken_by(null: str, paths: Collection[str]) -> list[str]:
    """Returns the paths that a null removes: its own, or if that is unknown, all below it."""
    return [null] if null in paths else [p for p in paths if p.startswith(f"{null}.")]


def _pairs(space: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, node in space.items():
        here = f"{path}.{key}" if path else str(key)
        if not isinstance(node, Mapping):
            yield here, node
            continue
        # `model` may be a parameter itself and also contain `model.dropout`.
        inner = {
            k: v
            for k, v in node.items()
            if k != "when" and (isinstance(v, Mapping) or (v is None and k not in _WORDS))
        }
        own = {k: v for k, v in node.items() if k not in inner}
        if own or not inner:
            yield here, own
        yield from _pairs(inner, here)


def _problems(node: Any) -> list[str]:
    if not isinstance(node, Mapping):
        return [f"expected {{type: …}}. Received: {node!r}."]
    kind = node.get("type")
    if not isinstance(kind, str) or kind not in _ALLOWED:
        return [f"expected type: {', '.join(_ALLOWED)}. Received: {kind!r}."]
    known = ("type", "when", *_ALLOWED[kind])
    found = [
        f"{key!r} is not a word of type {kind}. {did_you_mean(key, known)}"
        for key in node
        if key not in known
    ]
    when = node.get("when")
    if when is not None and not (isinstance(when, Mapping) and when):
        found.append(f"when: expected {{key: [values]}}. Received: {when!r}.")
    if kind == "choice":
        return found + _choice_problems(node.get("values"))
    return found + (_range_problems(node, kind) if kind != "bool" else [])


def _choice_problems(values: Any) -> list[str]:
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        return [f"expected values: a list. Received: {values!r}."]
    words = [json.dumps(value, default=str) for value in values]
    twice = sorted({word for word in words if words.count(word) > 1})
    return [f"These values come twice: {', '.join(twice)}."] if twice else []


def _range_problems(node: Mapping[str, Any], kind: str) -> list[str]:
    found = []
    numbers: dict[str, Any] = {}
    for key in ("min", "max", "step"):
        value = node.get(key)
        if value is None and key == "step":
            continue
        good = isinstance(value, int if kind == "int" else int | float)
        if not good or isinstance(value, bool) or not -_LARGEST <= value <= _LARGEST:  # type: ignore[operator]
            what = "a whole number" if kind == "int" else "a number"
            found.append(f"expected {key}: {what}. Received: {value!r}.")
        else:
            numbers[key] = value
    sampling = node.get("sampling", "linear")
    if sampling not in _SAMPLINGS:
        found.append(f"expected sampling: {', '.join(_SAMPLINGS)}. Received: {sampling!r}.")
    if found:
        return found
    if numbers["min"] >= numbers["max"]:
        found.append(f"min ({numbers['min']}) must be below max ({numbers['max']}).")
    if sampling != "linear" and numbers["min"] <= 0:
        found.append(f"sampling: {sampling} needs min above 0. Received: {numbers['min']}.")
    least = 1 if sampling != "linear" else 0
    if "step" in numbers and numbers["step"] <= least:
        found.append(f"step must be greater than {least}. Received: {numbers['step']}.")
    return found


def _parameter(path: str, node: Mapping[str, Any]) -> Parameter:
    when = {
        str(key): tuple(allowed) if isinstance(allowed, list | tuple) else (allowed,)
        for key, allowed in (node.get("when") or {}).items()
    }
    rest = {k: v for k, v in node.items() if k in ("min", "max", "step", "sampling")}
    return Parameter(path, node["type"], values=tuple(node.get("values", ())), when=when, **rest)


def _parents_first(parameters: Mapping[str, Parameter], mistakes: list[Mistake]) -> list[Parameter]:
    """Orders parameters so that each comes after those on which it depends."""
    placed: dict[str, Parameter] = {}
    left = dict(parameters)
    while left:
        ready = [p for p in left.values() if set(p.when) <= set(placed)]
        if not ready:
            mistakes.append(Mistake("tuner.space", f"when goes in a circle: {', '.join(left)}."))
            return []
        for parameter in ready:
            placed[parameter.path] = left.pop(parameter.path)
    return list(placed.values())
