"""Reports a cross-validation: each example is judged by a model not trained on it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kx.config import Composed
from kx.contracts.answers import Answers
from kx.contracts.fields import count_of, map_fields
from kx.contracts.findings import Findings
from kx.contracts.specs import class_names_of
from kx.contracts.task import Task, encode_examples
from kx.errors import RunNotFoundError
from kx.evaluation.predictions import fields_of
from kx.evaluation.write_reports import report_options
from kx.fit.batches import make_data
from kx.report.page import PREDICTIONS, write_report
from kx.run_names import named_runs
from kx.runs import load_run
from kx.tasks.make import make_task
from kx.tracking.provenance import command

_MAX_COLUMNS = 100  # of probabilities in the CSV file


class FoldJob(Protocol):
    """Describes a finished job that trained one fold."""

    @property
    def composed(self) -> Composed:
        """Returns the composed config."""
        ...

    @property
    def label(self) -> str:
        """Returns the overrides that distinguish it from the other folds."""
        ...

    @property
    def run_id(self) -> str:
        """Returns the id of the run."""
        ...

    @property
    def run_name(self) -> str:
        """Returns the name of the run."""
        ...

    @property
    def folder(self) -> str:
        """Returns the folder of the run."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """Returns the final metrics."""
        ...


def write_fold_report(
    jobs: Sequence[FoldJob], rows: Sequence[Mapping[str, Any]], folder: Path
) -> dict[str, float]:
    """Writes one report of all folds, and the out-of-fold predictions.

    Args:
        jobs: Finished jobs, one for each fold.
        rows: Rows of a table on the page that summarizes the scores of the folds.
        folder: Folder of the report.

    Returns:
        The scores over all examples, as `out_of_fold/accuracy`.
    """
    config = jobs[0].composed.config
    data = make_data(config)
    targets = data.targets
    named = named_runs(config, "task", partial(load_run, uri=config.tracking.uri))
    task = make_task(config.task, data.inputs, targets, data.facts, named=named)
    found = [fold_predictions(job) for job in jobs]
    scores = [_comparable(task, kept) for kept in found]
    truth = _joined([kept["targets"] for kept in found])
    answers = Answers(truth, _joined(scores))
    findings = task.report(answers, report_options(config))
    positions = np.concatenate([kept["positions"] for kept in found])
    findings.judged = f"{count_of(truth):,} examples: the folds of {len(jobs)} trainings"
    if len(np.unique(positions)) < len(positions):
        findings.intervals = {}  # repeats: several answers to an example are not independent
    _describe(findings, jobs, rows, positions)
    folder.mkdir(parents=True, exist_ok=True)
    hidden = ("split.fold=", "report.splits=")
    words = [word for word in jobs[0].composed.overrides if not word.startswith(hidden)]
    words.append(f"folds={config.split.fold['of']}")
    repeats = max(job.composed.config.split.fold.get("repeat", 1) for job in jobs)
    words += [f"repeats={repeats}"] * (repeats > 1)
    words += ["stratify=false"] * (not config.split.fold.get("stratify", True))
    write_report(
        findings,
        folder,
        title=f"Cross-validation, {len(jobs)} trainings",
        subtitle="Each example is judged by a model that did not see it: "
        + command(words).replace("python -m kx.run", "kx cross-validate"),
        confidence_level=config.report.confidence_level,
    )
    _write_csv(folder / "out_of_fold.csv", jobs, found, class_names_of(targets))
    return {f"out_of_fold/{name}": value for name, value in findings.metrics.items()}


def fold_predictions(job: FoldJob) -> dict[str, Any]:
    """Returns the predictions of a fold's model for its fold.

    Args:
        job: Finished job.

    Raises:
        RunNotFoundError: If the predictions were not kept.
    """
    path = f"report/test/{PREDICTIONS}"
    if job.composed.config.tracking.enabled:
        file = load_run(job.run_id, uri=job.composed.config.tracking.uri).artifact(path)
    else:
        file = Path(job.folder, path)
    if not file.is_file():
        raise RunNotFoundError(
            f"{job.label}: its run, {job.run_name}, has kept no predictions of its fold ({file})."
            " Train it again: resume=never."
        )
    with np.load(file) as arrays:
        kept = dict(arrays)
    for name in ("targets", "scores"):
        if (fields := fields_of(kept, name)) is not None:
            kept[name] = fields
    if lacking := {"targets", "scores", "positions"} - set(kept):
        raise RunNotFoundError(
            f"{job.label}: the predictions of its fold were too large, and {file} has no"
            f" {', '.join(sorted(lacking))}: there is no report of all folds."
        )
    return kept


def _joined(parts: Sequence[Any]) -> Any:
    """Returns the values of all folds, or of each field, as one array."""
    return map_fields(lambda *each: np.concatenate(each), parts[0], *parts[1:])


def _comparable(task: Task, answers: Mapping[str, Any]) -> Any:
    """Returns scores that have the same meaning in each fold."""
    # Scores of a regression are standardized by the targets of the fold's own training split:
    # their values are encoded again by those of one fold.
    if "value" in answers:
        return np.asarray(encode_examples(task)(None, answers["value"])[1])
    return answers["scores"]


def _describe(
    findings: Findings,
    jobs: Sequence[FoldJob],
    rows: Sequence[Mapping[str, Any]],
    positions: np.ndarray,
) -> None:
    """Adds tables of the folds and of the worst answers."""
    shown = [name for name in jobs[0].metrics if name.startswith("test/")]
    folds = [
        {"fold": job.label.removeprefix("split.fold="), **{n: job.metrics.get(n) for n in shown}}
        for job in jobs
    ]
    worst = [
        {"example": int(positions[index]), "what": caption}
        for index, caption in zip(findings.worst, findings.captions, strict=True)
    ]
    own = {"Over the folds": [dict(row) for row in rows], "Folds": folds}
    findings.tables = {**own, **findings.tables, "The worst answers": worst}


def _write_csv(
    path: Path,
    jobs: Sequence[FoldJob],
    found: Sequence[Mapping[str, np.ndarray]],
    class_names: Sequence[str] | None,
) -> None:
    """Writes a line for each prediction: the example's position, the truth, the answer."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for job, answers in zip(jobs, found, strict=True):
            columns = _columns(answers, class_names)
            if job is jobs[0]:
                writer.writerow(["repeat", "fold", "position", *columns])
            fold = job.composed.config.split.fold
            for index, position in enumerate(answers["positions"]):
                values = [column[index] for column in columns.values()]
                writer.writerow([fold.get("repeat", 1), fold["number"], position, *values])


