"""Reports on a classification: two classes or more, one for each example."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kx.contracts.findings import Findings, ReportOptions, bootstrap
from kx.report import figures

_MAX_CURVES = 20  # more curves in one figure cannot be distinguished


def class_findings(
    targets: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
    options: ReportOptions,
    *,
    top_k: int = 5,
    answers: np.ndarray | None = None,
) -> Findings:
    """Evaluates class probabilities.

    Args:
        targets: Class index of each example, shape `(num_examples,)`.
        probabilities: Probability of each class, shape `(num_examples, num_classes)`.
        class_names: Name of each class.
        options: Options of the report.
        top_k: Number k of the top-k accuracy, which is reported if there are more classes than k.
            Defaults to 5.
        answers: Class index of each answer, shape `(num_examples,)`. Defaults to None: the class of
            the highest probability.
    """
    from sklearn import metrics

    targets = targets.astype("int64")
    if answers is None:
        answers = probabilities.argmax(axis=-1)
    labels = np.arange(len(class_names))
    details = metrics.classification_report(
        targets, answers, labels=labels, target_names=list(class_names), output_dict=True,
        zero_division=0.0,
    )  # fmt: skip
    confidence = probabilities[np.arange(len(answers)), answers]
    matrix = metrics.confusion_matrix(targets, answers, labels=labels)
    truth_probability = probabilities[np.arange(len(targets)), targets]
    wrong = np.flatnonzero(answers != targets)
    worst = wrong[np.argsort(truth_probability[wrong], kind="stable")][: options.num_mistakes]

    def statistics(index: np.ndarray) -> dict[str, float]:
        return _resampled(targets[index], answers[index], len(labels))

    return Findings(
        metrics=_scores(targets, answers, probabilities, details, top_k),
        intervals=bootstrap(statistics, len(targets), options, shares=True),
        statistics=statistics,
        correct=answers == targets,
        correct_metric="accuracy",
        tables={
            "Classes": [_class_row(name, details[name]) for name in class_names],
            "Most confused": _most_confused(matrix, class_names),
        },
        figures=_figures(targets, answers, probabilities, matrix, class_names),
        worst=worst,
        captions=[
            f"{class_names[targets[i]]} taken for {class_names[answers[i]]} ({confidence[i]:.0%})"
            for i in worst
        ],
    )


def _scores(
    targets: np.ndarray, answers: np.ndarray, probabilities: np.ndarray, details: Any, top_k: int
) -> dict[str, float]:
    from sklearn import metrics

    labels = np.arange(probabilities.shape[1])
    found = {
        "accuracy": float(metrics.accuracy_score(targets, answers)),
        **_averages(details),
        "log_loss": float(metrics.log_loss(targets, probabilities, labels=labels)),
        "expected_calibration_error": calibration_error(
            answers == targets, probabilities[np.arange(len(answers)), answers]
        ),
        **_areas(targets, probabilities, labels),
    }
    if 2 < len(labels) > top_k:
        found[f"top_{top_k}_accuracy"] = float(
            metrics.top_k_accuracy_score(targets, probabilities, k=top_k, labels=labels)
        )
    return found


def _figures(
    targets: np.ndarray,
    answers: np.ndarray,
    probabilities: np.ndarray,
    matrix: np.ndarray,
    class_names: tuple[str, ...],
) -> dict[str, Figure]:
    truth = targets[:, None] == np.arange(len(class_names))
    shown = class_names[:_MAX_CURVES]
    confidence = probabilities[np.arange(len(answers)), answers]
    return {
        "confusion_matrix": figures.confusion_matrix(matrix, class_names),
        "roc": figures.roc(truth, probabilities, shown),
        "precision_recall": figures.precision_recall(truth, probabilities, shown),
        "reliability": figures.reliability(answers == targets, confidence),
    }


def _averages(details: Any) -> dict[str, float]:
    found = {}
    for average in ("macro", "weighted"):
        row = details[f"{average} avg"]
        for metric, column in (
            ("precision", "precision"),
            ("recall", "recall"),
            ("f1", "f1-score"),
        ):
            found[f"{metric}_{average}"] = float(row[column])
    return found


def _areas(targets: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns the areas under the ROC and precision-recall curves, averaged over the classes."""
    from sklearn import metrics

    present = [c for c in labels if 0 < (targets == c).sum() < len(targets)]
    if not present:
        return {}  # one class only: no curve
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if len(labels) == 2:
            roc = metrics.roc_auc_score(targets == 1, probabilities[:, 1])
            precision = metrics.average_precision_score(targets == 1, probabilities[:, 1])
        else:
            roc = np.mean(
                [metrics.roc_auc_score(targets == c, probabilities[:, c]) for c in present]
            )
            precision = np.mean(
                [
                    metrics.average_precision_score(targets == c, probabilities[:, c])
                    for c in present
                ]
            )
    return {"roc_auc": float(roc), "average_precision": float(precision)}


def calibration_error(correct: np.ndarray, confidence: np.ndarray, num_bins: int = 15) -> float:
    """Returns the expected calibration error.

    Args:
        correct: Whether each answer is right, shape `(num_examples,)`.
        confidence: Probability of each answer, shape `(num_examples,)`.
        num_bins: Number of bins of equal width. Defaults to 15.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.

    Example:
    >>> calibration_error(np.array([True, False]), np.array([0.9, 0.9]))
    0.4
    """
    bins = np.clip((confidence * num_bins).astype(int), 0, num_bins - 1)
    total = 0.0
    for number in range(num_bins):
        here = bins == number
        if here.any():
            total += here.mean() * abs(correct[here].mean() - confidence[here].mean())
    return round(float(total), 12)


def _resampled(targets: np.ndarray, answers: np.ndarray, num_classes: int) -> dict[str, float]:
    """Returns accuracy and macro F1 from counts only, since it is called a thousand times."""
    hits = np.bincount(targets[targets == answers], minlength=num_classes)
    actual = np.bincount(targets, minlength=num_classes)
    given = np.bincount(answers, minlength=num_classes)
    f1 = 2 * hits / np.maximum(actual + given, 1)
    seen = (actual + given) > 0
    return {"accuracy": hits.sum() / len(targets), "f1_macro": float(f1[seen].mean())}


def _class_row(name: str, row: Any) -> dict[str, Any]:
    return {
        "class": name,
        "precision": float(row["precision"]),
        "recall": float(row["recall"]),
        "f1": float(row["f1-score"]),
        "examples": int(row["support"]),
    }


def _most_confused(matrix: np.ndarray, class_names: tuple[str, ...]) -> list[dict[str, Any]]:
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(off, axis=None, kind="stable")[::-1][:10]
    pairs = [np.unravel_index(position, off.shape) for position in order]
    return [
        {"truth": class_names[a], "answer": class_names[b], "examples": int(off[a, b])}
        for a, b in pairs
        if off[a, b]
    ]
