"""Evaluates a model on a split, and makes the report of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kx.contracts.findings import Findings, ReportOptions
from kx.contracts.specs import Data
from kx.contracts.task import Task
from kx.data.batches import eval_batches
from kx.data.examples import as_pixels, as_text, is_images, shown_examples
from kx.data.store import Stored
from kx.report import figures


def evaluate(
    model: keras.Model,
    task: Task,
    data: Data,
    stored: Stored,
    split: str,
    options: ReportOptions,
    *,
    batch_size: int,
    history: Mapping[str, Sequence[float]] | None = None,
    max_batches: int | None = None,
) -> Findings:
    """Runs a model over a split and reports on it.

    Args:
        model: gives scores.
        task: says what they mean.
        data: for the raw examples of the worst answers.
        stored: the prepared split.
        split: its name.
        options: how much to show.
        batch_size: examples at a time.
        history: the metrics of the training, drawn as curves.
        max_batches: how many batches to look at. None is all.
    """
    targets, scores = predict_scores(model, stored, batch_size, max_batches)
    of = f"the {split} split of {data.name}"
    if len(targets) < stored.num_examples:
        of = f"the first of {stored.num_examples:,} of {of} (evaluation_steps={max_batches})"
    return report_on(targets, scores, task, data, split, options, history, of=of)


def report_on(
    targets: np.ndarray,
    scores: np.ndarray,
    task: Task,
    data: Data,
    split: str,
    options: ReportOptions,
    history: Mapping[str, Sequence[float]] | None = None,
    *,
    of: str,
) -> Findings:
    """Reports on the scores of a split.

    Args:
        targets: as they are stored.
        scores: of each example.
        task: says what they mean.
        data: for the raw examples of the worst answers.
        split: its name.
        options: how much to show.
        history: the metrics of the training, drawn as curves.
        of: which examples these are, in words.
    """
    findings = task.report(targets, scores, options)
    findings.judged = f"{len(targets):,} examples: {of}"
    positions = data.positions.get(split, np.arange(len(targets)))[: len(targets)]
    findings.predictions = predictions(task, targets, scores) | {"positions": positions}
    curves = figures.training_curves(history or {})
    if curves is not None:
        findings.figures["training"] = curves
    if len(findings.worst):
        _show_worst(findings, shown_examples(data, split, findings.worst), data)
    return findings


def predictions(task: Task, targets: np.ndarray, scores: np.ndarray) -> dict[str, np.ndarray]:
    """Returns what a model predicted, by name, one row for each example.

    Args:
        task: says what the scores mean.
        targets: the truth.
        scores: the model's.
    """
    answers = {name: np.asarray(value) for name, value in task.decode(scores).items()}
    for name, values in answers.items():
        if values.dtype == object:
            answers[name] = np.array([as_text(value) for value in values])
    return {"targets": targets, "scores": scores, **answers}


def predict_scores(
    model: keras.Model, stored: Stored, batch_size: int, max_batches: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the targets of a split as they are stored, and the model's scores.

    Args:
        model: gives scores.
        stored: the prepared split.
        batch_size: examples at a time.
        max_batches: how many batches to look at. None is all.
    """
    targets: list[np.ndarray] = []

    def keep(answers: Any) -> Any:
        return answers

    batches = eval_batches(stored, batch_size=batch_size, encode=keep)
    if max_batches is not None:
        batches = batches.take(max_batches)
    scores = model.predict(batches.map(lambda inputs, _: inputs), verbose=0)
    targets = [answers for _, answers in batches.as_numpy_iterator()]
    return np.concatenate(targets), np.asarray(scores)


def _show_worst(findings: Findings, examples: Mapping[int, tuple[Any, Any]], data: Data) -> None:
    """Adds the worst answers: a picture grid for images, else a table."""
    captions = dict(zip(map(int, findings.worst), findings.captions, strict=True))
    told = [captions[index] for index in examples]
    if missing := len(captions) - len(examples):
        print(f"{missing} of the {len(captions)} worst mistakes cannot be shown: their files"
              " have gone, or changed")  # fmt: skip
    if not examples:
        return
    if is_images(data):
        pictures = as_pixels([prepared for _, prepared in examples.values()])
        findings.figures["worst"] = figures.picture_grid(pictures, told, "The worst mistakes")
        return
    findings.tables["The worst answers"] = [
        {"example": as_text(raw)[:300], "what": caption}
        for (raw, _), caption in zip(examples.values(), told, strict=True)
    ]
