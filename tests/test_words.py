"""Words that kx's messages, docstrings and docs do not use, and the words in their place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY

INSTEAD = {
    r"learnt": "learned",
    r"anew": "again, or from the beginning",
    r"by heart": "memorize",
    r"likewise": "a full sentence",
    r"goes on|go on|went on": "continue, or resume",
    r"of which nothing came": "empty",
    r"cannot be told": "cannot be determined",
    r"nobody": "no one, or a passive",
    r"hence|thereof|whilst": "plain English",
}
UNUSED = re.compile(rf"\b({'|'.join(INSTEAD)})\b", re.IGNORECASE)
CODE = sorted((REPOSITORY / "kx").rglob("*.py"))
TEXTS = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "conf").rglob("*.yaml")),
]


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The line and text of each string of a module: docstrings and messages."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_messages_and_docstrings_use_common_words(path: Path) -> None:
    found = [(line, text) for line, text in strings(path) if UNUSED.search(text)]
    assert not found, INSTEAD


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_docs_use_common_words(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not [line for line in text.splitlines() if UNUSED.search(line)], INSTEAD
