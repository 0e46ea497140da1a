"""One pass over a split gives the scores, the loss and the metrics."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from kx.config import build, compose
from kx.data.batches import eval_batches
from kx.data.store import store
from kx.evaluation.answers import answers_of, evaluate
from kx.fit.adapt import adapt
from kx.fit.batches import make_data
from kx.fit.model.assemble import assemble


@pytest.mark.parametrize(
    "words",
    [
        ["data=wine", "model=mlp"],
        ["data=diabetes", "model=linear"],
        ["data=wine", "model=mlp", "model.l2=0.01"],  # whose loss needs the weights, too
        ["data=digits", "model=linear", "precision=mixed_bfloat16"],
    ],
)
def test_the_metrics_are_those_of_keras_to_the_last_bit(project: Path, words: list[str]) -> None:
    config = compose(words).config
    keras.mixed_precision.set_global_policy(config.precision)
    try:
        data = make_data(config)
        stored = store(data, ["test"])["test"]
        adapt(data, store(data, ["train"])["train"])
        task = build(config.task, data.targets, place="task")
        model = assemble(config, data, task).model
        task.compile(model, keras.optimizers.Adam())
        passes = []
        model.predict, predict = (
            (lambda *a, **k: passes.append(1) or predict(*a, **k)),
            model.predict,
        )
        answers = answers_of(model, task, data, stored, "test", batch_size=32)
        found = evaluate(answers, model, 32)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    batches = eval_batches(stored, batch_size=32, encode=task.encode)
    wanted = model.evaluate(batches, verbose=0, return_dict=True)
    assert found == {name: float(value) for name, value in wanted.items()}
    assert passes == [1] and len(answers.scores) == stored.num_examples
    assert answers.positions.tolist() == data.positions["test"].tolist()


def test_some_batches_are_told_from_all(project: Path) -> None:
    config = compose(["data=wine", "model=linear"]).config
    data = make_data(config)
    task = build(config.task, data.targets, place="task")
    model = assemble(config, data, task).model
    stored = store(data, ["test"])["test"]
    answers = answers_of(model, task, data, stored, "test", batch_size=8, max_batches=2)
    assert answers.judged.startswith("the first of 36 of the test split of wine")
    assert len(answers.targets) == len(answers.positions) == 16
    assert np.isfinite(answers.scores).all()
