"""The reports at the end of a run, one for each split that the config names."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import yaml

from kx.config import Composed, resolved
from kx.contracts.findings import ReportOptions
from kx.evaluation.evaluate_split import evaluate
from kx.fit.builder import Builder
from kx.report.page import write_report
from kx.secrets import redact
from kx.tracking import provenance
from kx.tracking.run_folder import RunFolder
from kx.tracking.tracker import Tracker


def options_of(config: Any) -> ReportOptions:
    """Returns the report's options of a config."""
    node = config.report
    return ReportOptions(
        num_bootstrap_samples=node.num_bootstrap_samples,
        confidence_level=node.confidence_level,
        num_mistakes=node.num_mistakes,
        seed=config.seed,
    )


def score_prefix(split: str) -> str:
    """Returns the name before a report's scores: `train/…` and `val/…` are the curves' own."""
    return split if split == "test" else f"report_{split}"


def write_reports(
    job: Composed,
    model: keras.Model,
    builder: Builder,
    history: Mapping[str, Sequence[float]],
    tracker: Tracker,
    folder: RunFolder,
) -> dict[str, float]:
    """Evaluates the config's splits, and logs a report of each.

    Returns:
        The metrics found, as `test/f1_macro`.
    """
    found: dict[str, float] = {}
    task, data, batches = builder.task, builder.data, builder.batches
    for split in job.config.report.splits:
        if split not in batches.stored:
            print(f"no report of {split}: the data has no such split")
            continue
        findings = evaluate(
            model, task, data, batches.stored[split], split, options_of(job.config),
            batch_size=batches.batch_size, history=history, max_batches=batches.evaluation_steps,
        )  # fmt: skip
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
    return found
