"""Which files of a folder go into which split: by their content, or as they are given."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kx.contracts.specs import Finding
from kx.data.sources.images.folder.files import NamedFile, shown
from kx.data.split import limited, split_indices
from kx.errors import DataError, did_you_mean

PARTS = ("train", "validation", "test")


def divide(
    labels: np.ndarray,
    contents: Sequence[str],
    split: str,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> dict[str, np.ndarray]:
    """Returns the places of each split; copies of one content stay together.

    Args:
        labels: class indices, shape `(num_examples,)`.
        contents: the hash of each file.
        split: `"stratified"` or `"hash"`.
        validation_fraction: part of all.
        test_fraction: part of all.
        seed: which go where.
    """
    ranks = np.array([content_rank(content, seed) for content in contents])
    places: dict[str, list[int]] = defaultdict(list)
    if split == "hash":
        for place, rank in enumerate(ranks):
            within = rank < test_fraction, rank < test_fraction + validation_fraction
            places["test" if within[0] else "validation" if within[1] else "train"].append(place)
    else:
        taken: dict[str, str] = {}  # of a content, also in a class that comes later
        classes, sizes = np.unique(labels, return_counts=True)
        num_test = _shares(sizes, test_fraction, np.zeros_like(sizes))
        num_validation = _shares(sizes, validation_fraction, num_test)
        for number, label in enumerate(classes):
            own = np.flatnonzero(labels == label)
            own = own[np.lexsort((own, ranks[own]))]
            judged = num_test[number] + num_validation[number]
            for order, place in enumerate(own.tolist()):
                part = "test" if order < num_test[number] else (
                    "validation" if order < judged else "train"
                )  # fmt: skip
                places[taken.setdefault(contents[place], part)].append(place)
    return {part: np.sort(np.array(places[part], "int64")) for part in PARTS if places[part]}


def _shares(sizes: np.ndarray, fraction: float, taken: np.ndarray) -> np.ndarray:
    """Returns how many of each class are a fraction of it, by the largest remainder.

    Of many small classes each share would be rounded to nothing, and so the whole part.

    Args:
        sizes: of the classes.
        fraction: of each.
        taken: how many are of another part already; one at least is left to train on.
    """
    wanted = sizes * fraction
    shares = np.floor(wanted + 1e-9).astype("int64")
    missing = round(float(wanted.sum())) - int(shares.sum())
    # Of equal remainders, first where less is taken.
    first = np.lexsort((taken, np.round(shares - wanted, 9)))
    shares[first[: max(0, missing)]] += 1
    return np.minimum(shares, np.maximum(0, sizes - 1 - taken))


def content_rank(content: str, seed: int) -> float:
    """Returns a number in [0, 1) that depends on content and seed alone.

    Args:
        content: the hash of a file.
        seed: of the split.
    """
    digest = hashlib.sha256(f"{seed}:{content}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def given_parts(
    root: Path, files: Sequence[NamedFile], contents: Sequence[str], findings: list[Finding]
) -> dict[str, np.ndarray]:
    """Returns the given splits; of copies in several, the one that judges last keeps them.

    Args:
        root: the folder of the set.
        files: each with its split.
        contents: the hash of each.
        findings: to which is added what is left out.

    Raises:
        DataError: if a class has no image to train on.
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
        keeps[content] = max(keeps.get(content, "train"), file.part, key=PARTS.index)
    places: dict[str, list[int]] = defaultdict(list)
    for place, (file, content) in enumerate(zip(files, contents, strict=True)):
        if keeps[content] == file.part:
            places[file.part].append(place)
        else:
            reason = f"its content is in {keeps[content]}, too"
            findings.append(Finding(shown(file.path, root), "left out", reason))
    return {part: np.array(places[part], "int64") for part in PARTS if places[part]}


def completed(
    parts: dict[str, np.ndarray],
    labels: np.ndarray,
    contents: Sequence[str],
    split: str,
    validation_fraction: float,
    seed: int,
    fold: Mapping[str, Any] | None,
) -> dict[str, np.ndarray]:
    """Takes a validation split, or a fold, from what is to train on, where none is given.

    Args:
        parts: the given splits.
        labels: class indices, shape `(num_examples,)`.
        contents: the hash of each file.
        split: `"stratified"` or `"hash"`.
        validation_fraction: part of what is to train on.
        seed: which go where.
        fold: of a cross-validation, as in `split_indices`.
    """
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
    within = divide(
        labels[train], [contents[i] for i in train], split, validation_fraction, 0.0, seed
    )
    return {**parts, **{part: train[chosen] for part, chosen in within.items()}}


def in_any_order(
    parts: Mapping[str, np.ndarray], contents: Sequence[str], seed: int
) -> dict[str, np.ndarray]:
    """Returns each split with any class at any place, as the first ones are those that are shown.

    Not by the rank that has divided them: of each class it took the first ones for other splits.

    Args:
        parts: places by split.
        contents: the hash of each file.
        seed: of the order.
    """
    order = np.array([content_rank(f"order:{content}", seed) for content in contents])
    return {
        part: places[np.argsort(order[places], kind="stable")] for part, places in parts.items()
    }


def limit_parts(
    parts: dict[str, np.ndarray], labels: np.ndarray, limit: int | None, seed: int
) -> dict[str, np.ndarray]:
    """Returns a fixed balanced choice; training and validation keep their shares.

    Args:
        parts: places by split.
        labels: class indices, shape `(num_examples,)`.
        limit: at most this many to train on (validation included), and to test.
        seed: which ones.
    """
    if limit is None:
        return parts
    train, validation = (parts.get(part, np.zeros(0, "int64")) for part in PARTS[:2])
    share = len(validation) / max(1, len(train) + len(validation))
    for_validation = min(len(validation), max(bool(len(validation)), round(limit * share)))
    sizes = {"train": limit - for_validation, "validation": for_validation, "test": limit}
    return {
        part: np.sort(limited(chosen, labels, sizes[part], seed)) for part, chosen in parts.items()
    }
