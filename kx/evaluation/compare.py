"""Implements `kx compare`: tests whether runs differ on exactly the same examples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from kx.console import number, wide_console
from kx.contracts.answers import Answers
from kx.contracts.fields import count_of, map_fields, values_of
from kx.contracts.findings import Findings, ReportOptions
from kx.errors import ConfigError, DataError, RunNotFoundError
from kx.evaluation.evaluate_run import ask
from kx.evaluation.predictions import fields_of, require_scores
from kx.report.page import PREDICTIONS
from kx.report.significance import mcnemar, sign_p
from kx.runs import Run

_NUM_DRAWS = 2000  # bootstrap samples
_SAME_DATA = ("_target_", "name", "path", "test_path")  # equal in comparable runs


@dataclass(frozen=True)
class Difference:
    """Holds the difference of two runs in a metric, on the same examples.

    Args:
        run: Name of the run.
        metric: Name of the metric.
        base: Value of the other run.
        value: Value of this run.
        low: Lower end of the difference's interval, by the paired bootstrap.
        high: Upper end of the difference's interval, by the paired bootstrap.
        p_value: Two-sided p-value of no difference, with Holm's correction for
            the number of runs.
        test: Name of the test: `"McNemar"` or `"bootstrap"`.
    """

    run: str
    metric: str
    base: float
    value: float
    low: float
    high: float
    p_value: float
    test: str


@dataclass(frozen=True)
class Comparison:
    """Holds a comparison of runs with the first of them.

    Args:
        base: Name of the first run.
        num_examples: Number of examples, the same for all runs.
        confidence_level: Confidence level of the intervals.
        differences: Differences by run and metric.
    """

    base: str
    num_examples: int
    confidence_level: float
    differences: list[Difference]


def compare_runs(
    runs: Sequence[Run], *, split: str = "test", confidence_level: float = 0.95
) -> Comparison:
    """Compares runs with the first of them, on the same examples of a split.

    Args:
        runs: Two or more finished runs.
        split: Name of the split. Defaults to `"test"`.
        confidence_level: Confidence level of the intervals, in (0, 1). Defaults to 0.95.

    Returns:
        The difference of each further run in each metric, with its interval (paired
        bootstrap) and p-value: by McNemar's test for accuracies, else by the
        bootstrap; corrected by Holm's method if there are several runs.

    Raises:
        ConfigError: If there are fewer than two runs, or the level is not in (0, 1).
        DataError: If the runs have not answered the same examples.

    Source: Dietterich 1998, "Approximate Statistical Tests for Comparing
    Supervised Classification Learning Algorithms", section 3.1 (McNemar);
    Efron & Tibshirani 1993, chapters 13 and 16 (bootstrap); Holm 1979.
    """
    if not 0 < confidence_level < 1:
        raise ConfigError(f"--level: expected a number in (0, 1). Received: {confidence_level}.")
    if len(runs) < 2:
        raise ConfigError(
            "kx compare takes two runs or more: the others are compared with the first."
        )
    answers = [_answers(run, split) for run in runs]
    for run, given in zip(runs[1:], answers[1:], strict=True):
        if not _same_examples(runs[0], answers[0], run, given):
            raise _other_examples(runs[0], answers[0], run, given, split)
    options = ReportOptions(num_bootstrap_samples=1, num_mistakes=0)
    found = [
        run.task().report(Answers(given["targets"], given["scores"]), options)
        for run, given in zip(runs, answers, strict=True)
    ]
    count = count_of(answers[0]["targets"])
    differences = [
        difference
        for run, other in zip(runs[1:], found[1:], strict=True)
        for difference in _differences(run.name, found[0], other, count, confidence_level)
    ]
    return Comparison(runs[0].name, count, confidence_level, _holm(differences))


def _answers(run: Run, split: str) -> dict[str, Any]:
    """Returns a run's predictions for a split, from its report or computed now."""
    try:
        with np.load(run.artifact(f"report/{split}/{PREDICTIONS}")) as arrays:
            kept = {name: fields_of(arrays, name) for name in ("targets", "scores")}
            if all(value is not None for value in kept.values()):  # else too large to keep
                return {**kept, "positions": arrays["positions"]}
    except (RunNotFoundError, FileNotFoundError):
        pass
    asked = ask(run, [], split)
    require_scores(asked, run.name)
    return {"targets": asked.targets, "scores": asked.scores, "positions": asked.positions}


