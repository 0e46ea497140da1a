"""Writes the reports at the end of a run, one for each split that the config names."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import yaml

from kx.config import Composed, resolved
from kx.contracts.findings import ReportOptions
from kx.contracts.task import takes_examples
from kx.evaluation.answers import answers_of, evaluate, report_on
from kx.evaluation.baselines import compare_with_baselines
from kx.fit.model.builder import Builder
from kx.report.page import write_report
from kx.secrets import redact
from kx.tracking import provenance
from kx.tracking.run_folder import RunFolder
from kx.tracking.tracker import Tracker


def report_options(config: Mapping[str, Any]) -> ReportOptions:
    """Returns the options of a report.

    Args:
        config: Config of a run.
    """
    own = ("splits", "baseline")
    node = {key: value for key, value in config["report"].items() if key not in own}
    return ReportOptions(**node, seed=config["seed"])


def score_prefix(split: str) -> str:
    """Returns the prefix of a report's scores; `train/…` and `val/…` are those of the curves."""
    return split if split == "test" else f"report_{split}"


def write_reports(
    job: Composed,
    model: keras.Model,
    builder: Builder,
    history: Mapping[str, Sequence[float]],
    tracker: Tracker,
    folder: RunFolder,
) -> tuple[dict[str, float], list[str]]:
    """Evaluates the test split and the splits of the report, and logs a report of each of these.

    Args:
        job: Composed config.
        model: Trained model.
        builder: Builder of the model.
        history: Metrics of the training.
        tracker: Tracker of the run.
        folder: Folder of the run.

    Returns:
        The metrics found, as `test/f1_macro`, and how the model compares with the strongest
        baseline on the test split.
    """
    found: dict[str, float] = {}
    compared: list[str] = []
    task, data, batches = builder.task, builder.data, builder.batches
    scored = task.loss is not None and takes_examples(task, data)
    if scored and batches.test is not None and "test" not in job.config.report.splits:
        scores = model.evaluate(batches.test, verbose=0, return_dict=True)
        found |= {f"test/{name}": float(value) for name, value in scores.items()}
    for split in job.config.report.splits:
        if split != "train" and job.config.overfit_batches:
            print(f"no report of {split}: overfit_batches validates on training examples")
            continue
        if split not in batches.stored:
            print(f"no report of {split}: the data has no such split")
            continue
        answers = answers_of(
            model, task, data, batches.stored[split], split,
            batch_size=batches.batch_size, max_batches=batches.evaluation_steps,
            training=batches.stored.get("train"),
        )  # fmt: skip
        if split == "test" and scored:
            scores = evaluate(answers, model, batches.batch_size)
            found |= {f"test/{name}": value for name, value in scores.items()}
        findings = report_on(answers, report_options(job.config), history)
        if split != "train" and job.config.report.get("baseline", "auto") != "none":
            told = compare_with_baselines(findings, answers, report_options(job.config))
            compared += told if split == "test" else []
        where = folder.path / "report" / split
        write_report(
            findings,
            where,
            title=f"{folder.name}: {split}",
            subtitle=f"{model.name} on {data.name} · {provenance.command(job.overrides)}",
            confidence_level=job.config.report.confidence_level,
            config_text=yaml.safe_dump(redact(resolved(job.config)), sort_keys=False),
        )
        prefix = score_prefix(split)
        found |= {f"{prefix}/{name}": value for name, value in findings.metrics.items()}
    reports = folder.path / "report"
    if tracker.kept and reports.is_dir():
        tracker.artifacts(reports, "report")
        shutil.rmtree(reports)
    return found, compared
