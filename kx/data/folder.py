"""Images of one's own: a folder for each class, or a table of files and labels."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from kx.data.images import decode_image, normalization
from kx.data.pipeline import NUM_PARALLEL_CALLS, no_autotune
from kx.data.scan import Scanned, convert_once, scan
from kx.data.specs import Data, Finding, Spec
from kx.data.splits import fingerprint, limited, split_indices
from kx.errors import ConfigError, DataError, did_you_mean

_READY = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_SPLITS = ("stratified", "hash")
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class _File:
    """Holds a file that is named as an example: `part` is empty where no split is given."""

    path: str
    label: str
    part: str = ""


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
    left out, and told; what TensorFlow does not decode (TIFF, CMYK, turned by EXIF) is
    converted once. Files of one content are kept in one split.

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
        normalize: as in `kx.data.images.normalization`.
        split: `"stratified"`: exact shares of each class, ranked by content and seed;
            `"hash"`: each file by itself, so that another file moves none.
        validation_fraction: part of all.
        test_fraction: part of all.
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
    folder = Path(root).expanduser().absolute()
    if not folder.is_dir():
        raise DataError(f"data.root: there is no folder {folder}.")
    findings: list[Finding] = []
    files = _of_manifest(folder, manifest) if manifest else _of_folders(folder, findings)
    seen = scan([file.path for file in files], max_megapixels)
    kept = _usable(folder, files, seen, findings)
    class_names = _class_names(folder, files, [files[i].label for i in kept], findings)
    labels = np.array([class_names.index(files[i].label) for i in kept], "int32")
    contents = [seen[i].content for i in kept]
    _tell_of_copies(folder, [files[i] for i in kept], contents, findings)
    given = [files[i].part for i in kept]
    if any(given):
        parts = _ready(folder, [files[i] for i in kept], contents, findings)
        parts = _completed(parts, labels, contents, split, validation_fraction, split_seed, fold)
        parts = _limit(parts, labels, limit, split_seed)
    elif fold is not None:
        rest = validation_fraction / (1 - test_fraction)
        parts = split_indices(
            labels, validation_fraction=rest, test_fraction=test_fraction, limit=limit,
            split_seed=split_seed, fold=fold, groups=np.array(contents),
        )  # fmt: skip
    else:
        places = _divide(labels, contents, split, validation_fraction, test_fraction, split_seed)
        parts = _limit(places, labels, limit, split_seed)
    order = np.array([_rank(content, split_seed) for content in contents])
    # Of any class at any place: the first examples are those that a check or a picture shows.
    parts = {
        part: chosen[np.argsort(order[chosen], kind="stable")] for part, chosen in parts.items()
    }
    if not len(parts.get("train", ())):
        raise DataError(f"{folder}: no image is left to train on, of {len(files)} files.")
    paths = [
        convert_once(seen[i], max_megapixels) if seen[i].checked.convert else files[i].path
        for i in kept
    ]
    height, width = image_size
    shape = (int(height), int(width), channels)
    return Data(
        **{part: _split(paths, labels, parts.get(part)) for part in _PARTS},  # type: ignore[arg-type]
        inputs=Spec(shape, "uint8"),
        targets=Spec((), "int32", class_names=tuple(class_names)),
        prepare=decode_image(shape, resize=resize, crop_fraction=crop_fraction),
        normalize=normalization(normalize),
        kind="image",
        name=folder.name,
        source=str(folder),
        fingerprint=fingerprint(
            contents, labels, class_names, *[v for _, v in sorted(parts.items())]
        ),
        positions=parts,
        findings=tuple(findings),
        class_counts={
            part: tuple(np.bincount(labels[chosen], minlength=len(class_names)).tolist())
            for part, chosen in parts.items()
        },
    )


def _check_options(split: str, validation_fraction: float, test_fraction: float) -> None:
    if split not in _SPLITS:
        raise ConfigError(f"data.split: {did_you_mean(split, _SPLITS)} Received: {split!r}.")
    if not 0 <= validation_fraction + test_fraction < 1:
        raise ConfigError(
            "data.validation_fraction and data.test_fraction are parts of all images, and something"
            f" must be left to train on. Received: {validation_fraction:g} and {test_fraction:g}."
        )


def _of_folders(root: Path, findings: list[Finding]) -> list[_File]:
    """Returns the files of the class folders, of each split where these are folders."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    ready = {p: _READY[p.name.lower()] for p in folders if p.name.lower() in _READY}
    if len(ready) >= 2 and "train" in ready.values():
        places = [(p, part) for p, part in ready.items()]
        for other in folders:
            if other not in ready:
                findings.append(Finding(other.name, "left out", "beside train, and no split"))
    else:
        places = [(root, "")]
    files: list[_File] = []
    for place, part in places:
        for folder in sorted(p for p in place.iterdir() if p.is_dir()):
            if folder.name.startswith(".") or folder.name == "__MACOSX":
                continue
            own = _walk(folder)
            files += [_File(path, folder.name, part) for path in own]
            if not own:
                findings.append(Finding(_shown(folder, root), "left out", "an empty folder"))
    if not files:
        raise DataError(
            f"{root}: expected a folder for each class, with images in it (cats/1.jpg, dogs/2.jpg)."
            f" Received: {', '.join(p.name for p in folders) or 'no folder'}."
        )
    return files


