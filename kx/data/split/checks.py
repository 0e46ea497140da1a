"""Checks of what a source or an option of `split` returns: nothing is dropped without an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kx.contracts.examples import SPLITS, Examples
from kx.errors import DataError, did_you_mean


def check_examples(examples: Examples) -> None:
    """Checks that the parts of a source's examples fit together.

    Args:
        examples: Examples of a source.

    Raises:
        DataError: If lengths differ, or the splits of its own have unknown names, share examples,
            or have no `train`.
    """
    count, name = examples.num_examples, examples.name
    lengths = {"contents": examples.contents}
    if not callable(examples.inputs):
        lengths["inputs"] = examples.inputs
    for what, values in lengths.items():
        if values is not None and len(values) != count:
            raise DataError(
                f"{name}: expected {count:,} {what}, as many as targets. Received: {len(values):,}."
            )
    if examples.own_splits:
        check_parts(examples.own_splits, count, f"{name}: own_splits")


def check_parts(parts: Mapping[str, Any], num_examples: int, where: str) -> None:
    """Checks positions by split name.

    Args:
        parts: Split name to positions.
        num_examples: Number of examples of the set.
        where: Source of the positions, for messages.

    Raises:
        DataError: If a name is unknown, `train` is missing, a position is out of range, or an
            example is in two splits.
    """
    for part in parts:
        if part not in SPLITS:
            raise DataError(f"{where}: there is no split {part!r}. {did_you_mean(part, SPLITS)}")
    if not len(parts.get("train", ())):
        raise DataError(
            f"{where} must have examples to train on, in 'train'. Got {', '.join(parts) or 'none'}."
        )
    together = np.concatenate([np.asarray(positions, "int64") for positions in parts.values()])
    if len(together) and not (together.min() >= 0 and together.max() < num_examples):
        raise DataError(
            f"{where}: positions must be 0 to {num_examples - 1}."
            f" Got {together.min()} to {together.max()}."
        )
    distinct, counts = np.unique(together, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"{where}: an example must be in one split. Example {distinct[counts > 1][0]} is in"
            f" several, or twice in one ({(counts > 1).sum():,} such examples)."
        )
