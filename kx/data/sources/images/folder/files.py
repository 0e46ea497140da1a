"""The files of a folder of images: by folders of classes and splits, or by a table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kx.contracts.specs import DataIssue
from kx.data.sources.delimited import Rows, read_rows
from kx.errors import DataError, did_you_mean, one_line
from kx.paths import expanded

_READY = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip

_PICTURES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class NamedFile:
    """Holds a file with its class and split.

    Args:
        path: Path to the file.
        label: Class of the file.
        part: Split of the file. Defaults to an empty string: no split is given.
    """

    path: str
    label: str
    part: str = ""


def files_of_folders(root: Path, issues: list[DataIssue]) -> list[NamedFile]:
    """Returns the files of the class folders, which may be in a folder for each split.

    Args:
        root: Folder of the data set.
        issues: List to which what is left out is added.

    Raises:
        DataError: If there is no file.
    """
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    ready = {p: _READY[p.name.lower()] for p in folders if p.name.lower() in _READY}
    if len(ready) >= 2 and "train" in ready.values():
        places = [(p, part) for p, part in ready.items()]
        for other in folders:
            if other not in ready:
                issues.append(DataIssue(other.name, "left out", "beside train, and no split"))
    else:
        places = [(root, "")]
        for file in sorted(p for p in root.iterdir() if p.suffix.lower() in _PICTURES):
            issues.append(DataIssue(file.name, "left out", "beside the class folders, of no class"))
    files: list[NamedFile] = []
    for place, part in places:
        for folder in sorted(p for p in place.iterdir() if p.is_dir()):
            if folder.name.startswith(".") or folder.name == "__MACOSX":
                continue
            _refuse_name(folder)
            own = _walk(folder, root, issues)
            files += [NamedFile(path, folder.name, part) for path in own]
            if not own:
                issues.append(DataIssue(shown(folder, root), "left out", "an empty folder"))
    if not files:
        raise DataError(
            f"{root}: expected a folder for each class, with images in it (cats/1.jpg, dogs/2.jpg)."
            f" Received: {', '.join(p.name for p in folders) or 'no folder'}."
        )
    return files


def _refuse_name(folder: Path) -> None:
    """Refuses a class name that is not valid UTF-8."""
    try:
        folder.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{os.fsencode(folder)!r}: the name of this class folder is not UTF-8 (of an archive"
            " made elsewhere?). Rename it, for instance: convmv -r -f gbk -t utf8 --notest FOLDER."
        ) from error


def _walk(folder: Path, root: Path, issues: list[DataIssue]) -> list[str]:
    """Returns the files below a folder in a fixed order; links are followed, except cycles."""
    found: list[str] = []

    def tell(error: OSError) -> None:
        reason = f"cannot be read: {error.strerror}"
        issues.append(DataIssue(shown(str(error.filename), root), "left out", reason))

    # A link to a folder above this one would add the files of all classes to this class.
    above = [folder.parent, *folder.parent.parents]
    visited = {_identity(path) for path in above}
    for current, folders, names in os.walk(folder, followlinks=True, onerror=tell):
        if _identity(current) in visited:
            folders.clear()
            text = "a link to a folder that is above it, or was seen already"
            issues.append(DataIssue(shown(current, root), "left out", text))
            continue
        visited.add(_identity(current))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(current, name) for name in sorted(names) if name[0] != "."]
    return found


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def files_of_manifest(root: Path, manifest: str) -> tuple[list[NamedFile], Rows]:
    """Returns the files that a table lists, and the table.

    Args:
        root: Folder of the files.
        manifest: Path to the CSV file with the columns `file`, `label` and optionally `split`,
            separated by commas, semicolons or tabs. Spaces around a cell are ignored.

    Raises:
        DataError: If the table or a column is missing, or a cell is invalid.
    """
    path = expanded(manifest)
    path = path if path.is_absolute() or os.path.isfile(path) else root / path
    wanted = dict.fromkeys(("file", "label"), "data.manifest")
    table = read_rows(path, wanted, key="data.manifest")
    names, labels = ([cell.strip() for cell in table.column(name)] for name in ("file", "label"))
    parts = [""] * len(names)
    if "split" in table.header:
        parts = [cell.strip() for cell in table.column("split")]
    files = []
    for row, (name, label, part) in enumerate(zip(names, labels, parts, strict=True)):
        if not label:
            raise DataError(f"{table.where(row)}: the label of {name!r} is empty.")
        if part and part.lower() not in _READY:
            raise DataError(
                f"{table.where(row)}: split: {did_you_mean(part, _READY)} Received: {part!r}."
            )
        files.append(NamedFile(str(root / name), label, _READY.get(part.lower(), "")))
    if any(parts) and not all(parts):
        raise DataError(f"{path}: some lines have a split, and some have none.")
    return files, table


def shown(path: str | Path, root: Path) -> str:
    """Returns a path for messages: relative to the root, without line breaks.

    Args:
        path: Path to a file.
        root: Folder of the data set.
    """
    return one_line(os.path.relpath(path, root))
