"""Checks the contract of a task function."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from kx.contracts.findings import Findings, ReportOptions
from kx.contracts.specs import Spec
from kx.contracts.task import Task
from kx.testing.contract import random_targets, require


def check_task(task: Callable[[Spec], Task], targets: Spec, num_examples: int = 40) -> None:
    """Checks that a task's scores are learned, judged, decoded and reported.

    Args:
        task: Function `(targets) -> Task`; give it options with `functools.partial`.
        targets: Spec of one target that the task takes.
        num_examples: Number of random targets. Defaults to 40.

    Raises:
        ContractError: If a part of the contract does not hold.

    Example:
    >>> from kx.tasks.prediction.binary import binary
    >>> check_task(binary, Spec((), "int32", class_names=("no", "yes")))
    """
    made = task(targets)
    require(isinstance(made, Task), f"expected a kx.Task. Received: {made!r}.")
    require(
        made.monitor_mode in ("min", "max"), f"expected min or max. Received: {made.monitor_mode!r}"
    )
    truth = random_targets(targets, num_examples)
    scores = _check_learning(made, truth)
    answers = made.decode(scores)
    require(bool(answers), "expected predictions by name from `decode`. Received: none.")
    for name, value in answers.items():
        require(
            len(value) == len(truth),
            f"expected a prediction for each example: {len(truth)}. Received for {name!r}:"
            f" {len(value)}.",
        )
    _check_report(made.report(truth, np.asarray(scores), ReportOptions(num_bootstrap_samples=20)))


def _check_learning(task: Task, truth: np.ndarray) -> np.ndarray:
    """Trains on random targets, and returns the scores."""
    encoded = task.encode(truth)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(task.outputs.units)])
    task.compile(model, keras.optimizers.Adam(0.01))
    inputs = np.random.default_rng(1).normal(size=(len(truth), 4)).astype("float32")
    data = (inputs, encoded)
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
        all(one is not other for one, other in zip(task.metrics(), task.metrics(), strict=True)),
        "expected new metrics at each call of `metrics`: a metric belongs to one model.",
    )
    scores: np.ndarray = model.predict(inputs, verbose=0)
    return scores


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
