"""Compares a model with baselines, on the same examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kx.contracts.answers import Answers, Seen
from kx.contracts.fields import map_fields
from kx.contracts.findings import Findings, ReportOptions
from kx.contracts.specs import Data
from kx.data.store import Stored
from kx.errors import first_line
from kx.evaluation.answers import SplitAnswers
from kx.metric_modes import better
from kx.report.significance import mcnemar, sign_p

_LEVEL = 0.05
_MOST_DRAWS = 500  # bootstrap samples


@dataclass(frozen=True)
class Against:
    """Holds the comparison of a model with a baseline in one metric.

    Args:
        baseline: Name of the baseline.
        metric: Name of the metric.
        value: Value of the model.
        other: Value of the baseline.
        p_value: Two-sided p-value of no difference.
    """

    baseline: str
    metric: str
    value: float
    other: float
    p_value: float

    @property
    def sentence(self) -> str:
        """The comparison in words."""
        gap = abs(self.value - self.other)
        larger = better(self.metric) != "min"
        wins = (self.value > self.other) == larger
        what = f"{self.baseline} ({self.metric} {self.other:.3g})"
        is_share = 0 <= min(self.value, self.other) and max(self.value, self.other) <= 1
        by = f"{100 * gap:.1f} points" if is_share and larger else f"{gap:.3g}"
        if not gap:
            return f"equal to {what}"
        if self.p_value >= _LEVEL:
            place = "ahead of" if wins else "behind"
            return f"{by} {place} {what}, p = {self.p_value:.2g}: may be chance"
        return f"{'better' if wins else 'WORSE'} than {what} by {by}, p = {self.p_value:.2g}"


def compare_with_baselines(
    findings: Findings, answers: SplitAnswers, options: ReportOptions
) -> list[str]:
    """Adds a table of baselines to the findings of a model.

    Args:
        findings: Findings of the model.
        answers: Answers of the model, with the training split.
        options: Options of the report.

    Returns:
        How the model compares with the strongest baseline, and which could not be computed.
    """
    task, train = answers.task, answers.training
    if not task.baselines:
        return []
    if train is None or train.dataset is not None:
        return ["none: the training split is in a file, and not in memory (data.cache)"]
    if findings.statistics is None or not isinstance(answers.targets, np.ndarray):
        return ["none: the report has no statistics of single examples to compare"]
    known = _seen(answers.data, "train", train)
    asked = Seen(
        answers.targets,
        lambda: _raw(answers.data, answers.split, answers.num_examples),
        lambda: answers.inputs,
    )
    quick = ReportOptions(num_bootstrap_samples=1, num_mistakes=0)
    metric = _metric_of(findings, task.monitor)
    compared, told = [], []
    rows: list[dict[str, Any]] = []
    columns = ("baseline", f"baseline's {metric}", f"model's {metric}", "p", "")
    for name, baseline in task.baselines.items():
        known.notes.clear()
        try:
            scores = baseline(known, asked)
        except Exception as error:  # of any library; it must not cost the trained model
            told.append(f"{name} could not be computed: {first_line(error)}")
            rows.append(dict(zip(columns, (name, "", "", "", told[-1]), strict=True)))
            continue
        other = task.report(Answers(answers.targets, scores), quick)
        whole = ", ".join([name, *known.notes])
        found = _against(whole, metric, findings, other, len(scores), options)
        compared.append(found)
        values = (whole, found.other, found.value, found.p_value, found.sentence)
        rows.append(dict(zip(columns, values, strict=True)))
    findings.tables["Baselines"] = rows
    return [*([_strongest(compared).sentence] if compared else []), *told]


def _strongest(compared: Sequence[Against]) -> Against:
    """Returns the comparison with the baseline that has the best value."""
    least = better(compared[0].metric) == "min"
    return (min if least else max)(compared, key=lambda one: one.other)


def _metric_of(findings: Findings, monitor: str | None) -> str:
    """Returns the metric that is compared: accuracy, that of the task, or the report's first."""
    assert findings.statistics is not None
    names = list(findings.statistics(np.arange(2)))
    wanted = findings.correct_metric or (monitor or "").removeprefix("val_")
    return wanted if wanted in names else names[0]


def _against(
    name: str, metric: str, ours: Findings, theirs: Findings, count: int, options: ReportOptions
) -> Against:
    assert ours.statistics is not None and theirs.statistics is not None
    every = np.arange(count)
    values = ours.statistics(every)[metric], theirs.statistics(every)[metric]
    if metric == ours.correct_metric and ours.correct is not None and theirs.correct is not None:
        return Against(name, metric, *values, mcnemar(ours.correct, theirs.correct))
    generator, gaps = np.random.default_rng(options.seed), []
    for _ in range(min(_MOST_DRAWS, options.num_bootstrap_samples)):
        index = generator.integers(0, count, count)  # paired: the same examples for both
        gaps.append(ours.statistics(index)[metric] - theirs.statistics(index)[metric])
    return Against(name, metric, *values, sign_p(np.array(gaps)))


def _seen(data: Data, split: str, stored: Stored) -> Seen:
    def inputs() -> Any:
        return map_fields(lambda one: one.numpy(), stored.inputs)

    targets = map_fields(lambda one: one.numpy(), stored.targets)
    return Seen(targets, lambda: _raw(data, split, stored.num_examples), inputs)


def _raw(data: Data, split: str, count: int) -> list[Any]:
    """Returns raw inputs of a split, texts as strings."""
    found = [raw for raw, *_ in data.splits[split].take(count).as_numpy_iterator()]
    return [map_fields(_as_string, one) for one in found]


def _as_string(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
