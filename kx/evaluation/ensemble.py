"""Implements `kx evaluate RUN RUN…`: averages the answers of several runs' models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf
from rich.table import Table

from kx.console import wide_console
from kx.contracts.fields import map_fields, named_fields, values_of
from kx.contracts.findings import Findings, ReportOptions
from kx.data.issues import print_issues
from kx.errors import ConfigError, DataError
from kx.evaluation.answers import SplitAnswers, report_on
from kx.evaluation.evaluate_run import (
    ask,
    data_words,
    evaluation_path,
    show_metrics,
    views_suffix,
    views_words,
    written_report,
)
from kx.evaluation.predictions import require_scores
from kx.evaluation.write_reports import report_options
from kx.runs import Run


def evaluate_ensemble(
    runs: Sequence[Run],
    overrides: Sequence[str] = (),
    *,
    split: str | None = None,
    out: str | None = None,
    tta: Sequence[str] = (),
) -> Findings:
    """Evaluates several finished runs as one, by the average of their answers.

    The report is written to the first run, beside the run's own reports.

    Args:
        runs: Two or more finished runs of the same task; each prepares the examples as in its
            training.
        overrides: Overrides `data=…`, `data.KEY=…`, `split=…` and `split.KEY=…`.
        split: Name of the split. Defaults to None: the test split, or all of other data that has
            none.
        out: Path to a folder for a copy of the report. Defaults to None: no copy.
        tta: Views of each image to average over, too. Defaults to none.

    Raises:
        ConfigError: If an override names another key, or a run is named twice.
        DataError: If the runs have different examples, tasks, classes or scales of the targets.

    Source: Lakshminarayanan et al. 2017, "Simple and scalable predictive uncertainty estimation
    using deep ensembles", section 2.4.
    """
    ids = [run.id for run in runs]
    if twice := [run.name for run in runs if ids.count(run.id) > 1]:
        raise ConfigError(f"{twice[0]} is named twice: an average is of different runs.")
    tf.get_logger().setLevel("ERROR")  # it would warn that each model is traced again
    first = runs[0]
    asked = []
    for run in runs:
        asked.append(ask(run, overrides, split, tta))
        require_scores(asked[-1], run.name)
        _refuse_other(first, asked[0], run, asked[-1])
    one = asked[0]
    if overrides:
        print_issues(one.data)
    scores = map_fields(
        lambda *each: np.asarray(one.task.average(np.stack(each))), *(a.scores for a in asked)
    )
    findings = report_on(replace(one, scores=scores), report_options(first.recorded_config()))
    names = ", ".join(run.name for run in runs)
    written = written_report(
        findings, first, evaluation_path(f"{one.split}-ensemble{views_suffix(tta)}"),
        title=f"Average of {len(runs)} runs: {one.split}", out=out,
        subtitle=" ".join(
            [f"{names}, on {one.data.name} ({data_words(overrides)})", *views_words(tta)]
        ),
    )  # fmt: skip
    quick = ReportOptions(num_bootstrap_samples=1, num_mistakes=0)
    alone = [each.task.report(each, quick) for each in asked]
    _show(runs, alone, findings)
    show_metrics(findings, written)
    return findings


def _refuse_other(base: Run, ours: SplitAnswers, run: Run, theirs: SplitAnswers) -> None:
    """Raises `DataError` with what differs if the scores of two runs cannot be averaged."""
    if base.recorded_config()["task"]["_target_"] != run.recorded_config()["task"]["_target_"]:
        raise DataError(f"{run.name} has another task than {base.name}: {run.config['task']}.")
    targets, others = ours.data.targets, theirs.data.targets
    if named_fields(targets, "").keys() != named_fields(others, "").keys():
        raise DataError(f"{run.name} has other fields of targets than {base.name}.")
    pairs = list(zip(values_of(targets), values_of(others), strict=True))
    for one, other in pairs:
        if one.class_names != other.class_names:
            raise DataError(
                f"{run.name} has other classes than {base.name}:"
                f" {', '.join(other.class_names or ())}."
                f" Expected: {', '.join(one.class_names or ())}."
            )
    each = [(ours.positions, theirs.positions)]
    each += zip(values_of(ours.targets), values_of(theirs.targets), strict=True)
    same = all(np.array_equal(a, b) for a, b in each)
    if not same:
        raise DataError(
            f"{run.name} is asked other examples than {base.name}: {theirs.num_examples:,}, not the"
            f" same {ours.num_examples:,}. Train both on the same data and split, or name"
            " other data for all: kx evaluate RUN RUN data=…"
        )
    if any(
        (one.mean, one.standard_deviation) != (other.mean, other.standard_deviation)
        for one, other in pairs
    ):
        raise DataError(
            f"{run.name} has learned numbers on another scale than {base.name} (their mean and"
            " deviation in the training split): train both on the same training split."
        )


def _show(runs: Sequence[Run], alone: Sequence[Findings], together: Findings) -> None:
    """Prints the metrics of each run and of the average."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("run")
    metrics = list(together.intervals) or list(together.metrics)
    for metric in metrics:
        table.add_column(metric, justify="right")
    rows = [*zip((run.name for run in runs), alone, strict=True), ("average of all", together)]
    for name, found in rows:
        table.add_row(name, *(f"{found.metrics[metric]:.4f}" for metric in metrics))
    wide_console().print(table)
    print()
