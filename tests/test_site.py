"""The pages of `docs/`: each project works, each command is right, both languages agree."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from test_readme import follows, require_right

from kx.cli import main as kx_main
from kx.run import main as run_main

DOCS = REPOSITORY / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not path.name.endswith(".zh.md"))
PROJECTS = sorted((DOCS / "extend").glob("*[!h].md"))
# Pages whose commands need more than a project, and where they are seen instead.
ELSEWHERE = {
    "pictures": "tests/test_tutorial.py", "scale": "tests/test_docs.py",
    "search": "tests/test_search.py",
}  # fmt: skip
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each block of code."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def commands(page: Path) -> list[str]:
    bash = [text for language, text in blocks(page) if language == "bash"]
    lines = "".join(bash).replace("\\\n", " ").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def files(page: Path) -> dict[str, str]:
    """The files of a page: blocks whose first line is a comment with a path."""
    found = {}
    for language, text in blocks(page):
        first = text.splitlines()[0] if text else ""
        if language in ("python", "yaml") and re.fullmatch(r"# \S+\.(py|yaml)", first):
            found[first.removeprefix("# ")] = text
    return found


@pytest.fixture
def own(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's project, from which modules are imported."""
    monkeypatch.syspath_prepend(project)
    return project


def write_files(page: Path, folder: Path) -> dict[str, str]:
    found = files(page)
    for name, text in found.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return found


def run(line: str, found: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)
    if words[:3] == ["python", "-m", "kx.run"]:
        code = run_main(words[3:])
    elif words[0] == "kx":
        code = kx_main(words[1:])
    else:
        program, name = words
        assert program == "python"
        exec(compile(found[name], name, "exec"), {"__name__": "__main__"})
        return
    assert code == 0, (line, capfd.readouterr().err)


@pytest.mark.parametrize("page", PROJECTS, ids=lambda path: path.stem)
def test_a_project_of_a_page_works(
    page: Path, own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its check passes, and its first training; `nox -s docs` runs all of its commands."""
    found = write_files(page, own)
    written = sum(text.count("\n") for name, text in found.items() if not name.startswith("check_"))
    assert found and written < 60
    for name in found:
        if name.startswith("check_"):
            run(f"python {name}", found, capfd)
    trainings = [line for line in commands(page) if line.startswith("python -m kx.run")]
    run(f"{trainings[0]} epochs=1 report=none tracking=none", found, capfd)
    for line in trainings[1:]:
        require_right(line, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_of_a_page_runs(
    page: Path, own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    if page.stem in ELSEWHERE:
        pytest.skip(ELSEWHERE[page.stem])
    pixels = (load_digits().images[0] * 15.9).astype("uint8")
    Image.fromarray(pixels).save(own / "digit.png")
    found = write_files(page, own)
    if "latest" in "".join(commands(page)):  # the run that is spoken of
        run("python -m kx.run data=digits model=mlp epochs=1", found, capfd)
    for line in commands(page):
        run(line, found, capfd)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem not in ELSEWHERE], ids=lambda path: path.stem
)
def test_every_command_of_a_page_is_right(
    page: Path, own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_files(page, own)
    for line in commands(page):
        if line.startswith(("python -m kx.run", "kx ")) and not follows(line):
            require_right(re.sub("^kx run ", "python -m kx.run ", line), capfd)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.stem not in ("architecture", "reference")],
    ids=lambda path: path.stem,
)
def test_both_languages_of_a_page_show_the_same(page: Path) -> None:
    chinese = page.with_suffix(".zh.md")
    assert blocks(page) == blocks(chinese)
    for pattern in (r"\]\(([^)#]+)\)", r"<!-- options of .*? -->"):
        pair = [re.findall(pattern, one.read_text(encoding="utf-8")) for one in (page, chinese)]
        assert sorted(pair[0]) == sorted(pair[1])
    titles = [one.read_text(encoding="utf-8").count("\n#") for one in (page, chinese)]
    assert titles[0] == titles[1]


def test_the_site_is_built_and_no_link_is_broken(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    options = (tmp_path / "site" / "commands" / "predict" / "index.html").read_text("utf-8")
    assert "usage: kx predict" in options and "options of kx" not in options
    reference = (tmp_path / "site" / "reference" / "index.html").read_text("utf-8")
    for name in ("kx.train", "kx.Run", "kx.Task", "check_learner"):
        assert name in reference
    assert "Example:</p>" not in reference  # each is shown as code
    assert "快速上手" in (tmp_path / "site" / "zh" / "index.html").read_text("utf-8")
