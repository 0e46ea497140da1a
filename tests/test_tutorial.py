"""docs/guides/pictures.md is a promise, too: all that it shows is run, in a folder of its own."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

import kx
from kx.config import compose

PAGES = ("guides/pictures.md", "guides/pictures.zh.md")


def blocks(language: str, page: str = PAGES[0]) -> list[str]:
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in block.splitlines() if line]
    words = [shlex.split(line) for line in lines]
    kx_is = [sys.executable, "-m", "kx"]
    return [kx_is + w[1:] if w[0] == "kx" else [sys.executable, *w[1:]] for w in words]


@pytest.fixture
def place(new_project: Path) -> Path:
    """A project with the files that the page writes."""
    for text in (blocks("python")[0], blocks("yaml")[0]):
        path = new_project / re.match(r"# ([\w/.]+)", text)[1]  # type: ignore[index]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return new_project


def test_both_languages_show_the_same() -> None:
    for language in ("bash", "python", "yaml", "text"):
        assert blocks(language) == blocks(language, PAGES[1])
    for page in PAGES:
        text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (REPOSITORY / "docs" / "guides" / link).exists(), link


def test_its_program_draws_and_its_configs_are_sound(place: Path) -> None:
    """The commands themselves take minutes: they are run below, among the slow tests."""
    subprocess.run([sys.executable, "make_shapes.py"], check=True)
    assert len(list((place / "shapes").glob("*/*.*"))) == 304
    trainings = [w[3:] for w in commands() if w[1:3] == ["-m", "kx.run"]]
    assert len(trainings) == 4
    for words in trainings:
        if words[0] != "-m":
            assert compose(words).choices["model"] == "resnet"


@pytest.mark.slow
def test_all_that_it_shows_is_so(place: Path) -> None:
    printed = []
    for words in commands():
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr and "WARNING" not in done.stderr
        printed.append(done.stdout)
    wide = re.sub(r"\s+", " ", " ".join(printed))
    for line in blocks("text")[0].splitlines()[1:]:
        assert re.sub(r"\s+", " ", line) in wide
    assert (place / "data_show.png").stat().st_size > 10_000
    scratch, transferred = (kx.load_run(name) for name in ("from-scratch", "transferred"))
    assert transferred.metrics["test/accuracy"] > scratch.metrics["test/accuracy"]
    assert transferred.history["phase"] == [1.0] * 15 + [2.0] * 10
    assert transferred.artifact("report/test/training.png").is_file()
    used = subprocess.run(
        [sys.executable, "-c", blocks("python")[1]], capture_output=True, text=True, check=True
    )
    assert "b'circle'" in used.stdout
