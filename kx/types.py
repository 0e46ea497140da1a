"""Types of arguments that say which values an argument takes.

They are for the signatures of models, data, tasks and augmentations, kx's own and a user's. The
values of a config are checked by them before anything is imported or built:

    from kx.types import Count, Fraction

    def net(inputs, outputs, *, units: Count = 64, dropout: Fraction = 0.1): ...

`units=0` ends in an error that says what is expected. `Count | None` takes null too, and
`list[Count]` a list. To a type checker, they are `int`, `float` and `str`.

An argument `teacher: RunName` of a task or a model gets the finished run that the config
names, with its `model()`, `task()` and `bundle()`; the record of the run names its id.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin


@dataclass(frozen=True)
class Rule:
    """Describes the values that an argument takes.

    Args:
        expected: Description for messages: `"a whole number, at least 1"`.
        holds: Function that returns whether a value is one of them.
    """

    expected: str
    holds: Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


Count = Annotated[int, Rule("a whole number, at least 1", lambda v: _whole(v) and v >= 1)]
NonNegativeInt = Annotated[int, Rule("a whole number, 0 or more", lambda v: _whole(v) and v >= 0)]
Seed = Annotated[
    int, Rule("a whole number, 0 to 4294967295", lambda v: _whole(v) and 0 <= v < 2**32)
]
Positive = Annotated[
    float, Rule("a number greater than 0", lambda v: _number(v) and 0 < v < math.inf)
]
NonNegative = Annotated[float, Rule("0 or more", lambda v: _number(v) and 0 <= v < math.inf)]
AtLeastOne = Annotated[float, Rule("at least 1", lambda v: _number(v) and 1 <= v < math.inf)]
Degrees = NonNegative
Fraction = Annotated[float, Rule("at least 0 and less than 1", lambda v: _number(v) and 0 <= v < 1)]
Share = Annotated[float, Rule("more than 0, at most 1", lambda v: _number(v) and 0 < v <= 1)]
Percentile = Annotated[
    float, Rule("more than 0, at most 100", lambda v: _number(v) and 0 < v <= 100)
]
Probability = Annotated[float, Rule("between 0 and 1", lambda v: _number(v) and 0 <= v <= 1)]
OpenFraction = Annotated[
    float, Rule("between 0 and 1, neither included", lambda v: _number(v) and 0 < v < 1)
]
HueFraction = Annotated[float, Rule("between 0 and 0.5", lambda v: _number(v) and 0 <= v <= 0.5)]
MetricName = Annotated[
    str, Rule("one of the metrics, by its name: val_loss", lambda v: isinstance(v, str))
]
RunName = Annotated[
    str, Rule("a RUN: its id, its name, latest or best", lambda v: isinstance(v, str) and bool(v))
]
ImageSize = Annotated[
    Sequence[int],
    Rule(
        "[height, width]: two whole numbers, at least 1",
        lambda v: len(v) == 2 and all(_whole(one) and one >= 1 for one in v),
    ),
]
# What the name of a metric does not tell is refused once it is known that there is such a metric.
MetricMode = Annotated[str, Rule("one of min, max", lambda v: v in ("min", "max", "unknown"))]
Standardization = Literal[
    "lower_and_strip_punctuation", "lower", "strip_punctuation", "separate_punctuation",
    "lower_and_separate_punctuation",
]  # fmt: skip
Normalization = Literal["unit", "symmetric", "standardize", "mnist", "imagenet", "caffe", "none"]


@dataclass(frozen=True)
class Annotation:
    """Holds which values an argument takes, as far as its annotation says it.

    Args:
        rules: Rules of which one must hold.
        item_rules: Rules of which one must hold for each item of a list.
        null: Whether null is one of the values.
        plain: Types whose values are taken beside these.
        others: Whether there may be values of which the annotation says nothing.
    """

    rules: tuple[Rule, ...] = ()
    item_rules: tuple[Rule, ...] = ()
    null: bool = False
    plain: tuple[type, ...] = ()
    others: bool = False

    @property
    def expected(self) -> str:
        """What is expected, for messages."""
        words = [rule.expected for rule in self.rules]
        words += [f"a list of these: {rule.expected}" for rule in self.item_rules]
        words += [_PLAIN[kind] for kind in self.plain]
        return " or ".join(dict.fromkeys(words))

    @property
    def is_choice(self) -> bool:
        """Whether one of a few words is expected."""
        return self.expected.startswith("one of")

    def problem(self, value: Any) -> str | None:
        """Returns what is expected in place of a value, or None if it fits.

        Args:
            value: Plain value of a config.
        """
        if not self.rules and not self.item_rules:
            return None
        if value is None:
            fits = self.null
        elif isinstance(value, list) and self.item_rules:
            for item in value:
                if not any(_holds(rule, item) for rule in self.item_rules):
                    return " or ".join(rule.expected for rule in self.item_rules)
            return None
        elif isinstance(value, dict):  # it stands for an object, which its own class judges
            fits = not self.is_choice
        else:
            fits = self.others or any(_holds(rule, value) for rule in self.rules)
            fits |= any(_is(value, kind) for kind in self.plain)
        return None if fits else self.expected


_PLAIN = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _is(value: Any, kind: type) -> bool:
    """Returns whether a value is of a plain type; a whole number is a number, too."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _holds(rule: Rule, value: Any) -> bool:
    try:
        return bool(rule.holds(value))
    except TypeError:
        return False


def union(one: Annotation, other: Annotation) -> Annotation:
    """Returns what one annotation or another one says.

    Args:
        one: First annotation.
        other: Second annotation.
    """
    return Annotation(
        one.rules + other.rules, one.item_rules + other.item_rules, one.null or other.null,
        one.plain + other.plain, one.others or other.others,
    )  # fmt: skip


def one_of(values: Any) -> Rule:
    """Returns the rule of a choice.

    Args:
        values: Values of which one is expected.
    """

    def holds(value: Any) -> bool:
        return any(value == one and type(value) is type(one) for one in values)

    return Rule("one of " + ", ".join(map(str, values)), holds)


def of_type(hint: Any) -> Annotation:
    """Returns what a type says: one of kx.types, a literal, lists and unions of these.

    Args:
        hint: Type, such as `Count | None`.
    """
    origin = get_origin(hint)
    if hint is type(None):
        return Annotation(null=True)
    if hasattr(hint, "__metadata__"):
        return Annotation((hint.__metadata__[0],))
    if origin is Literal:
        return Annotation((one_of(get_args(hint)),))
    if origin in (Union, UnionType):
        return functools.reduce(union, map(of_type, get_args(hint)))
    if hint in _PLAIN:
        return Annotation(plain=(hint,))
    if origin is list:
        return Annotation(item_rules=of_type(get_args(hint)[0]).rules)
    return Annotation(others=True)
