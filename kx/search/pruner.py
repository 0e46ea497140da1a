"""Pruners: early stopping of trials by their learning curves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

_FIRST_TRIALS = 4  # never pruned: the median needs trials to compare with
_FIRST_EPOCHS = 3  # epochs that every trial runs
_FACTOR = 3  # ASHA's reduction factor


def continues(
    pruner: str | None, curve: Sequence[float], others: Sequence[Sequence[float]], direction: str
) -> bool:
    """Returns whether a trial continues after an epoch.

    Args:
        pruner: `"median"` (after Golovin et al. 2017, "Google Vizier", section 3.2.2:
            stop if the best so far is worse than the median of the others' best at
            that epoch), `"asha"` (Li et al. 2020, "A System for Massively Parallel
            Hyperparameter Tuning", section 3, stopping variant: at epochs 3, 9, 27 …
            only the best third continues) or None: every trial continues.
        curve: Objective after each epoch so far, shape (num_epochs,).
        others: Curves of the other trials, in the same form.
        direction: Direction of the objective, `"max"` or `"min"`.

    Example:
    >>> continues("median", [0.1, 0.1, 0.1], [[0.5, 0.6, 0.7]] * 4, "max")
    False
    """
    epoch = len(curve)
    best = max if direction == "max" else min
    sign = 1 if direction == "max" else -1
    if pruner is None or not curve:
        return True
    if not any(map(math.isfinite, curve)):
        return epoch < _FIRST_EPOCHS
    # NaN compares false with every number, so epochs without a finite value are ignored.
    curves = [list(filter(math.isfinite, other[:epoch])) for other in others if len(other) >= epoch]
    reached = [best(values) for values in curves if values]
    mine = best(filter(math.isfinite, curve))
    if pruner == "median":
        if epoch < _FIRST_EPOCHS or len(reached) < _FIRST_TRIALS:
            return True
        return sign * mine >= sign * statistics.median(reached)
    if not _is_rung(epoch):
        return True
    ranked = sorted([*reached, mine], key=lambda score: -sign * score)
    return mine in ranked[: max(1, len(ranked) // _FACTOR)]


def _is_rung(epoch: int) -> bool:
    rung = _FIRST_EPOCHS
    while rung < epoch:
        rung *= _FACTOR
    return rung == epoch
