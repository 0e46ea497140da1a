"""A model's answers to the examples of a split, as the report of a task receives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kx.contracts.fields import count_of, map_fields

_BATCH_SIZE = 256


@dataclass(frozen=True)
class Answers:
    """Holds a model's answers to examples, in the order of the split.

    Args:
        targets: Target of each example as it is stored, an array, or arrays of fields by name.
        scores: Scores of each example, an array, or arrays of outputs by name. None where the
            model takes no examples of the data: the report asks `model` itself.
    """

    targets: Any
    scores: Any

    @property
    def model(self) -> Any:
        """Model that answered, for a report that asks it more."""
        raise NotImplementedError("These answers were given without their model.")

    def training_batches(self, batch_size: int = _BATCH_SIZE) -> Iterator[Any]:
        """Yields the prepared inputs of the training split, some at a time.

        Args:
            batch_size: Number of examples at a time. Defaults to 256.
        """
        raise NotImplementedError("These answers were given without the training split.")

    @property
    def inputs(self) -> Any:
        """Prepared inputs of the examples, an array, or arrays of fields by name."""
        raise NotImplementedError("These answers were given without the inputs.")

    @property
    def raw(self) -> Sequence[tuple[Any, Any]]:
        """The raw input and the raw target of each example, as bytes where they are texts."""
        raise NotImplementedError("These answers were given without the examples.")

    @property
    def encoded(self) -> Iterator[tuple[Any, ...]]:
        """Batches of the examples as the task encodes them: inputs, targets, and weights."""
        raise NotImplementedError("These answers were given without the examples.")

    def batches(self, batch_size: int = _BATCH_SIZE) -> Iterator[tuple[Any, Any, Any]]:
        """Yields `(inputs, targets, scores)` of some examples at a time.

        Args:
            batch_size: Number of examples at a time. Defaults to 256.
        """
        inputs, count = self.inputs, count_of(self.targets)
        for start in range(0, count, batch_size):
            part = slice(start, start + batch_size)
            yield tuple(  # type: ignore[misc]
                map_fields(lambda one, part=part: one[part], fields)
                for fields in (inputs, self.targets, self.scores)
            )


@dataclass(frozen=True)
class Seen:
    """Holds examples that a baseline learns from, or is asked.

    Args:
        targets: Target of each example as it is stored.
        read_raw: Function that returns the raw inputs, as a list.
        read_inputs: Function that returns the prepared inputs, an array or arrays by name.
        notes: What a baseline adds where it did not learn in full, for the report: `"on 500 of
            2,000 examples"`.
    """

    targets: Any
    read_raw: Callable[[], Sequence[Any]]
    read_inputs: Callable[[], Any]
    notes: list[str] = field(default_factory=list)

    @cached_property
    def raw(self) -> Sequence[Any]:
        """Raw inputs: texts are strings."""
        return self.read_raw()

    @cached_property
    def inputs(self) -> Any:
        """Prepared inputs, an array, or arrays of fields by name."""
        return self.read_inputs()


# From the training examples and those that are judged to scores of these, as the model gives them.
Baseline = Callable[[Seen, Seen], Any]
