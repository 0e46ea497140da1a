"""Texts in a folder for each class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kx.contracts.examples import Examples
from kx.contracts.specs import DataIssue
from kx.data.sources.delimited import read_text
from kx.data.sources.text.labelled import Copies, Texts, labelled
from kx.errors import DataError
from kx.paths import expanded

_SPLITS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_TEXTS = (".txt", ".text", "", ".gz", ".bz2", ".xz")  # suffixes


def text_folder(
    root: str,
    *,
    classes: list[str] | None = None,
    encoding: str = "auto",
    copies: Copies = "kept",
) -> Examples:
    """Loads texts from a folder of class folders, a file for each text.

    Args:
        root: Path to a folder with a folder of `.txt` files for each class; or with `train/`,
            `val/` (or `dev/`) and `test/`, in each such folders.
        classes: Names of the classes that are kept, such as `[neg,pos]` of IMDb's reviews, which
            have a folder of texts without a label beside. Defaults to None: all.
        encoding: Encoding of the files. Defaults to `"auto"`: UTF-8, that of a byte order mark,
            or GB18030 if a file is not UTF-8 and reads as Chinese.
        copies: `"kept"`, or `"one_split"`: texts that differ in nothing but case, spaces and
            punctuation are in one split alone. Defaults to `"kept"`.

    Returns:
        Examples that are strings; a tokenizer makes numbers of them.

    Raises:
        DataError: If there is no such folder, no class or no text, or a file cannot be read.
    """
    folder = expanded(root)
    if not folder.is_dir():
        raise DataError(f"data.root: there is no folder {folder.absolute()}.")
    inner = _folders(folder)
    splits = {path: _SPLITS[path.name.lower()] for path in inner if path.name.lower() in _SPLITS}
    issues: list[DataIssue] = []
    if "train" in splits.values():
        for other in sorted(set(folder.iterdir()) - set(splits)):
            issues.append(DataIssue(other.name, "left out", "beside train, and no split"))
    else:
        _refuse_unknown_splits(folder, inner)
        splits = {folder: "train"}
    if len(set(splits.values())) < len(splits):
        names = ", ".join(path.name for path in splits)
        raise DataError(f"data.root: two folders are one split in {folder}: {names}.")
    parts = {part: _read(path, encoding, issues) for path, part in splits.items()}
    found = labelled(
        parts, label="label", name=folder.name, source=str(folder.absolute()), classes=classes,
        copies=copies,
    )  # fmt: skip
    found.issues = (*issues, *found.issues)
    return found


def _folders(folder: Path) -> list[Path]:
    hidden = folder.glob(".*")
    return sorted(path for path in set(folder.iterdir()) - set(hidden) if path.is_dir())


def _refuse_unknown_splits(folder: Path, classes: list[Path]) -> None:
    """Raises an error if all class folders hold the same folders: these are the classes."""
    inside = [tuple(path.name for path in _folders(one)) for one in classes]
    if len(inside) > 1 and len(set(inside)) == 1 and inside[0]:
        names = ", ".join(path.name for path in classes)
        raise DataError(
            f"data.root: {names} in {folder} have the folders {', '.join(inside[0])} each. Are they"
            " splits? Name them train, val and test."
        )


def _read(folder: Path, encoding: str, issues: list[DataIssue]) -> Texts:
    texts, labels, places = [], [], []
    guessed: list[DataIssue] = []
    for file, label in _files(folder, issues):
        text, told = read_text(file, encoding)
        guessed += told
        texts.append(text.strip("\r\n"))
        labels.append(label)
        places.append(str(file))
    if not texts:
        raise DataError(f"{folder}: expected folders of .txt files, one for each class.")
    if guessed:
        reason = f"{len(guessed):,} of its files: {guessed[0].reason}"
        issues.append(DataIssue(folder.name, "kept", reason))
    return Texts(texts, {"label": labels}, places)


def _files(folder: Path, issues: list[DataIssue]) -> Iterator[tuple[Path, str]]:
    """Yields the files of texts with their class, in the order of their names."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            issues.append(DataIssue(path.name, "left out", "a hidden file or folder"))
            continue
        if not path.is_dir():
            issues.append(DataIssue(path.name, "left out", "beside the class folders, of no class"))
            continue
        before = len(issues)
        count = 0
        for file in sorted(path.rglob("*")):
            if file.is_dir():
                continue
            if any(part.startswith(".") for part in file.relative_to(path).parts):
                reason = "a hidden file, or in a hidden folder"
                issues.append(DataIssue(str(file.relative_to(folder)), "left out", reason))
                continue
            if file.suffix.lower() not in _TEXTS:
                reason = f"expected .txt files. Received: {file.suffix}"
                issues.append(DataIssue(f"{path.name}/{file.name}", "left out", reason))
                continue
            count += 1
            yield file, path.name
        if not count and len(issues) == before:
            issues.append(DataIssue(path.name, "left out", "an empty folder"))
