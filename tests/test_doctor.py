"""`kx doctor`: an honest table, and an exit code for who wants to know before a training."""

from __future__ import annotations

import importlib.util
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kx.cli import main


def verdicts(text: str) -> dict[str, str]:
    """Name of a thing to what is said of it: `yes`, `no` or `NO`."""
    found = {}
    for line in text.splitlines():
        words = line.replace(" (asked)", "").split()
        for at, word in enumerate(words[1:3], 1):
            if word in ("yes", "no", "NO"):
                found[words[at - 1]] = word
    return found


def test_what_a_plain_config_asks_for_works(
    new_project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "no problem found with this config" in said
    found = verdicts(said)
    for name in ("tensorflow", "keras-tuner", "cores", "float32", "default", "local"):
        assert found[name] == "yes", said
    assert found["multi_worker"] == "no", "nobody says who trains together"
    assert "will be made with the first run" in said and not (new_project / "mlflow.db").exists()


def test_a_store_is_read_and_written_and_left_as_it_was(
    at_home: Path, trained: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("row")
    assert main(["doctor"]) == 0
    assert "written to and read in" in capsys.readouterr().out
    with sqlite3.connect(at_home / "mlflow.db") as store:
        tags = store.execute("select key from experiment_tags").fetchall()
    assert ("kx.doctor",) not in tags


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strategy=multi_worker"], "strategy=multi_worker cannot work here"),
        (["strategy=model_parallel"], "needs backend=jax"),
        (["strategy=mirrored", "strategy.logical_devices=3"], "a multiple of 3"),
        (["strategy=multi_worker", "strategy.processes=2", "launcher=slurm"], "cannot start them"),
        (["launcher=slurm"], "launcher=slurm cannot work here"),
        (["tracking.uri=http://127.0.0.1:1"], "tracking=http://127.0.0.1:1 cannot work here"),
    ],
)
def test_what_cannot_work_ends_with_an_error(
    project: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PATH", "/usr/bin-without-slurm")
    assert main(["doctor", *words]) == 1
    assert said in capsys.readouterr().out


def test_a_damaged_store_is_told(new_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (new_project / "mlflow.db").write_bytes(b"no database" * 100)
    assert main(["doctor"]) == 1
    assert "mlflow.db cannot work here" in capsys.readouterr().out
    assert main(["doctor", "tracking=none"]) == 0


def test_a_missing_extra_says_the_line_that_installs_it(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def without_jax(name: str, package: str | None = None) -> Any:
        return None if name == "jax" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_jax)
    assert main(["doctor", "backend=jax"]) == 1
    assert 'pip install "kx[jax]"' in capsys.readouterr().out


def test_a_mistake_in_the_config_is_told_first(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "launchr=ray"]) == 1
    assert "Did you mean 'launcher'" in capsys.readouterr().err
