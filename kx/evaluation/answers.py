"""Runs a model over a split once, for the metrics, the report and the worst examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kx.contracts.findings import Findings, ReportOptions
from kx.contracts.specs import Data
from kx.contracts.task import Task
from kx.data.batches import eval_batches
from kx.data.examples import as_pixels, as_text, is_images, prepared_examples, raw_examples
from kx.data.store import Stored
from kx.fit.assemble import own_methods
from kx.report import figures


@dataclass(frozen=True)
class Answers:
    """Holds a model's answers to the examples of a split.

    Args:
        task: Task of the model.
        data: Data of the examples.
        stored: Prepared examples.
        split: Name of the split.
        targets: Target of each example as it is stored, shape `(num_examples, ...)`.
        scores: Scores of each example, shape `(num_examples, ...)`.
        judged: Description of the examples, such as `"the test split of digits"`.
    """

    task: Task
    data: Data
    stored: Stored
    split: str
    targets: np.ndarray
    scores: np.ndarray
    judged: str

    @property
    def positions(self) -> np.ndarray:
        """Returns the position of each example in the whole dataset, shape `(num_examples,)`."""
        known = self.data.positions.get(self.split)
        return (np.arange(len(self.targets)) if known is None else known)[: len(self.targets)]


def answers_of(
    model: keras.Model,
    task: Task,
    data: Data,
    stored: Stored,
    split: str,
    *,
    batch_size: int,
    max_batches: int | None = None,
    judged: str | None = None,
) -> Answers:
    """Runs a model over a split once, and returns its answers.

    Args:
        model: Model that gives scores.
        task: Task of the model.
        data: Data of the examples.
        stored: Prepared examples of the split.
        split: Name of the split.
        batch_size: Number of examples at a time.
        max_batches: Maximum number of batches. Defaults to None: all.
        judged: Description of the examples. Defaults to the name of the split and the data.
    """
    batches = eval_batches(stored, batch_size=batch_size, encode=_as_they_are)
    if max_batches is not None:
        batches = batches.take(max_batches)
    scores = np.asarray(model.predict(batches.map(lambda inputs, _: inputs), verbose=0))
    targets = np.concatenate([part for _, part in batches.as_numpy_iterator()])
    judged = judged or f"the {split} split of {data.name}"
    if len(targets) < stored.num_examples:
        judged = (
            f"the first of {stored.num_examples:,} of {judged} (evaluation_steps={max_batches})"
        )
    return Answers(task, data, stored, split, targets, scores, judged)


def _as_they_are(targets: Any) -> Any:
    return targets


def evaluate(answers: Answers, model: keras.Model, batch_size: int) -> dict[str, float]:
    """Returns the loss and metrics of a model's answers, as `keras.Model.evaluate` does.

    Args:
        answers: Answers of the model.
        model: Compiled model. If its loss needs more than scores and targets, such as regularized
            weights, it is run over the split again.
        batch_size: Number of examples at a time.
    """
    judge = _judge(answers, model)
    if judge is None:
        judge, stored = model, answers.stored
    else:
        stored = Stored(len(answers.targets), answers.scores, answers.targets)
    batches = eval_batches(stored, batch_size=batch_size, encode=answers.task.encode)
    num_batches = math.ceil(len(answers.targets) / batch_size)
    found = judge.evaluate(batches.take(num_batches), verbose=0, return_dict=True)
    return {name: float(value) for name, value in found.items()}


_STEPS = ("test_step", "compute_loss", "compute_metrics", "make_test_function")


def _judge(answers: Answers, model: keras.Model) -> keras.Model | None:
    """Returns a compiled model that passes scores through, or None if its loss would differ."""
    if own_methods(model, _STEPS):
        return None
    if keras.backend.backend() == "jax":  # `predict` leaves no losses of activities there
        model(_one_input(answers.stored), training=False)
    if model.losses:
        return None
    scores = keras.Input(answers.scores.shape[1:], dtype=answers.scores.dtype.name)
    judge = keras.Model(scores, keras.layers.Identity(dtype=answers.scores.dtype.name)(scores))
    judge.compile(
        loss=answers.task.loss,
        metrics=answers.task.metrics(),
        run_eagerly=model.run_eagerly,
        jit_compile=model.jit_compile,
        steps_per_execution=model.steps_per_execution,
    )
    return judge


def _one_input(stored: Stored) -> np.ndarray:
    if stored.dataset is None:
        assert stored.inputs is not None
        return np.asarray(stored.inputs[:1])
    return np.asarray(next(iter(stored.dataset.batch(1)))[0])


def report_on(
    answers: Answers,
    options: ReportOptions,
    history: Mapping[str, Sequence[float]] | None = None,
) -> Findings:
    """Returns the report on the answers to a split.

    Args:
        answers: Answers of a model.
        options: Options of the report.
        history: Metrics of the training, drawn as curves. Defaults to None: no curves.
    """
    findings = answers.task.report(answers.targets, answers.scores, options)
    findings.judged = f"{len(answers.targets):,} examples: {answers.judged}"
    findings.predictions = predictions(answers) | {"positions": answers.positions}
    curves = figures.training_curves(history or {})
    if curves is not None:
        findings.figures["training"] = curves
    if len(findings.worst):
        _show_worst(findings, answers)
    return findings


def predictions(answers: Answers) -> dict[str, np.ndarray]:
    """Returns a model's predictions by name, one row for each example.

    Args:
        answers: Answers of the model.
    """
    decoded = answers.task.decode(answers.scores)
    found = {name: np.asarray(value) for name, value in decoded.items()}
    for name, values in found.items():
        if values.dtype == object:
            found[name] = np.array([as_text(value) for value in values])
    return {"targets": answers.targets, "scores": answers.scores, **found}


def _show_worst(findings: Findings, answers: Answers) -> None:
    """Adds the worst answers: a grid of images, or a table of other examples."""
    if is_images(answers.data):
        pictures = as_pixels(prepared_examples(answers.stored, findings.worst))
        title = "The worst mistakes"
        findings.figures["worst"] = figures.picture_grid(pictures, findings.captions, title)
        return
    raw = raw_examples(answers.data, answers.split, findings.worst)
    findings.tables["The worst answers"] = [
        {"example": as_text(example)[:300], "what": caption}
        for example, caption in zip(raw, findings.captions, strict=True)
    ]