def _same_examples(base: Run, ours: Mapping[str, Any], run: Run, theirs: Mapping[str, Any]) -> bool:
    of_base, of_run = base.recorded_config()["data"], run.recorded_config()["data"]
    specs = [one.bundle().spec()["targets"] for one in (base, run)]
    names = [map_fields(lambda spec: spec.class_names, one) for one in specs]
    if names[0] != names[1]:
        return False
    pairs = [(ours["positions"], theirs["positions"])]
    pairs += zip(values_of(ours["targets"]), values_of(theirs["targets"]), strict=True)
    return all(of_base.get(key) == of_run.get(key) for key in _SAME_DATA) and all(
        np.array_equal(one, other) for one, other in pairs
    )


def _other_examples(
    base: Run,
    ours: Mapping[str, Any],
    run: Run,
    theirs: Mapping[str, Any],
    split: str,
) -> DataError:
    sizes = [
        f"{one.name} has {count_of(given['targets'])} of {one.config['data'].get('_target_')}"
        for one, given in ((base, ours), (run, theirs))
    ]
    return DataError(
        f"The runs have not answered the same {split} examples: {', '.join(sizes)}. Comparable"
        " runs have the same data and split."
    )


def _differences(
    name: str, base: Findings, other: Findings, count: int, confidence_level: float
) -> list[Difference]:
    """Returns the difference of two runs in each metric of the reports' bootstrap."""
    if base.statistics is None or other.statistics is None:
        raise ConfigError(
            "The report of this task says nothing of `statistics`, a function from indices of"
            " examples to metrics (kx.report.Findings): there is nothing to compare."
        )
    ours, theirs = base.statistics(np.arange(count)), other.statistics(np.arange(count))
    draws: dict[str, list[float]] = {metric: [] for metric in ours if metric in theirs}
    generator = np.random.default_rng(0)
    for _ in range(_NUM_DRAWS):
        index = generator.integers(0, count, count)  # paired: the same examples for both
        one, another = base.statistics(index), other.statistics(index)
        for metric, values in draws.items():
            values.append(another[metric] - one[metric])
    tail = (1 - confidence_level) / 2 * 100
    found = []
    for metric, values in draws.items():
        if np.isnan(values).all():  # r2 of constant targets
            continue
        low, high = (float(value) for value in np.nanpercentile(values, [tail, 100 - tail]))
        p_value, test = sign_p(np.array(values)), "bootstrap"
        if metric == base.correct_metric and base.correct is not None and other.correct is not None:
            p_value, test = mcnemar(base.correct, other.correct), "McNemar"
        values_of = ours[metric], theirs[metric]
        found.append(Difference(name, metric, *values_of, low, high, p_value, test))
    return found


def _holm(differences: Sequence[Difference]) -> list[Difference]:
    """Corrects the p-values of each metric for the number of runs, by Holm's method."""
    corrected = []
    for one in differences:
        same = sorted(other.p_value for other in differences if other.metric == one.metric)
        steps = [p * (len(same) - i) for i, p in enumerate(same) if p <= one.p_value]
        corrected.append(replace(one, p_value=min(1.0, max(steps))))
    return corrected


def show_comparison(found: Comparison, *, as_json: bool = False) -> None:
    """Prints a comparison.

    Args:
        found: Comparison to print.
        as_json: Whether to print JSON. Defaults to False: a table.
    """
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    level = f"{found.confidence_level:.0%}"
    print(f"compared with {found.base}, on the same {found.num_examples} examples")
    table = Table(box=None, pad_edge=False)
    titles = ("run", "metric", "base", "run's", "difference", f"{level} interval", "p", "")
    for title in titles:
        table.add_column(title, no_wrap=True)
    for one in found.differences:
        difference = one.value - one.base
        shown = one.p_value < 1 - found.confidence_level
        table.add_row(
            one.run,
            one.metric,
            number(one.base),
            number(one.value),
            f"{difference:+.4g}",
            f"{one.low:+.4g} … {one.high:+.4g}",
            f"{one.p_value:.2g} ({one.test})",
            Text("differs" if shown else "no difference shown"),
        )
    wide_console().print(table)
