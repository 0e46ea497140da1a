"""Runs a model over a split once, for the metrics, the report and the worst examples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kx.contracts.answers import Answers
from kx.contracts.fields import count_of, map_fields
from kx.contracts.findings import Findings, ReportOptions
from kx.contracts.specs import Data
from kx.contracts.task import Task, changes_targets_alone, encode_examples, scores_examples
from kx.data.batches import eval_batches
from kx.data.examples import (
    as_pixels,
    as_text,
    image_field,
    of_field,
    prepared_examples,
    raw_examples,
)
from kx.data.store import Stored, first_examples
from kx.evaluation.predictions import predictions
from kx.fit.model.checks import own_methods
from kx.report import figures


@dataclass(frozen=True)
class SplitAnswers(Answers):
    """Holds a model's answers to the examples of a split.

    Args:
        targets: Target of each example as it is stored, shape `(num_examples, ...)`, or targets
            of fields by name.
        scores: Scores of each example, shape `(num_examples, ...)`, or scores of outputs by name.
        task: Task of the model.
        data: Data of the examples.
        stored: Prepared examples.
        split: Name of the split.
        judged: Description of the examples, such as `"the test split of digits"`.
        answered_by: Model that answered. Defaults to None.
        training: Prepared examples of the training split. Defaults to None.
        batch_size: Number of examples that the model gets at a time. Defaults to 32.
    """

    task: Task
    data: Data
    stored: Stored
    split: str
    judged: str
    answered_by: Any = None
    training: Stored | None = None
    batch_size: int = 32

    @property
    def num_examples(self) -> int:
        """The number of examples that were judged."""
        return self.stored.num_examples if self.scores is None else count_of(self.scores)

    @property
    def model(self) -> Any:
        """Model that answered."""
        return self.answered_by

    def training_batches(self, batch_size: int = 256) -> Iterator[Any]:
        """Yields the prepared inputs of the training split, some at a time.

        Args:
            batch_size: Number of examples at a time. Defaults to 256.
        """
        assert self.training is not None
        for inputs, *_ in eval_batches(self.training, batch_size=batch_size, encode=_unchanged):
            yield map_fields(np.asarray, inputs)

    @property
    def positions(self) -> np.ndarray:
        """The position of each example in the whole dataset, shape `(num_examples,)`."""
        known = self.data.positions.get(self.split)
        return (np.arange(self.num_examples) if known is None else known)[: self.num_examples]

    @property
    def weights(self) -> tf.Tensor | None:
        """Weight of each example in the loss, or None without weights."""
        if self.stored.dataset is None:
            known = self.stored.weights
            return None if known is None else known[: self.num_examples]
        if not self.data.has_weights:
            return None
        batches = self.stored.dataset.take(self.num_examples).batch(_GATHERED)
        return tf.constant(np.concatenate([np.asarray(weights) for *_, weights in batches]))

    @property
    def raw(self) -> list[tuple[Any, Any]]:
        """The raw input and the raw target of each example."""
        pairs = self.data.splits[self.split].take(self.num_examples)
        return [(raw, target) for raw, target, *_ in pairs.as_numpy_iterator()]

    @property
    def encoded(self) -> Iterator[tuple[Any, ...]]:
        """Batches of the examples as the task encodes them: inputs, targets, and weights."""
        encode = encode_examples(self.task)
        return iter(eval_batches(self.stored, batch_size=self.batch_size, encode=encode))

    @property
    def inputs(self) -> Any:
        """Prepared inputs of the examples."""
        return _stored(first_examples(self.stored, self.num_examples), 0)


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
    training: Stored | None = None,
) -> SplitAnswers:
    """Runs a model over a split once, and returns its answers.

    A model that does not take the examples of the data has no scores for them: the report asks it.

    Args:
        model: Model that gives scores.
        task: Task of the model.
        data: Data of the examples.
        stored: Prepared examples of the split.
        split: Name of the split.
        batch_size: Number of examples at a time.
        max_batches: Maximum number of batches. Defaults to None: all.
        judged: Description of the examples. Defaults to the name of the split and the data.
        training: Prepared examples of the training split, for a report that compares with them.
            Defaults to None.
    """
    judged = judged or f"the {split} split of {data.name}"
    if not scores_examples(task, data):
        few = _limited(stored, task, data, batch_size, max_batches)
        if few.num_examples < stored.num_examples:
            judged = f"the first of {stored.num_examples:,} of {judged}"
            judged += f" (evaluation_steps={max_batches})"
        targets = _stored(few, 1) if task.generates else None
        return SplitAnswers(
            targets, None, task, data, few, split, judged, model, training, batch_size
        )

    def encode(inputs: Any, targets: Any) -> tuple[Any, Any]:
        return encode_examples(task)(inputs, targets)[0], targets

    batches = eval_batches(stored, batch_size=batch_size, encode=encode)
    if max_batches is not None:
        batches = batches.take(max_batches)
    scores = model.predict(batches.map(lambda inputs, *_: inputs), verbose=0)
    scores = map_fields(np.asarray, scores)
    targets = _gathered(targets for _, targets, *_ in batches)
    if count_of(scores) < stored.num_examples:
        judged = (
            f"the first of {stored.num_examples:,} of {judged} (evaluation_steps={max_batches})"
        )
    return SplitAnswers(targets, scores, task, data, stored, split, judged, model, training)


def _limited(
    stored: Stored, task: Task, data: Data, batch_size: int, max_batches: int | None
) -> Stored:
    """Returns the examples of a split, or the first episodes or batches of it."""
    if max_batches is not None and data.environment is not None:
        return Stored(min(max_batches, stored.num_examples))
    if max_batches is not None and task.generates:
        return first_examples(stored, max_batches * batch_size)
    return stored


def _stored(stored: Stored, place: int) -> Any:
    """Returns the inputs (0) or the targets (1) of a split as an array, or arrays by name."""
    if stored.dataset is None:
        return map_fields(np.asarray, stored.tensors[place])
    return _gathered(batch[place] for batch in stored.dataset.batch(_GATHERED))


def _unchanged(inputs: Any, targets: Any) -> tuple[Any, Any]:
    return inputs, targets


def _gathered(parts: Iterable[Any]) -> Any:
    """Returns batches of a value, or of fields, as one array, or arrays by name."""
    found = [map_fields(np.asarray, part) for part in parts]
    return map_fields(lambda *each: np.concatenate(each), found[0], *found[1:])


def evaluate(answers: SplitAnswers, model: keras.Model, batch_size: int) -> dict[str, float]:
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
        weights = answers.weights
        stored = Stored(answers.num_examples, answers.scores, answers.targets, weights)
    batches = eval_batches(stored, batch_size=batch_size, encode=encode_examples(answers.task))
    num_batches = math.ceil(answers.num_examples / batch_size)
    found = judge.evaluate(batches.take(num_batches), verbose=0, return_dict=True)
    return {name: float(value) for name, value in found.items()}


_GATHERED = 256  # examples at a time
_STEPS = ("test_step", "compute_loss", "compute_metrics", "make_test_function")


def _judge(answers: SplitAnswers, model: keras.Model) -> keras.Model | None:
    """Returns a compiled model that passes scores through, or None if its loss would differ."""
    if own_methods(model, _STEPS) or not changes_targets_alone(answers.task):
        return None
    if keras.backend.backend() == "jax":  # `predict` leaves no losses of activities there
        model(_one_input(answers.stored), training=False)
    if model.losses:
        return None

    def scored(values: np.ndarray) -> keras.KerasTensor:
        return keras.Input(values.shape[1:], dtype=values.dtype.name)

    scores = map_fields(scored, answers.scores)
    same = map_fields(lambda one: keras.layers.Identity(dtype=one.dtype)(one), scores)
    judge = keras.Model(scores, same)
    judge.compile(
        loss=answers.task.loss,
        metrics=answers.task.metrics(),
        run_eagerly=model.run_eagerly,
        jit_compile=model.jit_compile,
        steps_per_execution=model.steps_per_execution,
    )
    return judge


def _one_input(stored: Stored) -> Any:
    if stored.dataset is None:
        return map_fields(lambda one: one[:1], stored.inputs)
    return next(iter(stored.dataset.batch(1)))[0]


def report_on(
    answers: SplitAnswers,
    options: ReportOptions,
    history: Mapping[str, Sequence[float]] | None = None,
) -> Findings:
    """Returns the report on the answers to a split.

    Args:
        answers: Answers of a model.
        options: Options of the report.
        history: Metrics of the training, drawn as curves. Defaults to None: no curves.
    """
    findings = answers.task.report(answers, options)
    if answers.scores is not None or answers.task.generates:
        findings.judged = f"{answers.num_examples:,} examples: {answers.judged}"
    if answers.scores is not None:
        findings.predictions = predictions(answers, answers.task) | {"positions": answers.positions}
    curves = figures.training_curves(history or {})
    if curves is not None:
        findings.figures["training"] = curves
    if len(findings.worst):
        _show_worst(findings, answers)
    return findings


def _show_worst(findings: Findings, answers: SplitAnswers) -> None:
    """Adds the worst answers: a grid of images, or a table of other examples."""
    name = image_field(answers.data)
    if name is not None:
        worst = prepared_examples(answers.stored, findings.worst)
        pictures = as_pixels([of_field(one, name) for one in worst])
        captions = findings.captions
        if name:  # the image alone does not say what was asked
            raw = raw_examples(answers.data, answers.split, findings.worst)
            others = [as_text({k: v for k, v in one.items() if k != name}) for one in raw]
            captions = [
                f"{text}\n{caption}" for text, caption in zip(others, captions, strict=True)
            ]
        title = "The worst mistakes"
        findings.figures["worst"] = figures.picture_grid(pictures, captions, title)
        return
    raw = raw_examples(answers.data, answers.split, findings.worst)
    findings.tables["The worst answers"] = [
        {"example": as_text(example)[:300], "what": caption}
        for example, caption in zip(raw, findings.captions, strict=True)
    ]
