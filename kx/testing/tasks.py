"""Checks the contract of a task function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from kx.contracts.answers import Answers
from kx.contracts.fields import map_fields, values_of
from kx.contracts.findings import Findings, ReportOptions
from kx.contracts.specs import Outputs, Spec, Specs
from kx.contracts.task import Task, encode_examples
from kx.testing.contract import random_inputs, random_targets, require


def check_task(
    task: Callable[..., Task],
    targets: Specs,
    num_examples: int = 40,
    *,
    inputs: Specs | None = None,
) -> None:
    """Checks that a task's scores are learned, judged, decoded and reported.

    Args:
        task: Function `(targets) -> Task`, or `(targets, inputs) -> Task` with `inputs`; give it
            options with `functools.partial`.
        targets: Spec of one target that the task takes, or of each of its fields.
        num_examples: Number of random targets. Defaults to 40.
        inputs: Spec of one prepared input, or of each of its fields, for a task that needs it.
            Defaults to None: four numbers.

    Raises:
        ContractError: If a part of the contract does not hold.

    Example:
    >>> from kx.data import Spec
    >>> from kx.tasks.prediction.binary import binary
    >>> check_task(binary, Spec((), "int32", class_names=("no", "yes")))
    """
    made = task(targets) if inputs is None else task(targets, inputs)
    require(isinstance(made, Task), f"expected a kx.Task. Received: {made!r}.")
    require(
        made.monitor_mode in ("min", "max"), f"expected min or max. Received: {made.monitor_mode!r}"
    )
    truth = map_fields(lambda spec: random_targets(spec, num_examples), targets)
    examples = map_fields(
        lambda spec: random_inputs(spec, num_examples, seed=1),
        Spec((4,), "float32") if inputs is None else inputs,
    )
    if made.loss is None:  # its learner has losses of its own: kx.testing.check_learner
        scores = map_fields(partial(_random_scores, num_examples), made.outputs)
        _check_decoding(made, scores, num_examples)
        return
    model = _check_learning(made, examples, truth)
    if made.generates:
        _check_writing(made, model, examples, truth)
        return
    scores = model.predict(examples, verbose=0)
    _check_decoding(made, scores, num_examples)
    options = ReportOptions(num_bootstrap_samples=20)
    _check_report(made.report(_Given(truth, scores, examples), options))


def _random_scores(count: int, output: Outputs) -> Any:
    shape = (count, *(size or 1 for size in output.shape))
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _check_decoding(made: Task, scores: Any, num_examples: int) -> None:
    answers = made.decode(scores)
    require(bool(answers), "expected predictions by name from `decode`. Received: none.")
    for name, value in answers.items():
        require(
            len(value) == num_examples,
            f"expected a prediction for each example: {num_examples}. Received for {name!r}:"
            f" {len(value)}.",
        )


@dataclass(frozen=True)
class _Given(Answers):
    """Answers with their inputs, and of a task that generates with the model."""

    examples: Any = None
    asked: Any = None
    batches_of: Any = ()

    @property
    def inputs(self) -> Any:
        return self.examples

    @property
    def model(self) -> Any:
        return self.asked

    @property
    def raw(self) -> Any:
        count = len(values_of(self.examples)[0])
        return [(b"text %d" % number, b"a b c %d" % number) for number in range(count)]

    @property
    def encoded(self) -> Any:
        return iter(self.batches_of)


def _check_writing(made: Task, model: keras.Model, examples: Any, truth: Any) -> None:
    """Checks the answers and the report of a task that asks the model several times."""
    count = len(values_of(examples)[0])
    for name, value in made.answer(model, examples).items():
        require(
            len(value) == count,
            f"expected an answer for each example: {count}. Received for {name!r}: {len(value)}.",
        )
    options = ReportOptions(num_bootstrap_samples=20)
    encoded = [encode_examples(made)(examples, truth)]
    _check_report(made.report(_Given(truth, None, examples, model, encoded), options))


def _check_learning(task: Task, inputs: Any, truth: Any) -> Any:
    """Trains on random targets, and returns the model."""
    data = encode_examples(task)(inputs, truth)
    model = _small_model(data[0], task.outputs)
    task.compile(model, keras.optimizers.Adam(0.01))
    history = model.fit(*data, epochs=3, verbose=0, validation_data=data).history
    first, last = history["loss"][0], history["loss"][-1]
    require(last < first, f"expected a loss that training lowers. Received: {first}, then {last}.")
    known = task.monitors(with_validation=True)
    require(
        task.monitor in history and task.monitor in known,
        f"expected a metric of the task as monitor. Received: {task.monitor!r}. Available:"
        f" {', '.join(known)}.",
    )
    require(
        all(
            one is not other
            for one, other in zip(
                keras.tree.flatten(task.metrics()), keras.tree.flatten(task.metrics()), strict=True
            )
        ),
        "expected new metrics at each call of `metrics`: a metric belongs to one model.",
    )
    return model


def _small_model(inputs: Any, outputs: Outputs | Mapping[str, Outputs]) -> keras.Model:
    """Returns a linear model of all numbers of an example, or of each token of a text."""
    if isinstance(outputs, Outputs) and outputs.along is not None:
        any_length = map_fields(lambda one: keras.Input((None,), dtype=_dtype(one)), inputs)
        tokens = any_length[outputs.along] if isinstance(inputs, Mapping) else any_length
        y = keras.layers.Dense(outputs.units)(keras.layers.Embedding(outputs.units, 8)(tokens))
        return keras.Model(any_length, y)

    def flat(x: keras.KerasTensor) -> Any:
        scaled = keras.layers.Rescaling(1 / 255 if x.dtype == "uint8" else 1.0)(x)
        return keras.layers.Flatten()(scaled)

    xs = map_fields(lambda one: keras.Input(one.shape[1:], dtype=_dtype(one)), inputs)
    flats = [flat(x) for x in values_of(xs)]
    h = keras.layers.Concatenate()(flats) if len(flats) > 1 else flats[0]

    def scores(output: Outputs) -> keras.KerasTensor:
        shape = tuple(size or 1 for size in output.shape)
        return keras.layers.Reshape(shape)(keras.layers.Dense(math.prod(shape))(h))

    return keras.Model(xs, map_fields(scores, outputs))


def _dtype(values: Any) -> str:
    return np.asarray(values).dtype.name


def _check_report(findings: Findings) -> None:
    require(isinstance(findings, Findings), f"expected Findings. Received: {findings!r}.")
    require(bool(findings.metrics), "expected metrics in the report. Received: none.")
    for name, value in findings.metrics.items():
        require(np.isscalar(value), f"expected a number for {name!r}. Received: {value!r}.")
    for name, (low, high) in findings.intervals.items():
        require(name in findings.metrics, f"expected a metric for the interval of {name!r}.")
        value = findings.metrics[name]
        require(
            low <= value + 1e-9 and value - 1e-9 <= high,
            f"expected {name!r} within its interval. Received: {value}, [{low}, {high}].",
        )
