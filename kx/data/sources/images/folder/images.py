"""Images of one's own: a folder for each class, or a table of files and labels."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.specs import Data, Finding, Spec
from kx.data.sources.images.folder.files import (
    NamedFile,
    files_of_folders,
    files_of_manifest,
    shown,
)
from kx.data.sources.images.folder.scan import Scanned, convert, scan
from kx.data.sources.images.folder.splits import (
    PARTS,
    completed,
    divide,
    given_parts,
    in_any_order,
    limit_parts,
)
from kx.data.sources.images.pixels import decode_image, normalization
from kx.data.sources.labels import alike
from kx.data.split import count_classes, fingerprint, split_indices
from kx.data.store import NUM_PARALLEL_CALLS, no_autotune
from kx.errors import ConfigError, DataError, did_you_mean
from kx.paths import expanded

_SPLITS = ("stratified", "hash")


def image_folder(
    root: str,
    *,
    manifest: str | None = None,
    image_size: Sequence[int] = (224, 224),
    channels: int = 3,
    resize: str = "crop",
    crop_fraction: float = 1.0,
    normalize: str = "unit",
    split: str = "stratified",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    max_megapixels: float = 100.0,
    limit: int | None = None,
    split_seed: int = 0,
    fold: Mapping[str, Any] | None = None,
) -> Data:
    """Loads images from a folder that has a folder for each class, images of any size and kind.

    Each file is looked at before the training. What is damaged, empty or no image is
    left out, and told; what TensorFlow reads otherwise than people see it, or not at all
    (TIFF, CMYK, a BMP with a palette, turned by EXIF), is converted once. Files of one
    content are kept in one split.

    Args:
        root: the folder. If it has folders `train`, and `val` or `test`, these are the
            splits, each with a folder for each class.
        manifest: a CSV file with the columns `file` (relative to `root`) and `label`,
            and perhaps `split` (train, validation, test), in place of class folders.
        image_size: `[height, width]` to which each image is brought.
        channels: 3, or 1 for grey.
        resize: how: `"crop"` (the shorter side to the size, then the centre), `"pad"` (the
            longer side, then black bars) or `"stretch"`.
        crop_fraction: with `"crop"`, the part of the shorter side that is kept. 0.875 is how
            ImageNet models are evaluated.
        normalize: as in `kx.data.sources.images.pixels.normalization`.
        split: `"stratified"`: exact shares of each class, ranked by content and seed;
            `"hash"`: each file by itself, so that another file moves none.
        validation_fraction: part of all; of `train`, where the splits are ready-made.
        test_fraction: part of all, unless the splits are ready-made.
        max_megapixels: a larger image is left out.
        limit: at most this many examples of the training part (validation included)
            and of the test part, balanced.
        split_seed: which examples go where.
        fold: of a cross-validation, that validates: `{number: 2, of: 5}`; or, with
            `split: test`, that tests.

    Returns:
        Raw examples are the files' bytes; prepared ones uint8 of shape
        `(height, width, channels)`.

    Raises:
        DataError: if the folder has no two classes with images.

    Example:
        kx.train("data=image_folder", "data.root=flowers", "model=cnn")
    """
    _check_options(split, validation_fraction, test_fraction)
    shape = _shape(image_size, channels)
    if not str(root).strip():  # the current folder, of which all would be read
        raise DataError("data.root is empty. Expected a folder: data.root=DIR")
    folder = expanded(root).absolute()
    if not folder.is_dir():
        raise DataError(f"data.root: there is no folder {folder}.")
    findings: list[Finding] = []
    files = files_of_manifest(folder, manifest) if manifest else files_of_folders(folder, findings)
    seen = scan([file.path for file in files], max_megapixels)
    kept = _usable(folder, files, seen, findings)
    class_names = _class_names(folder, files, [files[i].label for i in kept], findings)
    labels = np.array([class_names.index(files[i].label) for i in kept], "int32")
    contents = [seen[i].content for i in kept]
    images = [files[i] for i in kept]
    if any(file.part for file in images):
        parts = given_parts(folder, images, contents, findings)
        parts = completed(parts, labels, contents, split, validation_fraction, split_seed, fold)
        parts = limit_parts(parts, labels, limit, split_seed)
    elif fold is not None:
        rest = validation_fraction / (1 - test_fraction)
        parts = split_indices(
            labels, validation_fraction=rest, test_fraction=test_fraction, limit=limit,
            split_seed=split_seed, fold=fold, groups=np.array(contents),
        )  # fmt: skip
    else:
        whole = divide(labels, contents, split, validation_fraction, test_fraction, split_seed)
        parts = limit_parts(whole, labels, limit, split_seed)
    _tell_of_copies(folder, images, contents, findings)
    parts = in_any_order(parts, contents, split_seed)
    if not len(parts.get("train", ())):
        raise DataError(f"{folder}: no image is left to train on, of {len(files)} files.")
    chosen = [seen[kept[i]] for part in parts.values() for i in part]
    pictures = convert([one for one in chosen if one.checked.convert], max_megapixels)
    paths = [pictures.get(files[i].path, files[i].path) for i in kept]
    return Data(
        **{part: _split(paths, labels, parts.get(part)) for part in PARTS},  # type: ignore[arg-type]
        inputs=Spec(shape, "uint8"),
        targets=Spec((), "int32", class_names=tuple(class_names)),
        prepare=decode_image(shape, resize=resize, crop_fraction=crop_fraction),
        normalize=normalization(normalize, channels),
        kind="image",
        name=folder.name,
        source=str(folder),
        fingerprint=fingerprint(
            contents, labels, class_names, *[v for _, v in sorted(parts.items())]
        ),
        positions=parts,
        findings=tuple(findings),
        class_counts=count_classes(labels, parts, len(class_names)),
        example_name=lambda part, number: shown(images[parts[part][number]].path, folder),
    )


def _check_options(split: str, validation_fraction: float, test_fraction: float) -> None:
    if split not in _SPLITS:
        raise ConfigError(f"data.split: {did_you_mean(split, _SPLITS)} Received: {split!r}.")
    if not 0 <= validation_fraction + test_fraction < 1:
        raise ConfigError(
            "data.validation_fraction and data.test_fraction are parts of all images, and something"
            f" must be left to train on. Received: {validation_fraction:g} and {test_fraction:g}."
        )


def _shape(image_size: Sequence[int], channels: int) -> tuple[int, int, int]:
    """Returns the shape of a prepared image."""
    if len(image_size) != 2 or min(image_size) < 1:
        raise ConfigError(f"data.image_size: expected [height, width]. Received: {image_size!r}.")
    if channels not in (1, 3):
        raise ConfigError(f"data.channels: expected 3, or 1 for grey. Received: {channels}.")
    return int(image_size[0]), int(image_size[1]), channels


def _usable(
    root: Path, files: Sequence[NamedFile], seen: Sequence[Scanned], findings: list[Finding]
) -> list[int]:
    """Returns the places of files that are images, and tells of the others."""
    kept = []
    for place, (file, one) in enumerate(zip(files, seen, strict=True)):
        name = shown(file.path, root)
        if one.checked.problem:
            findings.append(Finding(name, "left out", one.checked.problem))
            continue
        if one.checked.convert:
            findings.append(Finding(name, "converted", one.checked.convert))
        kept.append(place)
    return kept


def _class_names(
    root: Path, files: Sequence[NamedFile], labels: Sequence[str], findings: list[Finding]
) -> list[str]:
    """Returns the classes that have images, in order."""
    named = sorted({file.label for file in files})
    counts = Counter(labels)
    for name in named:
        if not counts[name]:
            findings.append(Finding(name, "left out", "a class without one readable image"))
        elif counts[name] == 1:
            findings.append(Finding(name, "kept", "a class with a single image"))
    classes = [name for name in named if counts[name]]
    findings += alike(classes, counts, root.name)
    if len(classes) < 2:
        there = ", ".join(f"{name} ({counts[name]} images)" for name in named)
        left_out = [finding for finding in findings if finding.what == "left out"]
        reasons = "; ".join(f"{f.file}: {f.reason}" for f in left_out[:5])
        raise DataError(
            f"{root}: expected two classes or more. Received: {there}."
            + (f" Left out: {reasons}" if reasons else "")
            + _deeper(root, named)
        )
    return classes


def _deeper(root: Path, named: Sequence[str]) -> str:
    """Returns a hint, if the one folder that was taken for a class has folders itself."""
    only = root / named[0]
    if len(named) > 1 or not only.is_dir():
        return ""
    if not any(path.is_dir() and path.name[0] != "." for path in only.iterdir()):
        return ""
    return f" If the folders in {named[0]} are the classes: data.root={only}"


def _tell_of_copies(
    root: Path, files: Sequence[NamedFile], contents: Sequence[str], findings: list[Finding]
) -> None:
    told = {finding.file for finding in findings if finding.what == "left out"}
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
            findings.append(Finding(name, "copy", text))


def _split(
    paths: Sequence[str], labels: np.ndarray, chosen: np.ndarray | None
) -> tf.data.Dataset | None:
    if chosen is None or not len(chosen):
        return None
    names = tf.constant([os.fsencode(paths[i]) for i in chosen])
    pairs = tf.data.Dataset.from_tensor_slices((names, labels[chosen]))
    read = pairs.map(
        lambda path, label: (tf.io.read_file(path), label),
        num_parallel_calls=NUM_PARALLEL_CALLS,
        deterministic=True,
    )
    return read.with_options(no_autotune())
