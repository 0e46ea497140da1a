"""The findings of an evaluation: the common form of the reports of all tasks."""

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
    """Holds the options of a report.

    Args:
        num_bootstrap_samples: Number of bootstrap samples for the confidence intervals. Defaults
            to 1000.
        confidence_level: Confidence level of the intervals. Defaults to 0.95.
        num_mistakes: Number of the worst mistakes that are shown. Defaults to 25.
        seed: Seed of the bootstrap. Defaults to 0.
    """

    num_bootstrap_samples: int = 1000
    confidence_level: float = 0.95
    num_mistakes: int = 25
    seed: int = 0


@dataclass
class Findings:
    """Holds the findings of an evaluation.

    Args:
        metrics: Metric name to value.
        intervals: Metric name to its bootstrap interval, `(low, high)`.
        tables: Title to rows, each a mapping of column to value.
        figures: Name to figure.
        worst: Indices of the worst predictions, the worst first.
        captions: Line of text for each of `worst`: truth and prediction.
        statistics: Function from indices of examples (with repetition) to metrics: those that
            the bootstrap resamples.
        correct: Whether each prediction is correct. Defaults to None: predictions are not
            correct or wrong.
        correct_metric: Name of the metric that is the fraction of `correct`.
        predictions: Name to predictions, one row for each example.
        judged: Which examples were evaluated: `"40 examples: all of other"`.
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
        statistics: Function from indices (with repetition) to values by name.
        num_examples: Number of examples that indices are drawn from.
        options: Number of samples, confidence level and seed.
        shares: Whether the values are fractions of the examples. If all examples are correct, or
            none, all bootstrap samples are equal, and Wilson's interval is returned instead.
            Defaults to False.

    Returns:
        Name to `(low, high)`.

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
