"""A model's predictions as arrays by name, as they are kept with a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kx.contracts.answers import Answers
from kx.contracts.task import Task
from kx.data.examples import as_text
from kx.errors import DataError


def predictions(answers: Answers, task: Task) -> dict[str, np.ndarray]:
    """Returns a model's predictions by name, one row for each example.

    Args:
        answers: Answers of the model.
        task: Task of the model.
    """
    decoded = task.decode(answers.scores)
    found = {name: np.asarray(value) for name, value in decoded.items()}
    for name, values in found.items():
        if values.dtype == object:
            found[name] = np.array([as_text(value) for value in values])
    return {
        **_flat(answers.targets, "targets"),
        **_flat(answers.scores, "scores"),
        **found,
    }


def fields_of(arrays: Mapping[str, np.ndarray], name: str) -> Any:
    """Returns a kept value, or its fields by name, or None if it was not kept.

    Args:
        arrays: Kept predictions, as `predictions` returns them.
        name: `"targets"` or `"scores"`.
    """
    if name in arrays:
        return arrays[name]
    prefix = f"{name}."
    found = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
    return found or None


def _flat(fields: Any, name: str) -> dict[str, np.ndarray]:
    """Returns a value under its name, or fields as `targets.mask`."""
    if not isinstance(fields, Mapping):
        return {name: fields}
    return {f"{name}.{field}": value for field, value in fields.items()}


def require_scores(answers: Answers, run_name: str) -> None:
    """Raises an error for a model that gives no scores for the examples of its data.

    Args:
        answers: Answers of the model.
        run_name: Name of its run, for the message.

    Raises:
        DataError: If there are no scores to average or to compare.
    """
    if answers.scores is None:
        raise DataError(
            f"The model of {run_name} gives no scores for the examples of its data, which could be"
            " compared example by example: it writes texts, makes images or acts. Its"
            " report: kx evaluate RUN."
        )
