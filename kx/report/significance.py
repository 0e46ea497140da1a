"""Whether two models differ on the same examples."""

from __future__ import annotations

import numpy as np


def mcnemar(correct: np.ndarray, others: np.ndarray) -> float:
    """Returns the p-value of McNemar's exact test: whether two error rates differ.

    Args:
        correct: Whether each answer of one model is right, shape `(num_examples,)`.
        others: Whether each answer of another model is right, on the same examples and of the
            same shape.

    Example:
    >>> mcnemar(np.array([True] * 10), np.array([False] * 10))
    0.001953125
    """
    from scipy.stats import binomtest

    only_one, only_other = int((correct & ~others).sum()), int((~correct & others).sum())
    if only_one + only_other == 0:
        return 1.0
    return float(binomtest(only_one, only_one + only_other).pvalue)


def sign_p(differences: np.ndarray) -> float:
    """Returns the two-sided p-value of no difference, by the sign of bootstrap differences.

    Args:
        differences: Difference in each bootstrap sample.
    """
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return float("nan")
    count = len(differences) + 1
    below, above = (differences <= 0).sum() + 1, (differences >= 0).sum() + 1
    return float(min(1.0, 2 * min(below, above) / count))
