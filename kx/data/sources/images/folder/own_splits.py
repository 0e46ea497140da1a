"""Splits that are given by a folder or a manifest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kx.contracts.examples import SPLITS
from kx.contracts.specs import DataIssue
from kx.data.sources.images.folder.files import NamedFile, shown
from kx.errors import DataError, did_you_mean


def given_parts(
    root: Path, files: Sequence[NamedFile], contents: Sequence[str], issues: list[DataIssue]
) -> dict[str, np.ndarray]:
    """Returns the given splits; copies in several splits stay in the last of these only.

    The order of the splits is train, validation, test.

    Args:
        root: Folder of the data set.
        files: Files, each with its split.
        contents: Hash of each file.
        issues: List to which what is left out is added.

    Returns:
        Split name to positions.

    Raises:
        DataError: If a class has no training image.
    """
    trained = {file.label for file in files if file.part == "train"}
    for file in files:
        if file.label not in trained:
            raise DataError(
                f"{shown(file.path, root)}: no image of the class {file.label!r} is to train on."
                f" {did_you_mean(file.label, trained, 'Classes of train')}"
            )
    keeps: dict[str, str] = {}
    for file, content in zip(files, contents, strict=True):
        keeps[content] = max(keeps.get(content, "train"), file.part, key=SPLITS.index)
    places: dict[str, list[int]] = defaultdict(list)
    for place, (file, content) in enumerate(zip(files, contents, strict=True)):
        if keeps[content] == file.part:
            places[file.part].append(place)
        else:
            reason = f"its content is in {keeps[content]}, too"
            issues.append(DataIssue(shown(file.path, root), "left out", reason))
    return {part: np.array(places[part], "int64") for part in SPLITS if places[part]}
