"""What an evaluation found: the common form of all tasks' reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Statistics = Callable[[np.ndarray], dict[str, float]]


@dataclass(frozen=True)
class ReportOptions:
    """Says how much a report shows.

    Args:
        num_bootstrap_samples: for the confidence intervals.
        confidence_level: of the intervals.
        num_mistakes: the worst ones that are shown.
        seed: of the bootstrap.
    """

    num_bootstrap_samples: int = 1000
    confidence_level: float = 0.95
    num_mistakes: int = 25
    seed: int = 0


@dataclass
class Findings:
    """Holds what an evaluation found.

    Args:
        metrics: name to number.
        intervals: name to (low, high), by the bootstrap.
        tables: title to rows, each a mapping of column to value.
        figures: name to figure.
        worst: indices of the worst answers, worst first.
        captions: a line for each of `worst`: truth and answer.
        statistics: function from indices of examples (with repetition) to
            metrics: those that the bootstrap looks at.
        correct: whether each answer is right, where it is that or not.
        correct_metric: name of the metric that is the share of `correct`.
        predictions: what was predicted, by name, one row for each example.
        judged: how many examples were judged, of which: `"40 examples: all of other"`.
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    worst: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype="int64"))
    captions: list[str] = field(default_factory=list)
    statistics: Statistics | None = None
    correct: np.ndarray | None = None
    correct_metric: str | None = None
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    judged: str = ""


def bootstrap(
    statistics: Statistics, num_examples: int, options: ReportOptions, *, shares: bool = False
) -> dict[str, tuple[float, float]]:
    """Returns percentile confidence intervals by resampling the examples.

    Args:
        statistics: function from indices (with repetition) to named numbers.
        num_examples: to draw from.
        options: how many samples, which level, which seed.
        shares: whether the numbers are shares of the examples. Where all are right, or none,
            each sample is as the other, and Wilson's interval says what the bootstrap cannot.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13; Wilson 1927.
    """
    from scipy.stats import binomtest

    generator = np.random.default_rng(options.seed)
    draws = [
        statistics(generator.integers(0, num_examples, num_examples))
        for _ in range(options.num_bootstrap_samples)
    ]
    tail = (1 - options.confidence_level) / 2 * 100
    intervals = {}
    for name in draws[0]:
        low, high = np.nanpercentile([draw[name] for draw in draws], [tail, 100 - tail])
        if shares and low == high and low in (0, 1):
            all_alike = binomtest(int(low) * num_examples, num_examples)
            low, high = all_alike.proportion_ci(options.confidence_level, method="wilson")
        intervals[name] = (float(low), float(high))
    return intervals
