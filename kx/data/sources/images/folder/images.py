"""A user's own images: a folder for each class, or a table of files and labels."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from kx.contracts.examples import Examples
from kx.contracts.specs import DataIssue, Spec
from kx.data.sources.delimited import Rows
from kx.data.sources.images.folder.files import (
    NamedFile,
    files_of_folders,
    files_of_manifest,
    shown,
)
from kx.data.sources.images.folder.own_splits import given_parts
from kx.data.sources.images.folder.scan import Scanned, convert, scan
from kx.data.sources.images.pixels import decode_image, normalization
from kx.data.sources.labels import alike
from kx.data.store import NUM_PARALLEL_CALLS, no_autotune
from kx.errors import ConfigError, DataError
from kx.paths import expanded
from kx.types import ImageSize, Normalization, Positive, Share


def image_folder(
    root: str,
    *,
    manifest: str | None = None,
    image_size: ImageSize = (224, 224),
    channels: int = 3,
    resize: str = "crop",
    crop_fraction: Share = 1.0,
    normalize: Normalization = "unit",
    max_megapixels: Positive = 100.0,
) -> Examples:
    """Loads images of any size and format from a folder that has a folder for each class.

    Each file is checked before training. Files that are damaged, empty or not images are left out
    and reported. Files that TensorFlow cannot read, or reads in another way than viewers show them
    (TIFF, CMYK, a BMP with a palette, rotated by EXIF), are converted once. Files of the same
    content stay in one split.

    Args:
        root: Path to the folder. If it has folders `train`, and `val` or `test`, these are the
            splits, each with a folder for each class.
        manifest: Path to a CSV file with the columns `file` (relative to `root`) and `label`, and
            optionally `split` (train, validation, test). Defaults to None: class folders.
        image_size: `[height, width]` of a prepared image. Defaults to `[224, 224]`.
        channels: Number of channels: 3, or 1 for grey. Defaults to 3.
        resize: How an image is resized: `"crop"` (the shorter side to the size, then the centre),
            `"pad"` (the longer side to the size, then black bars) or `"stretch"`. Defaults to
            `"crop"`.
        crop_fraction: With `"crop"`, the fraction of the shorter side that is kept. ImageNet
            models are evaluated with 0.875. Defaults to 1.
        normalize: As in `kx.data.sources.images.pixels.normalization`. Defaults to `"unit"`.
        max_megapixels: Size of the largest image, in millions of pixels; larger ones are left out.
            Defaults to 100.

    Returns:
        Raw examples are the bytes of the files; prepared ones uint8 of shape
        `(height, width, channels)`.

    Raises:
        DataError: If fewer than two classes have images.

    Example:
        kx.train("data=image_folder", "data.root=flowers", "model=cnn")
    """
    shape = _shape(image_size, channels)
    if not str(root).strip():  # would read all files of the current folder
        raise DataError("data.root is empty. Expected a folder: data.root=DIR")
    folder = expanded(root).absolute()
    if not folder.is_dir():
        raise DataError(f"data.root: there is no folder {folder}.")
    issues: list[DataIssue] = []
    table = None
    if manifest:
        files, table = files_of_manifest(folder, manifest)
    else:
        files = files_of_folders(folder, issues)
    seen = scan([file.path for file in files], max_megapixels)
    kept = _usable(folder, files, seen, issues)
    images = [files[i] for i in kept]
    class_names = _class_names(folder, files, [file.label for file in images], issues)
    labels = np.array([class_names.index(file.label) for file in images], "int32")
    contents = [seen[i].content for i in kept]
    own_splits = {}
    if any(file.part for file in images):
        # Without a test split of its own there is none: the user has made the splits.
        none = np.zeros(0, "int64")
        own_splits = {"test": none, **given_parts(folder, images, contents, issues)}
    _tell_of_copies(folder, images, contents, issues)
    return Examples(
        partial(_read_files, [seen[i] for i in kept], [f.path for f in images], max_megapixels),
        labels,
        Spec(shape, "uint8"),
        Spec((), "int32", class_names=tuple(class_names)),
        prepare=decode_image(shape, resize=resize, crop_fraction=crop_fraction),
        normalize=normalization(normalize, channels),
        kind="image",
        name=folder.name,
        source=str(folder),
        own_splits=own_splits,
        contents=np.array(contents, dtype=object),
        columns=None if table is None else partial(_cells, table, kept),
        issues=tuple(issues),
        example_name=lambda place: shown(images[place].path, folder),
        identity=(contents, labels, class_names),
    )


def _cells(table: Rows, kept: Sequence[int], name: str) -> list[str]:
    """Returns the cells of a column of the manifest, for the files that are images."""
    cells = table.column(name, "split.column")
    return [cells[row].strip() for row in kept]


def _shape(image_size: Sequence[int], channels: int) -> tuple[int, int, int]:
    """Returns the shape of a prepared image."""
    if len(image_size) != 2 or min(image_size) < 1:
        raise ConfigError(f"data.image_size: expected [height, width]. Received: {image_size!r}.")
    if channels not in (1, 3):
        raise ConfigError(f"data.channels: expected 3, or 1 for grey. Received: {channels}.")
    return int(image_size[0]), int(image_size[1]), channels


def _usable(
    root: Path, files: Sequence[NamedFile], seen: Sequence[Scanned], issues: list[DataIssue]
) -> list[int]:
    """Returns the positions of files that are images, and adds issues of the others."""
    kept = []
    for place, (file, one) in enumerate(zip(files, seen, strict=True)):
        name = shown(file.path, root)
        if one.checked.problem:
            issues.append(DataIssue(name, "left out", one.checked.problem))
            continue
        if one.checked.convert:
            issues.append(DataIssue(name, "converted", one.checked.convert))
        kept.append(place)
    return kept


def _class_names(
    root: Path, files: Sequence[NamedFile], labels: Sequence[str], issues: list[DataIssue]
) -> list[str]:
    """Returns the names of the classes that have images, in order."""
    named = sorted({file.label for file in files})
    counts = Counter(labels)
    for name in named:
        if not counts[name]:
            issues.append(DataIssue(name, "left out", "a class without one readable image"))
        elif counts[name] == 1:
            issues.append(DataIssue(name, "kept", "a class with a single image"))
    classes = [name for name in named if counts[name]]
    issues += alike(classes, counts, root.name)
    if len(classes) < 2:
        there = ", ".join(f"{name} ({counts[name]} images)" for name in named)
        left_out = [issue for issue in issues if issue.what == "left out"]
        reasons = "; ".join(f"{f.file}: {f.reason}" for f in left_out[:5])
        raise DataError(
            f"{root}: expected two classes or more. Received: {there}."
            + (f" Left out: {reasons}" if reasons else "")
            + _deeper(root, named)
        )
    return classes


def _deeper(root: Path, named: Sequence[str]) -> str:
    """Returns a hint if the only class folder has folders itself, or an empty string."""
    only = root / named[0]
    if len(named) > 1 or not only.is_dir():
        return ""
    if not any(path.is_dir() and path.name[0] != "." for path in only.iterdir()):
        return ""
    return f" If the folders in {named[0]} are the classes: data.root={only}"


def _tell_of_copies(
    root: Path, files: Sequence[NamedFile], contents: Sequence[str], issues: list[DataIssue]
) -> None:
    told = {issue.file for issue in issues if issue.what == "left out"}
    copies: dict[str, list[NamedFile]] = defaultdict(list)
    for file, content in zip(files, contents, strict=True):
        copies[content].append(file)
    for same in [group for group in copies.values() if len(group) > 1]:
        named = [(shown(file.path, root), file) for file in same]
        kept = [pair for pair in named if pair[0] not in told]
        for name, file in kept[1:]:
            first_name, first = kept[0]
            text = f"the same content as {first_name}"
            if first.path == file.path:
                text = "it is listed twice"
            if first.label != file.label:
                text += ", of another class: one of the two labels is wrong"
            issues.append(DataIssue(name, "copy", text))


def _read_files(
    scanned: Sequence[Scanned], paths: Sequence[str], max_megapixels: float, chosen: np.ndarray
) -> tf.data.Dataset:
    """Returns the bytes of files, converted where TensorFlow cannot read them."""
    convertible = [scanned[i] for i in chosen if scanned[i].checked.convert]
    pictures = convert(convertible, max_megapixels)
    names = tf.constant([os.fsencode(pictures.get(paths[i], paths[i])) for i in chosen])
    read = tf.data.Dataset.from_tensor_slices(names).map(
        tf.io.read_file, num_parallel_calls=NUM_PARALLEL_CALLS, deterministic=True
    )
    return read.with_options(no_autotune())
