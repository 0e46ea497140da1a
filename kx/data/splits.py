"""Which examples go where: fixed, seeded, balanced or stratified choices of indices."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kx.errors import DataError


def split_indices(
    labels: np.ndarray,
    *,
    validation_fraction: float,
    test_fraction: float = 0.0,
    limit: int | None = None,
    split_seed: int = 0,
    stratify: bool = True,
) -> dict[str, np.ndarray]:
    """Splits examples into train, validation and test.

    Args:
        labels: one label for each example, shape `(num_examples,)`.
        validation_fraction: part of what is not test.
        test_fraction: part of all; 0 where the set has a test split of its own.
        limit: at most this many examples of the training part (validation
            included) and of the test part, balanced over the classes.
        split_seed: which examples go where.
        stratify: whether each class keeps its share.

    Returns:
        Sorted indices by split name; an empty split is left out.

    Raises:
        DataError: if a split would have no example.
    """
    everything = np.arange(len(labels))
    train, test = _divide(everything, labels, test_fraction, split_seed, stratify)
    train = limited(train, labels, limit, split_seed, stratify)
    test = limited(test, labels, limit, split_seed, stratify)
    train, validation = _divide(train, labels, validation_fraction, split_seed, stratify)
    parts = {"train": train, "validation": validation, "test": test}
    if not len(train):
        raise DataError(f"No example is left to train on, of {len(labels)}.")
    return {name: np.sort(part) for name, part in parts.items() if len(part)}


def _divide(
    indices: np.ndarray, labels: np.ndarray, fraction: float, seed: int, stratify: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (the rest, the fraction)."""
    if fraction <= 0:
        return indices, indices[:0]
    from sklearn.model_selection import train_test_split

    count = max(1, round(fraction * len(indices)))
    of_each = labels[indices] if stratify else None
    try:
        rest, part = train_test_split(indices, test_size=count, random_state=seed, stratify=of_each)
    except ValueError:
        # Too few of a class, or fewer places than classes: a plain random choice.
        if len(indices) - count < 1:
            raise DataError(
                f"{len(indices)} examples are too few for a split of {fraction:g}."
            ) from None
        rest, part = train_test_split(indices, test_size=count, random_state=seed)
    return rest, part


def limited(
    indices: np.ndarray, labels: np.ndarray, limit: int | None, seed: int, balanced: bool = True
) -> np.ndarray:
    """Returns a fixed choice of at most `limit` indices, balanced over the classes.

    Args:
        indices: to choose from.
        labels: of all examples.
        limit: how many at most; None for all.
        seed: which ones.
        balanced: whether each class gets the same number, as far as it has them.

    Example:
    >>> labels = np.array([0] * 90 + [1] * 10)
    >>> np.bincount(labels[limited(np.arange(100), labels, 20, seed=0)]).tolist()
    [10, 10]
    """
    if limit is None or limit >= len(indices):
        return indices
    shuffled = np.random.default_rng(seed).permutation(indices)
    if not balanced:
        return shuffled[:limit]
    # The first of each class, then the second of each …: a balanced prefix.
    of_each = labels[shuffled]
    rank = np.zeros(len(shuffled), dtype=np.int64)
    for label in np.unique(of_each):
        here = of_each == label
        rank[here] = np.arange(here.sum())
    return shuffled[np.lexsort((of_each, rank))][:limit]


def fingerprint(*parts: Any) -> str:
    """Returns a short hash of arrays, strings and plain values.

    Example:
    >>> fingerprint(np.zeros(3), "cifar10") == fingerprint(np.zeros(3), "cifar10")
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype != object:
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, bytes):
            digest.update(part)
        elif isinstance(part, Sequence | np.ndarray) and not isinstance(part, str):
            for item in part:
                digest.update(item if isinstance(item, bytes) else repr(item).encode())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:16]
