"""Averages: of views of an image (test-time augmentation), and of several runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import expit, softmax

import kx
from kx.cli import main
from kx.contracts.specs import Spec
from kx.contracts.task import Task
from kx.errors import ConfigError, DataError
from kx.evaluation.ensemble import evaluate_ensemble
from kx.evaluation.evaluate_run import ask
from kx.export.views import VIEWS, with_views
from kx.tasks.prediction.binary import binary
from kx.tasks.prediction.classification import classification
from kx.tasks.prediction.regression import regression

THREE = Spec((), "int32", class_names=("a", "b", "c"))


def net(shape: tuple[int, ...], units: int = 3) -> keras.Model:
    keras.utils.set_random_seed(1)
    x = keras.Input(shape, dtype="uint8")
    h = keras.layers.Flatten()(keras.layers.Rescaling(1 / 64)(x))
    return keras.Model(x, keras.layers.Dense(units)(h))


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, "uint8")


def views_of(images: np.ndarray, name: str) -> list[np.ndarray]:
    if name == "flip":
        return [images, images[:, :, ::-1]]
    if name == "vertical_flip":
        return [images, images[:, ::-1]]
    if name == "quarter_turns":
        return [np.rot90(images, turns, axes=(1, 2)) for turns in range(4)]
    height, width = images.shape[1:3]
    rows, columns = height // 16, width // 16
    wide = np.pad(images, [(0, 0), (rows, rows), (columns, columns), (0, 0)], mode="symmetric")
    places = [(rows, columns), (0, columns), (2 * rows, columns), (rows, 0), (rows, 2 * columns)]
    return [wide[:, top : top + height, left : left + width] for top, left in places]


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_the_answer_is_the_mean_of_the_probabilities_of_the_views(name: str) -> None:
    model, images = net((32, 32, 2)), pixels(5, 32, 32, 2)
    task = classification(THREE)
    averaged = with_views(model, task, [name])
    expected = np.mean([softmax(model(view), axis=-1) for view in views_of(images, name)], axis=0)
    found = task.decode(averaged(images))["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp([model(view) for view in views_of(images, name)], axis=0).max() > 0.1


def test_views_of_views() -> None:
    model, images = net((32, 48, 1)), pixels(4, 32, 48, 1)
    task = classification(THREE)
    both = [w for view in views_of(images, "flip") for w in views_of(view, "shift")]
    expected = np.mean([softmax(model(view), axis=-1) for view in both], axis=0)
    found = task.decode(with_views(model, task, ["flip", "shift"])(images))["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("task", "scores", "expected"),
    [
        (classification(THREE), [[[0, 90, -90]], [[0, 0, 0]]], [[1 / 6, 4 / 6, 1 / 6]]),
        (
            binary(Spec((), "int32", class_names=("no", "yes"))),
            [[[900.0]], [[-2.0]]],
            [[1 - (1 + expit(-2)) / 2, (1 + expit(-2)) / 2]],
        ),
    ],
)
def test_probabilities_are_averaged_also_of_the_very_sure(
    task: Task, scores: list[list[list[float]]], expected: list[list[float]]
) -> None:
    together = task.average(np.array(scores, "float32"))
    assert np.isfinite(together).all()
    np.testing.assert_allclose(task.decode(together)["probabilities"], expected, atol=1e-6)


def test_numbers_are_averaged_as_they_are() -> None:
    task = regression(Spec((), "float32", mean=(10.0,), standard_deviation=(2.0,)))
    together = task.average(np.array([[[1.0]], [[2.0]]], "float32"))
    assert task.decode(together)["value"].numpy().tolist() == [[13.0]]


@pytest.mark.parametrize(
    ("names", "shape", "message"),
    [
        (["filp"], (8, 8, 1), "Did you mean 'flip'"),
        (["flip", "flip"], (8, 8, 1), "named twice"),
        (["flip"], (8,), "is for images"),
        (["quarter_turns"], (8, 6, 1), "square images. Received: 8x6"),
    ],
)
def test_views_that_cannot_be_are_refused(
    names: list[str], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        with_views(net(shape), classification(THREE), names)
    assert message in str(caught.value)


def test_evaluate_and_predict_average_over_views(
    at_home: Path, trained: Callable[[str], kx.Run], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = trained("image")
    own = ask(run, [], "test")
    seen = ask(run, [], "test", ["flip"])
    preparation = run.bundle().preparation()
    images = np.stack([preparation.prepare(x[None])[0] for x, _ in own.data.test])
    model = run.model()
    expected = (softmax(model(images), axis=-1) + softmax(model(images[:, :, ::-1]), axis=-1)) / 2
    np.testing.assert_allclose(softmax(seen.scores, axis=-1), expected, atol=1e-5)

    metrics = dict(kx.load_run(run.id).metrics)
    assert main(["evaluate", run.id, "--tta", "flip", "--out", str(tmp_path / "report")]) == 0
    accuracy = (seen.scores.argmax(axis=-1) == seen.targets).mean()
    assert f"{accuracy:.4f}" in capsys.readouterr().out
    assert (tmp_path / "report" / "report.html").is_file()
    assert kx.load_run(run.id).metrics == metrics, "the run's own scores are those without views"

    picture = tmp_path / "digit.png"
    keras.utils.save_img(picture, images[0], scale=False)
    assert main(["predict", run.id, str(picture), "--tta", "flip", "--json"]) == 0
    [answer] = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(list(answer["probabilities"].values()), expected[0], atol=1e-5)
    assert main(["predict", run.id, str(picture), "--tta", "filp"]) == 1
    assert "Did you mean 'flip'" in capsys.readouterr().err


@pytest.mark.usefixtures("graphs")
def test_several_runs_answer_together(
    at_home: Path, trained: Callable[[str], kx.Run], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = trained("image")
    words = ["model=mlp", "data=digits", "epochs=1", "report=none"]
    other = kx.train(*words, quiet=True)
    both = [ask(one, [], "test") for one in (run, other)]
    expected = np.mean([softmax(one.scores, axis=-1) for one in both], axis=0)
    found = evaluate_ensemble([run, other])
    np.testing.assert_allclose(found.predictions["probabilities"], expected, atol=1e-5)
    capsys.readouterr()
    assert main(["evaluate", run.id, other.id, "--out", str(tmp_path / "report")]) == 0
    said = capsys.readouterr().out
    accuracy = (expected.argmax(axis=-1) == both[0].targets).mean()
    assert run.name in said and other.name in said and f"{accuracy:.4f}" in said
    assert "Average of 2 runs" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")

    split = kx.train(*words, "split.seed=1", "tracking.run_name=split", quiet=True)
    with pytest.raises(DataError, match="same data and split"):
        evaluate_ensemble([run, split])
    with pytest.raises(ConfigError, match="is named twice"):
        evaluate_ensemble([run, run])
    with pytest.raises(DataError, match="another task"):
        evaluate_ensemble([run, trained("number")])
