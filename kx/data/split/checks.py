"""Checks of what a source or an option of `split` returns: nothing is dropped without an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kx.contracts.examples import SPLITS, Examples
from kx.contracts.fields import named_fields
from kx.contracts.specs import Spec
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
    lengths = {"contents": examples.contents, "weights": examples.weights}
    if not callable(examples.inputs):
        lengths |= named_fields(examples.inputs, "inputs")
    if isinstance(examples.targets, Mapping):
        lengths |= {f"targets {name!r}": values for name, values in examples.targets.items()}
    has, wanted = (named_fields(one, "").keys() for one in (examples.targets, examples.target_spec))
    if has != wanted and examples.target_spec is not None:
        raise DataError(
            f"{name}: expected targets of the fields {', '.join(wanted) or '(one value)'}, as their"
            f" spec says. Received: {', '.join(has) or '(one value)'}."
        )
    for what, values in lengths.items():
        if values is not None and len(values) != count:
            raise DataError(
                f"{name}: expected {count:,} {what}, as many as targets. Received: {len(values):,}."
            )
    if examples.weights is not None and not (
        np.isfinite(examples.weights).all() and (examples.weights >= 0).all()
    ):
        raise DataError(f"{name}: expected weights of examples that are finite, and 0 or more.")
    for field, spec in named_fields(examples.target_spec, "").items():
        targets = examples.targets[field] if field else examples.targets
        if spec is not None and spec.kind != "mask":
            _check_targets(targets, spec, f"{name}{field and f' ({field})'}")
    if examples.own_splits:
        check_parts(examples.own_splits, count, f"{name}: own_splits")


def _check_targets(targets: np.ndarray, spec: Spec, name: str) -> None:
    """Raises `DataError` if targets have another shape than their spec, or are no class indices."""
    if targets.shape[1:] != tuple(spec.shape):
        raise DataError(
            f"{name}: its targets have the shape {targets.shape[1:]} for one example, and their"
            f" spec says {tuple(spec.shape)}. targets.reshape(-1) makes one number of each."
        )
    if spec.class_names is None or spec.shape != () or not len(targets):
        return
    if targets.dtype.kind not in "biuf":
        raise DataError(
            f"{name}: expected class indices from 0 to {len(spec.class_names) - 1} as targets."
            f" Received: {targets.dtype}, such as {targets[0]!r}. class_names.index(…) has them."
        )
    wrong = np.flatnonzero(~np.isin(targets, np.arange(len(spec.class_names))))
    if len(wrong):
        raise DataError(
            f"{name}: expected class indices from 0 to {len(spec.class_names) - 1} as targets,"
            f" since there are {len(spec.class_names)} class names. Received: {targets[wrong[0]]!r}"
            f" for example {wrong[0]}."
        )


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
