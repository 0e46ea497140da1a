"""`kx evaluate` on other data: all of it is judged, or what was asked, and it is said which."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import family_overrides

import kx
from kx.cli import main
from kx.contracts.findings import Findings
from kx.report import page


@pytest.fixture
def other(texts: Path, tmp_path: Path) -> Path:
    """Forty rows of other texts, the moods of the first twenty such as no text has."""
    lines = ["review,mood"]
    moods = ["happy", "angry", "calm"]
    for number in range(40):
        text = ["a great day", "a terrible night", "fun and moving"][number % 3]
        lines.append(f"{text} {number},{moods[(number + (number < 20)) % 3]}")
    path = tmp_path / "other.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def judged(capsys: pytest.CaptureFixture[str]) -> str:
    out = capsys.readouterr().out
    return next(line for line in out.splitlines() if line.startswith("judged: "))


def test_other_data_is_judged_whole_and_it_is_said(
    at_home: Path,
    trained: Callable,
    other: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = trained("text")
    report = tmp_path / "report"
    assert main(["evaluate", run.id, f"data.path={other}", "--out", str(report)]) == 0
    whole = "40 examples: all of other, which has no test split of its own"
    assert judged(capsys) == f"judged: {whole}"
    assert json.loads((report / "report.json").read_text())["judged"] == whole
    assert whole in (report / "report.html").read_text()
    kept = np.load(report / "predictions.npz")
    texts_of_all = [line.rpartition(",")[0] for line in other.read_text().splitlines()[1:]]
    moods = [line.rpartition(",")[2] for line in other.read_text().splitlines()[1:]]
    assert kept["positions"].tolist() == list(range(40))
    answers = [answer["label"] for answer in run.predict(texts_of_all)]
    assert kept["label"].tolist() == answers
    right = np.mean([a == b for a, b in zip(answers, moods, strict=True)])
    metrics = json.loads((report / "report.json").read_text())["metrics"]
    assert metrics["accuracy"] == pytest.approx(right)
    assert main(["evaluate", run.id, f"data.test_path={other}"]) == 0  # a split of its own
    assert "40 examples: the test split of reviews, one of its own" in judged(capsys)
    assert main(["evaluate", run.id, f"data.path={other}", "--split", "test"]) == 0
    captured = capsys.readouterr().out
    assert "judged: 8 examples: the test split of other" in captured and "note:" not in captured
    assert main(["evaluate", run.id, f"data.path={other}", "split.test_fraction=0.5"]) == 0
    assert "judged: 20 examples" in judged(capsys)
    assert main(["evaluate", run.id, f"data.path={other}", "split.limit=30"]) == 0
    assert judged(capsys).startswith("judged: 30 examples: all of other")
    for words in ([], ["data.cache=memory"]):
        assert main(["evaluate", run.id, *words]) == 0
        assert judged(capsys).endswith("48 examples: the test split of reviews")


def test_the_data_of_the_training_is_told_however_it_is_named(
    at_home: Path, trained: Callable, texts: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["evaluate", trained("row").id, "data=wine"]) == 0
    out = capsys.readouterr().out
    assert "judged: 36 examples: the test split of wine" in out and "note:" not in out
    assert main(["evaluate", trained("row").id, "split.seed=1"]) == 0
    assert "note: this is the data of the training, changed or divided" in capsys.readouterr().out
    copy = tmp_path / "copy.csv"
    copy.write_text(texts.read_text())
    assert main(["evaluate", trained("text").id, f"data.path={copy}"]) == 0
    out = capsys.readouterr().out
    assert "judged: 240 examples: all of copy" in out and "examples of the run's own data" in out
    assert main(["evaluate", trained("row").id, trained("row").id]) == 1  # twice the same
    assert "named twice" in capsys.readouterr().err


def test_what_is_too_large_of_the_predictions_is_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page, "MAX_PREDICTIONS_BYTES", 4000)
    scores = np.zeros((100, 100), "float32")
    predictions = {"targets": np.arange(100), "scores": scores, "label": np.arange(100)}
    found = Findings(metrics={"accuracy": 1.0}, predictions=predictions)
    page.write_report(found, tmp_path, title="t", subtitle="s", confidence_level=0.95)
    assert set(np.load(tmp_path / "predictions.npz")) == {"targets", "label"}
    assert "has no scores" in capsys.readouterr().out


def test_a_file_of_the_runs_own_is_not_read_beside_other_data(
    project: Path, texts: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "whitespace").mkdir()  # as data.split is called: no file of the run's
    own = project / "own.csv"
    own.write_text("\n".join(texts.read_text().splitlines()[:31]) + "\n")
    run = kx.train(*family_overrides("text", texts), f"data.test_path={own}", quiet=True)
    assert main(["evaluate", run.id, f"data.path={other}"]) == 1
    said = capsys.readouterr().err
    assert f"data.test_path={own} is of the run's own data" in said
    assert main(["evaluate", run.id, f"data.path={other}", "data.test_path=null"]) == 0
    assert "40 examples: all of other" in judged(capsys)
    one = project / "one.csv"  # of one class: each example counts all the same
    one.write_text("review,mood\n" + "a great day,happy\n" * 7)
    assert main(["evaluate", run.id, f"data.path={one}", "data.test_path=null"]) == 0
    assert "7 examples: all of one" in judged(capsys)


def test_other_arrays_need_not_have_every_class(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    inputs, targets = generator.normal(size=(60, 4)).astype("float32"), np.arange(60) % 4
    np.savez(project / "all.npz", x_train=inputs, y_train=targets)
    some = targets != 2
    np.savez(project / "some.npz", x_train=inputs[some], y_train=targets[some])
    words = ["data=arrays", "data.path=all.npz", "model=linear", "epochs=1", "report=none"]
    run = kx.train(*words, quiet=True)
    assert main(["evaluate", run.id, "data.path=some.npz"]) == 0
    assert "45 examples: all of some" in judged(capsys)


def test_an_array_is_one_example_or_several(at_home: Path, trained: Callable) -> None:
    image, row = trained("image"), trained("row")
    pixels = np.zeros((8, 8, 1), "uint8")
    assert len(image.predict(pixels)) == len(image.predict(pixels[..., 0])) == 1
    assert len(image.predict(pixels[None])) == 1 and len(image.predict([pixels] * 3)) == 3
    names = row.bundle().spec()["inputs"].column_names
    values = np.arange(1.0, 14.0)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([values[::-1], values[::-1]], columns=names[::-1])
    [one] = row.predict(values)
    for answer in row.predict(frame):  # of a batch of two, which may be rounded otherwise
        assert answer["probabilities"] == pytest.approx(one["probabilities"], rel=1e-4)


def test_data_that_has_changed_since_the_training_is_reported(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{'good' if i % 2 else 'bad'} {i},{i % 2}" for i in range(60)]
    Path("changes.csv").write_text("\n".join(["text,label", *rows]))
    run = kx.train("data=text_csv", "data.path=changes.csv", "model.units=4",
                   "tokenizer.sequence_length=4", epochs=1, quiet=True)  # fmt: skip
    assert main(["evaluate", run.id]) == 0
    assert "note:" not in capsys.readouterr().out
    Path("changes.csv").write_text("\n".join(["text,label", *rows[::-1]]))
    assert main(["evaluate", run.id]) == 0
    said = capsys.readouterr().out
    assert "note: this is the data of the training, changed or divided otherwise" in said
