"""Reports on a regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kx.contracts.findings import Findings, ReportOptions, bootstrap
from kx.report import figures


def number_findings(
    targets: np.ndarray, answers: np.ndarray, names: Sequence[str], options: ReportOptions
) -> Findings:
    """Evaluates predicted numbers.

    Args:
        targets: True values, shape `(num_examples, num_targets)`.
        answers: Predicted values, shape `(num_examples, num_targets)`.
        names: Name of each target.
        options: Options of the report.
    """
    from sklearn import metrics

    few = len(targets) < 2
    found = {
        "mae": float(metrics.mean_absolute_error(targets, answers)),
        "mse": float(metrics.mean_squared_error(targets, answers)),
        "rmse": float(metrics.root_mean_squared_error(targets, answers)),
        "median_absolute_error": float(metrics.median_absolute_error(targets, answers)),
    }
    if not few:
        found["r2"] = float(metrics.r2_score(targets, answers))
        found["explained_variance"] = float(metrics.explained_variance_score(targets, answers))
    error = np.abs(targets - answers)
    worst = np.argsort(-error.mean(axis=1), kind="stable")[: options.num_mistakes]
    rows = [
        {
            "target": name,
            "mae": float(error[:, i].mean()),
            "rmse": float(np.sqrt((error[:, i] ** 2).mean())),
            "bias": float((answers[:, i] - targets[:, i]).mean()),
            "mean of the truth": float(targets[:, i].mean()),
        }
        for i, name in enumerate(names)
    ]

    def statistics(index: np.ndarray) -> dict[str, float]:
        return _resampled(targets[index], answers[index])

    return Findings(
        metrics=found,
        intervals=bootstrap(statistics, len(targets), options),
        statistics=statistics,
        tables={"Targets": rows},
        figures={
            "predicted": figures.predicted(targets, answers, names),
            "residuals": figures.residuals(targets, answers, names),
        },
        worst=worst,
        captions=[f"truth {_text(targets[i])}, answer {_text(answers[i])}" for i in worst],
    )


def _resampled(targets: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    error = targets - answers
    spread = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    r2 = 1 - (error**2).sum(axis=0) / np.where(spread == 0, np.nan, spread)
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "r2": float(r2.mean()),
    }


def _text(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