def _walk(folder: Path) -> list[str]:
    """Returns the files below a folder in a fixed order; links are followed, circles are not."""
    found: list[str] = []
    visited = set()
    for current, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(current)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(current, name) for name in sorted(names) if name[0] != "."]
    return found


def _of_manifest(root: Path, manifest: str) -> list[_File]:
    """Returns the files that a table names."""
    path = Path(manifest).expanduser()
    path = path if path.is_absolute() or path.is_file() else root / path
    if not path.is_file():
        raise DataError(f"data.manifest: there is no file {path}.")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column in ("file", "label"):
        if column not in table.columns:
            raise DataError(
                f"{path}: there is no column {column!r}."
                f" {did_you_mean(column, table.columns, 'Columns')}"
            )
    parts = table["split"] if "split" in table.columns else [""] * len(table)
    files = []
    for number, (name, label, part) in enumerate(
        zip(table["file"], table["label"], parts, strict=True), 2
    ):
        if not label:
            raise DataError(f"{path}, line {number}: the label of {name!r} is empty.")
        if part and part.lower() not in _READY:
            raise DataError(
                f"{path}, line {number}: split: {did_you_mean(part, _READY)} Received: {part!r}."
            )
        files.append(_File(str(root / name), label, _READY.get(part.lower(), "")))
    if any(parts) and not all(parts):
        raise DataError(f"{path}: some lines have a split, and some have none.")
    if not files:
        raise DataError(f"{path}: the table has no line.")
    return files


def _usable(
    root: Path, files: Sequence[_File], seen: Sequence[Scanned], findings: list[Finding]
) -> list[int]:
    """Returns the places of files that are images, and tells of the others."""
    kept = []
    for place, (file, one) in enumerate(zip(files, seen, strict=True)):
        name = _shown(file.path, root)
        if one.checked.problem:
            findings.append(Finding(name, "left out", one.checked.problem))
            continue
        if one.checked.convert:
            findings.append(Finding(name, "converted", one.checked.convert))
        kept.append(place)
    return kept


def _class_names(
    root: Path, files: Sequence[_File], labels: Sequence[str], findings: list[Finding]
) -> list[str]:
    """Returns the classes that have images, in order."""
    named = sorted({file.label for file in files})
    counts = Counter(labels)
    for name in named:
        if not counts[name]:
            findings.append(Finding(name, "left out", "a class without one readable image"))
        elif counts[name] == 1:
            findings.append(Finding(name, "kept", "a class with a single image: it is to train on"))
    classes = [name for name in named if counts[name]]
    if len(classes) < 2:
        there = ", ".join(f"{name} ({counts[name]} images)" for name in named)
        reasons = "; ".join(f"{f.file}: {f.reason}" for f in findings[:5])
        raise DataError(
            f"{root}: expected two classes or more. Received: {there}."
            + (f" Left out: {reasons}" if reasons else "")
        )
    return classes


def _tell_of_copies(
    root: Path, files: Sequence[_File], contents: Sequence[str], findings: list[Finding]
) -> None:
    first: dict[str, _File] = {}
    for file, content in zip(files, contents, strict=True):
        other = first.setdefault(content, file)
        if other is file:
            continue
        text = f"the same content as {_shown(other.path, root)}"
        if other.label != file.label:
            text += ", of another class: one of the two labels is wrong"
        findings.append(Finding(_shown(file.path, root), "copy", text))


