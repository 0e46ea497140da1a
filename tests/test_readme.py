"""The README is a promise: each of its commands is run, in order, in one project."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from kx.cli import main as kx_main
from kx.run import main as run_main

# What a test cannot run within itself, and where it is seen instead.
ELSEWHERE = {
    'pip install -e ".[dev]" -c constraints.txt && python -m kx.run': ".ci/run installs so",
    "pytest": "this is it",
}


def blocks(language: str, name: str = "README.md") -> list[str]:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(name: str = "README.md") -> list[str]:
    return [line for block in blocks("bash", name) for line in block.splitlines() if line]


def command_words(line: str) -> list[str]:
    words = shlex.split(line)
    if words[0] == "kx":
        return [sys.executable, "-m", "kx", *words[1:]]
    assert words[0] == "python", line
    return [sys.executable, *words[1:]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, texts: Path, pictures: Path) -> Path:
    """A user's folder, with the pictures and the texts that the README speaks of."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("readme")
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "tiny.yaml").write_text(blocks("yaml")[0])
    (folder / "mymodels.py").write_text(blocks("python")[0])
    pixels = (load_digits().images[0] * 15.9).astype("uint8")
    Image.fromarray(pixels).resize((32, 32)).save(folder / "digit.png")
    (folder / "reviews.csv").write_text(texts.read_text())
    shutil.copytree(pictures, folder / "flowers")
    return folder


def run(words: list[str], place: Path, tfds_folder: Path) -> str:
    done = subprocess.run(
        words, cwd=place, capture_output=True, text=True, check=False,
        env={**os.environ, "TFDS_DATA_DIR": str(tfds_folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "WARNING" not in done.stderr
    return done.stdout


def steps() -> list[str]:
    """The README's commands, in its order: they follow from each other."""
    own = ["python -m kx.run model=tiny epochs=2", "python -m kx.run --help"]
    lines = [line for line in commands() if line not in ELSEWHERE]
    assert len(lines) > 10
    # `latest` of the README is a run on digits: the default run comes right before.
    at = lines.index("kx runs")
    return [*lines[:at], "python -m kx.run epochs=3", *lines[at:], *own]


def is_long(line: str) -> bool:
    """Whether a command, on which no other rests, is composed here and run among the slow tests."""
    long = (
        "data=cifar10", "experiment=digits_cnn", "model=linear,mlp", "seed=range", "tuner=bayesian",
        "strategy=multi_worker", "backend=jax",
    )  # fmt: skip
    return any(word in line for word in long)


def needs_own_process(line: str) -> bool:
    """Whether what a command does is done once in a process: a backend, a folder of data, help."""
    once = ("cifar10", "launcher", "strategy", "backend", "doctor", "--help")
    return any(word in line for word in once)


@pytest.mark.parametrize("line", steps())
def test_every_command_of_the_readme_runs(
    line: str, place: Path, tfds_folder: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """By the function that the command calls, where that is the same (test_project has both)."""
    words = command_words(line)
    if line == "kx reproduce latest":
        pytest.skip("test_cli reproduces runs; the slow tests run this command by itself")
    if is_long(line):
        words += ["--cfg", "job"]
    elif needs_own_process(line):
        run(words, place, tfds_folder)
        return
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    module, arguments = words[2], words[3:]
    assert words[1] == "-m" and module in ("kx", "kx.run")
    code = {"kx": kx_main, "kx.run": run_main}[module](arguments)
    said = capfd.readouterr()
    assert code == 0, said.out + said.err
    assert "Traceback" not in said.err and "WARNING" not in said.err


@pytest.mark.slow
@pytest.mark.parametrize("line", steps())
def test_every_command_of_the_readme_runs_by_itself(
    line: str, place: Path, tfds_folder: Path
) -> None:
    run(command_words(line), place, tfds_folder)


def test_the_python_of_the_readme_runs(place: Path, tfds_folder: Path) -> None:
    [code] = [block for block in blocks("python") if "kx.train" in block]
    assert "FINISHED" in run([sys.executable, "-c", code], place, tfds_folder)


def test_the_mistakes_are_those_that_the_readme_shows(place: Path) -> None:
    [shown] = [block for block in blocks("text") if "mistakes" in block]
    line, *expected = shown.splitlines()
    done = subprocess.run(
        command_words(line.removeprefix("$ ")), cwd=place, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    for part in expected:
        assert part.split(" Available")[0].strip() in done.stderr


def test_both_languages_say_the_same() -> None:
    assert commands() == commands("README.zh.md")
    for language in ("python", "yaml", "text"):
        assert blocks(language) == blocks(language, "README.zh.md")
    for name in ("README.md", "README.zh.md"):
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (REPOSITORY / link).exists(), link
    english, chinese = (
        (REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")
    )
    assert english.count("\n## ") == chinese.count("\n## ")
    assert re.findall(r"\d\.\d{3}", english) == re.findall(r"\d\.\d{3}", chinese)