def _columns(
    answers: Mapping[str, np.ndarray], class_names: Sequence[str] | None
) -> dict[str, Sequence[Any]]:
    truth = answers["targets"]
    columns: dict[str, Sequence[Any]] = {}
    if isinstance(truth, Mapping) or truth.ndim > 2:  # of fields and masks, the positions alone
        return columns
    if class_names is not None and truth.ndim == 1:
        columns["truth"] = [class_names[int(index)] for index in truth]
    elif class_names is not None:
        columns["truth"] = [
            "|".join(name for name, given in zip(class_names, row, strict=True) if given)
            for row in truth
        ]
    else:
        columns |= _numbered("truth", truth)
    for name in ("label", "confidence"):
        if name in answers:
            columns[name] = answers[name].tolist()
    if "value" in answers:
        columns |= _numbered("value", answers["value"])
    if "probabilities" in answers and len(class_names or ()) <= _MAX_COLUMNS:
        for index, name in enumerate(class_names or ()):
            columns[f"probability_{name}"] = answers["probabilities"][:, index].tolist()
    return columns


def _numbered(name: str, values: np.ndarray) -> dict[str, Sequence[Any]]:
    table = values.reshape(len(values), -1)
    if table.shape[1] == 1:
        return {name: table[:, 0].tolist()}
    return {f"{name}_{i}": table[:, i].tolist() for i in range(table.shape[1])}