def _divide(
    labels: np.ndarray,
    contents: Sequence[str],
    split: str,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> dict[str, np.ndarray]:
    """Returns the places of each split; copies of one content stay together."""
    ranks = np.array([_rank(content, seed) for content in contents])
    places: dict[str, list[int]] = defaultdict(list)
    if split == "hash":
        for place, rank in enumerate(ranks):
            within = rank < test_fraction, rank < test_fraction + validation_fraction
            places["test" if within[0] else "validation" if within[1] else "train"].append(place)
    else:
        taken: dict[str, str] = {}  # of a content, also in a class that comes later
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            own = own[np.lexsort((own, ranks[own]))]
            num_test = round(len(own) * test_fraction)
            num_validation = round(len(own) * validation_fraction)
            for order, place in enumerate(own.tolist()):
                part = "test" if order < num_test else (
                    "validation" if order < num_test + num_validation else "train"
                )  # fmt: skip
                places[taken.setdefault(contents[place], part)].append(place)
    return {part: np.sort(np.array(places[part], "int64")) for part in _PARTS if places[part]}


def _rank(content: str, seed: int) -> float:
    """Returns a number in [0, 1) that depends on content and seed alone."""
    digest = hashlib.sha256(f"{seed}:{content}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _ready(
    root: Path, files: Sequence[_File], contents: Sequence[str], findings: list[Finding]
) -> dict[str, np.ndarray]:
    """Returns the given splits; of copies in several, the one that judges last keeps them."""
    trained = {file.label for file in files if file.part == "train"}
    for file in files:
        if file.label not in trained:
            raise DataError(
                f"{_shown(file.path, root)}: no image of the class {file.label!r} is to train on."
                f" {did_you_mean(file.label, trained, 'Classes of train')}"
            )
    keeps: dict[str, str] = {}
    for file, content in zip(files, contents, strict=True):
        keeps[content] = max(keeps.get(content, "train"), file.part, key=_PARTS.index)
    places: dict[str, list[int]] = defaultdict(list)
    for place, (file, content) in enumerate(zip(files, contents, strict=True)):
        if keeps[content] == file.part:
            places[file.part].append(place)
        else:
            reason = f"its content is in {keeps[content]}, too"
            findings.append(Finding(_shown(file.path, root), "left out", reason))
    return {part: np.array(places[part], "int64") for part in _PARTS if places[part]}


def _completed(
    parts: dict[str, np.ndarray],
    labels: np.ndarray,
    contents: Sequence[str],
    split: str,
    validation_fraction: float,
    seed: int,
    fold: Mapping[str, Any] | None,
) -> dict[str, np.ndarray]:
    """Takes a validation split, or a fold, from what is to train on, where none is given."""
    train = parts["train"]
    if fold is not None:
        pool = np.sort(np.concatenate([train, parts.get("validation", train[:0])]))
        groups = np.array(contents)[pool]
        found = split_indices(
            labels[pool], validation_fraction=validation_fraction, split_seed=seed, fold=fold,
            groups=groups,
        )  # fmt: skip
        return {"test": parts.get("test", train[:0]), **{k: pool[v] for k, v in found.items()}}
    if "validation" in parts or not validation_fraction:
        return parts
    within = _divide(
        labels[train], [contents[i] for i in train], split, validation_fraction, 0.0, seed
    )
    return {**parts, **{part: train[chosen] for part, chosen in within.items()}}


def _limit(
    parts: dict[str, np.ndarray], labels: np.ndarray, limit: int | None, seed: int
) -> dict[str, np.ndarray]:
    """Returns a fixed balanced choice; training and validation keep their shares."""
    if limit is None:
        return parts
    train, validation = (parts.get(part, np.zeros(0, "int64")) for part in _PARTS[:2])
    share = len(validation) / max(1, len(train) + len(validation))
    for_validation = min(len(validation), max(bool(len(validation)), round(limit * share)))
    sizes = {"train": limit - for_validation, "validation": for_validation, "test": limit}
    return {
        part: np.sort(limited(chosen, labels, sizes[part], seed)) for part, chosen in parts.items()
    }


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


def _shown(path: str | Path, root: Path) -> str:
    """Returns a path as it is told: below the root, without line breaks."""
    name = os.path.relpath(path, root)
    return name.encode(errors="replace").decode() if name.isprintable() else repr(name)[1:-1]
