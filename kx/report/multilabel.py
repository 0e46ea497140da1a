"""Reports on a multi-label task."""

from __future__ import annotations

import numpy as np

from kx.contracts.findings import Findings, ReportOptions, bootstrap
from kx.report import figures


def label_findings(
    targets: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
    threshold: float,
    options: ReportOptions,
) -> Findings:
    """Evaluates label probabilities.

    Args:
        targets: 0 or 1 for each label, shape `(num_examples, num_labels)`.
        probabilities: Probability of each label, shape `(num_examples, num_labels)`.
        class_names: Name of each label.
        threshold: Lowest probability with which a label is given.
        options: Options of the report.
    """
    truth = targets > 0.5
    answers = probabilities >= threshold
    surprise = np.abs(targets - probabilities).max(axis=1)
    wrong = np.flatnonzero((truth != answers).any(axis=1))
    worst = wrong[np.argsort(-surprise[wrong], kind="stable")][: options.num_mistakes]

    def statistics(index: np.ndarray) -> dict[str, float]:
        return _resampled(truth[index], answers[index])

    return Findings(
        metrics=_scores(truth, answers, probabilities),
        intervals=bootstrap(statistics, len(truth), options, shares=True),
        statistics=statistics,
        correct=(truth == answers).all(axis=1),
        correct_metric="subset_accuracy",
        tables={"Labels": _rows(truth, answers, class_names)},
        figures={
            "roc": figures.roc(truth, probabilities, class_names[:20]),
            "precision_recall": figures.precision_recall(truth, probabilities, class_names[:20]),
            "reliability": figures.reliability(
                (truth == answers).ravel(), np.maximum(probabilities, 1 - probabilities).ravel()
            ),
        },
        worst=worst,
        captions=[
            f"{_names(truth[i], class_names)} taken for {_names(answers[i], class_names)}"
            for i in worst
        ],
    )


def _scores(truth: np.ndarray, answers: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    from sklearn import metrics

    found = {
        "subset_accuracy": float(metrics.accuracy_score(truth, answers)),
        "accuracy": float((truth == answers).mean()),
        "hamming_loss": float(metrics.hamming_loss(truth, answers)),
    }
    for average in ("micro", "macro"):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            truth, answers, average=average, zero_division=0.0
        )
        found |= {
            f"precision_{average}": precision,
            f"recall_{average}": recall,
            f"f1_{average}": f1,
        }
    present = [i for i in range(truth.shape[1]) if 0 < truth[:, i].sum() < len(truth)]
    if present:
        roc = [metrics.roc_auc_score(truth[:, i], probabilities[:, i]) for i in present]
        areas = [metrics.average_precision_score(truth[:, i], probabilities[:, i]) for i in present]
        found |= {"roc_auc": float(np.mean(roc)), "average_precision": float(np.mean(areas))}
    return {name: float(value) for name, value in found.items()}


def _resampled(truth: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    hits = (truth & answers).sum()
    return {
        "subset_accuracy": float((truth == answers).all(axis=1).mean()),
        "f1_micro": float(2 * hits / max(1, truth.sum() + answers.sum())),
    }


def _rows(truth: np.ndarray, answers: np.ndarray, class_names: tuple[str, ...]) -> list[dict]:
    from sklearn.metrics import precision_recall_fscore_support

    rows = []
    for i, name in enumerate(class_names):
        precision, recall, f1, _ = precision_recall_fscore_support(
            truth[:, i], answers[:, i], average="binary", zero_division=0.0
        )
        rows.append(
            {
                "label": name,
                "precision": float(precision),
                "recall": float(recall),
                "f1": float(f1),
                "examples": int(truth[:, i].sum()),
            }
        )
    return rows


def _names(given: np.ndarray, class_names: tuple[str, ...]) -> str:
    return "|".join(name for name, yes in zip(class_names, given, strict=True) if yes) or "none"
