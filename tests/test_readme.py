"""The README is a promise: each of its commands is run, in order, in one project."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from kx.cli import _parser
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


@pytest.fixture(scope="class")
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


def follows(line: str) -> bool:
    """Whether a command is composed from what an earlier one has left."""
    return any(word in line for word in ("resume=latest", "init_from=latest", "rates_best"))


@pytest.mark.parametrize("line", [line for line in steps() if not follows(line)])
def test_every_command_of_the_readme_is_right(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Composed and checked, or parsed: `nox -s docs` runs all of them, and so does `.ci/run`."""
    monkeypatch.chdir(place)
    require_right(line, capfd)


def require_right(line: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Fails unless a command can be composed, or parsed."""
    words = command_words(line)
    assert words[1] == "-m" and words[2] in ("kx", "kx.run")
    if words[2] == "kx.run":
        shows = [] if "--help" in words else ["--cfg", "job"]
        assert run_main([*words[3:], *shows]) == 0, (line, capfd.readouterr().err)
        said = capfd.readouterr()
        assert said.out and "Traceback" not in said.err
        return
    parser, _ = _parser()
    args, rest = parser.parse_known_args(words[3:])
    assert all("=" in word for word in rest)
    module, _, name = args.action.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


# Two classes, which two workers take: each has a folder of its own.
FIRST_OF_THE_SECOND = "kx cross-validate data=wine folds=3 epochs=5 split.test_fraction=0"
HALF = steps().index(FIRST_OF_THE_SECOND)


@pytest.mark.slow
class TestFirstHalf:
    @pytest.mark.parametrize("line", steps()[:HALF])
    def test_every_command_of_the_readme_runs(
        self, line: str, place: Path, tfds_folder: Path
    ) -> None:
        run(command_words(line), place, tfds_folder)


@pytest.mark.slow
class TestSecondHalf:
    @pytest.mark.parametrize("line", steps()[HALF:])
    def test_every_command_of_the_readme_runs(
        self, line: str, place: Path, tfds_folder: Path
    ) -> None:
        run(command_words(line), place, tfds_folder)


def test_the_check_of_the_readme_passes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = [block for block in blocks("python") if "kx.testing" in block]
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    exec(compile(code, "check_tiny.py", "exec"), {})


@pytest.mark.slow
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
