"""Each family of examples, through everything that is done with a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import family_overrides

import kx
from kx.callbacks import TIMINGS
from kx.cli import main
from kx.config import compose
from kx.contracts.fields import named_fields
from kx.run import main as run_main
from kx.training import train

# Two inputs, masks, reconstruction, a teacher, two networks, no examples, texts that are written.
FAMILIES = (
    "fields", "masks", "reconstruction", "distillation", "adversarial", "agent", "translation",
    "language",
)  # fmt: skip


def words_of(family: str, trained: Callable[[str], Any], texts: Path) -> list[str]:
    words = family_overrides(family, texts)
    if any("TEACHER" in word for word in words):
        words = [word.replace("TEACHER", trained("image").id) for word in words]
    return [*words, "report.num_bootstrap_samples=10"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_predicts_what_its_export_answers(
    at_home: Path, trained: Callable[[str], Any], family: str, tmp_path: Path
) -> None:
    run = trained(family)
    folder = run.export(tmp_path / "exported")
    raw, answers = run.bundle().examples()
    served = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    found = served(**named_fields(raw, "inputs"))
    assert set(found) == set(answers)
    if isinstance(raw, dict):
        given: Any = {name: value.numpy() for name, value in raw.items()}
        one = {name: value[0] for name, value in given.items()}
    else:
        given = one = raw.numpy()[0]
    [predicted] = run.predict([one])
    for name, values in found.items():
        expected = values.numpy()[0]
        said = predicted[name]
        if isinstance(said, dict):  # by the names of the classes
            said = list(said.values())
        if expected.dtype.kind == "f" if hasattr(expected, "dtype") else False:
            np.testing.assert_allclose(said, expected, atol=1e-4)
        else:
            assert said == (expected.decode() if isinstance(expected, bytes) else expected.tolist())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_is_evaluated_again_to_the_same_numbers(
    at_home: Path, trained: Callable[[str], Any], family: str, tmp_path: Path
) -> None:
    run = trained(family)
    assert main(["evaluate", run.id, "--out", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again" / "report.json").read_text())["metrics"]
    before = {name.removeprefix("test/"): v for name, v in run.metrics.items()}
    assert again
    for name, value in again.items():
        assert value == pytest.approx(before[name], rel=1e-4, abs=1e-5, nan_ok=True), name
    assert list((tmp_path / "again").glob("*.png"))


PLAIN = ("fields", "masks", "reconstruction", "language")  # which train as an image does


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize(
    "family",
    [pytest.param(n, marks=pytest.mark.slow) if n in PLAIN else n for n in FAMILIES],
)
def test_a_run_that_was_stopped_continues_to_the_same_numbers(
    project: Path, trained: Callable[[str], Any], home: Path, texts: Path, family: str
) -> None:
    straight = trained(family)
    store = f"tracking.uri=sqlite:///{home}/mlflow.db"
    words = [*words_of(family, trained, texts), store, "tracking.run_name=stopped"]
    train(compose(words), stop_after=1, evaluate=False, quiet=True)
    again = kx.train(*words, "resume=auto", quiet=True)
    compared = [name for name in straight.history if name not in TIMINGS]
    for name in compared:
        np.testing.assert_array_equal(straight.history[name], again.history[name], err_msg=name)
    for one, other in zip(straight.model().weights, again.model().weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=one.path)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_is_reproduced_swept_and_searched(
    project: Path, trained: Callable[[str], Any], home: Path, texts: Path, family: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    store = f"sqlite:///{home}/mlflow.db"
    words = [*words_of(family, trained, texts), f"tracking.uri={store}"]
    assert main(["reproduce", trained(family).id, "--uri", store]) == 0, capfd.readouterr()
    assert run_main(["-m", *words, "seed=0,1"]) == 0
    searched = ["tuner=random", "tuner.max_trials=2"]
    space = "tuner.space={optimizer.learning_rate: {type: float, min: 1e-4, max: 1e-2}}"
    objective = ["tuner.objective=val_generator_loss"] if family == "adversarial" else []
    code = run_main([*words, *searched, space, *objective])
    assert code == 0, capfd.readouterr()
