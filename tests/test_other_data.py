"""`kx evaluate` on other data: all of it is judged, or what was asked, and it is said which."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kx.cli import main
from kx.report import page
from kx.report.findings import Findings


@pytest.fixture
def other(texts: Path, tmp_path: Path) -> Path:
    """Forty rows, of which the first twenty are labelled as the words are not."""
    lines = texts.read_text().splitlines()
    path = tmp_path / "other.csv"
    path.write_text("\n".join([lines[0], *lines[1:41]]) + "\n")
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
    positions = np.load(report / "predictions.npz")["positions"]
    assert sorted(positions) == list(range(40))
    assert main(["evaluate", run.id, f"data.test_path={other}"]) == 0  # a split of its own
    assert "40 examples: the test split of reviews, one of its own" in judged(capsys)
    assert main(["evaluate", run.id, f"data.path={other}", "--split", "test"]) == 0
    captured = capsys.readouterr().out
    assert "judged: 8 examples: the test split of other" in captured and "note:" in captured
    assert main(["evaluate", run.id, f"data.path={other}", "data.test_fraction=0.5"]) == 0
    assert "judged: 20 examples" in judged(capsys)
    assert main(["evaluate", run.id]) == 0
    assert judged(capsys).endswith("examples: the test split of reviews")


def test_another_option_without_splits_is_judged_whole(
    at_home: Path, trained: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", trained("row").id, "data=wine"]) == 0
    assert "judged: 178 examples: all of wine" in judged(capsys)
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
