"""Times of examples, as a split by time reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kx.contracts.examples import Examples
from kx.errors import ConfigError, DataError


def read_times(values: Sequence[Any], where: str) -> np.ndarray:
    """Returns times as numbers, or as dates.

    Args:
        values: Time of each example.
        where: Source of the values, for messages.

    Raises:
        DataError: If a value is neither a number nor a date.
    """
    try:
        numbers = np.array([float(value) for value in values])
        if np.isfinite(numbers).all():
            return numbers
    except (TypeError, ValueError):
        pass
    import pandas as pd

    dates = pd.to_datetime(pd.Series(values), format="ISO8601", utc=True, errors="coerce")
    if dates.isna().any():
        bad = list(values)[int(np.argmax(dates.isna()))]
        raise DataError(
            f"{where}: expected numbers, or dates as 2026-01-31 or 2026-01-31T12:00. Received:"
            f" {bad!r}."
        )
    return dates.dt.tz_localize(None).to_numpy()


def in_order(examples: Examples) -> np.ndarray:
    """Returns the number of each example as its time, where examples follow one another.

    Args:
        examples: Examples of a source.

    Raises:
        ConfigError: If they have no order of their own.
    """
    if not examples.in_order:
        raise ConfigError(
            f"split.column: the examples of {examples.name} have no order of their own. Name the"
            " column of their times: split.column=date."
        )
    return np.arange(examples.num_examples, dtype="float64")


def refuse_ignored(
    examples: Examples, fold: Mapping[str, Any] | None, starts: Mapping[str, Any]
) -> None:
    """Refuses the start of a split that is the source's own, or a fold.

    Args:
        examples: Examples of a source.
        fold: Fold of the config, or None.
        starts: Split name to the time with which it starts, or None.

    Raises:
        ConfigError: If a start would be ignored.
    """
    for part, start in starts.items():
        by_fold = fold is not None and fold.get("split", "validation") == part
        if start is not None and (by_fold or part in examples.own_splits):
            other = "the fold" if by_fold else f"the {part} split of {examples.name} itself"
            raise ConfigError(
                f"split.{part}_from={start} would be ignored: {other} is used. Set"
                f" split.{part}_from=null."
            )


def read_start(times: np.ndarray, value: Any, key: str) -> Any:
    """Returns the time with which a split starts, in the form of the times.

    Args:
        times: Time of each example.
        value: Value of the config.
        key: Key of the value, for messages.

    Raises:
        ConfigError: If the value is no such time.
    """
    try:
        start = read_times([value], key)[0]
    except DataError as error:
        raise ConfigError(str(error)) from error
    if isinstance(start, np.datetime64) != (times.dtype.kind == "M"):
        example = times.min()
        raise ConfigError(f"{key}: expected a time like {example}. Received: {value!r}.")
    return start
