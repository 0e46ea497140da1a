"""Which examples go where: fixed, seeded, balanced or stratified choices of indices."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from kx.errors import ConfigError, DataError, did_you_mean

_NEAR = 0.02  # of a fraction, that a fold may differ


@dataclass(frozen=True)
class Fold:
    """Describes a fold of a cross-validation: which part of the examples judges.

    Args:
        number: of the fold, from 1.
        of: how many folds there are, 2 or more.
        repeat: from 1; each repeat divides the examples anew.
        stratify: whether each class keeps its share, where there are classes.
        split: `"validation"`: the fold validates, and so chooses the epoch that
            is kept; or `"test"`: it is looked at once, at the end, and a part of
            the other folds validates. The data's own test split is then left out.

    Raises:
        ConfigError: for numbers that make no fold.
    """

    number: int
    of: int
    repeat: int = 1
    stratify: bool = True
    split: str = "validation"

    def __post_init__(self) -> None:
        if self.of < 2 or not 1 <= self.number <= self.of or self.repeat < 1:
            raise ConfigError(
                "data.fold: expected of >= 2, 1 <= number <= of, and repeat >= 1. Received:"
                f" number={self.number}, of={self.of}, repeat={self.repeat}."
            )
        if self.split not in ("validation", "test"):
            raise ConfigError(
                f"data.fold: expected split: validation, or test. Received: {self.split!r}."
            )

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Fold:
        """Returns the fold of a config: `{number: 2, of: 5}`.

        Raises:
            ConfigError: for a key that there is not, or one that is missing.
        """
        known = [item.name for item in fields(cls)]
        example = "Expected data.fold={number: 2, of: 5}."
        if not isinstance(given, Mapping):
            raise ConfigError(f"data.fold: {example} Received: {given!r}.")
        for key in given:
            if key not in known:
                raise ConfigError(f"data.fold: there is no key {key!r}. {did_you_mean(key, known)}")
        for key in ("number", "of"):
            if key not in given:
                raise ConfigError(f"data.fold: {key!r} is missing. {example}")
        for key in ("number", "of", "repeat"):
            if not isinstance(given.get(key, 1), int):
                raise ConfigError(
                    f"data.fold: {key} is a whole number. {example} Received: {given[key]!r}."
                )
        return cls(**given)


def split_indices(
    labels: np.ndarray,
    *,
    validation_fraction: float,
    test_fraction: float = 0.0,
    num_own: int | None = None,
    limit: int | None = None,
    split_seed: int = 0,
    stratify: bool = True,
    fold: Mapping[str, Any] | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Splits examples into train, validation and test.

    Args:
        labels: one label for each example, shape `(num_examples,)`.
        validation_fraction: part of what is not test.
        test_fraction: part of all, unless the set has a test split of its own.
        num_own: the number of examples before those of a test split of its own, which are the
            rest, and stay there unless a fold is to test. None is all.
        limit: at most this many examples of the training part (validation
            included) and of the test part, balanced over the classes.
        split_seed: which examples go where.
        stratify: whether each class keeps its share.
        fold: of a cross-validation, as `Fold` has it: the examples that validate,
            or those that test.
        groups: one value for each example; those of one value stay together.

    Returns:
        Sorted indices by split name; an empty split is left out.

    Raises:
        DataError: if a split would have no example.
    """
    everything = np.arange(len(labels))
    if num_own is not None and num_own < len(labels):
        train, test = everything[:num_own], everything[num_own:]
    else:
        train, test = _divide(everything, labels, test_fraction, split_seed, stratify, groups)
    train = limited(train, labels, limit, split_seed, stratify)
    test = limited(test, labels, limit, split_seed, stratify)
    chosen = Fold.read(fold) if fold is not None else None
    if chosen is not None:
        train, part = _fold(train, labels, chosen, split_seed, stratify, groups)
    if chosen is not None and chosen.split == "validation":
        validation = part
    else:
        test = test if chosen is None else part
        train, validation = _divide(
            train, labels, validation_fraction, split_seed, stratify, groups
        )
    parts = {"train": train, "validation": validation, "test": test}
    if not len(train):
        raise DataError(f"No example is left to train on, of {len(labels)}.")
    return {name: np.sort(part) for name, part in parts.items() if len(part)}


def _divide(
    indices: np.ndarray,
    labels: np.ndarray,
    fraction: float,
    seed: int,
    stratify: bool,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (the rest, the fraction)."""
    if fraction <= 0:
        return indices, indices[:0]
    from sklearn.model_selection import GroupShuffleSplit, train_test_split

    if groups is not None:
        if len(np.unique(groups[indices])) < 2:
            raise DataError(
                "The examples are all of one group: no other is left to judge by. Choose another"
                " data.group, or none."
            )
        folds = max(2, round(1 / fraction))
        enough = np.unique(labels[indices], return_counts=True)[1].min() >= folds
        if stratify and enough and abs(1 / folds - fraction) < _NEAR:  # one of as many folds
            return _fold(indices, labels, Fold(1, folds), seed, stratify, groups)
        way = GroupShuffleSplit(n_splits=1, test_size=fraction, random_state=seed)
        [(rest, part)] = way.split(indices, groups=groups[indices])
        return indices[rest], indices[part]

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


def _fold(
    indices: np.ndarray,
    labels: np.ndarray,
    fold: Fold,
    seed: int,
    stratify: bool,
    groups: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (the other folds, the fold)."""
    from sklearn import model_selection as ways

    of_classes = stratify and fold.stratify
    if groups is None:
        way = ways.StratifiedKFold if of_classes else ways.KFold
    else:
        way = ways.StratifiedGroupKFold if of_classes else ways.GroupKFold
    together = None if groups is None else groups[indices]
    # Another order for each repeat, of any seed: not seed + repeat, which two seeds would share.
    order = int(np.random.SeedSequence([seed, fold.repeat]).generate_state(1)[0])
    try:
        kinds = way(fold.of, shuffle=True, random_state=order)
        found = list(kinds.split(indices, labels[indices], together))
    except ValueError as error:
        raise DataError(
            f"{len(indices)} examples cannot be divided into {fold.of} folds: {error}"
        ) from error
    rest, part = found[fold.number - 1]
    if not len(part):
        raise DataError(
            f"Fold {fold.number} of {fold.of} has no example: there are too few groups. Choose"
            " fewer folds."
        )
    return indices[rest], indices[part]


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


def count_classes(
    labels: np.ndarray, parts: Mapping[str, np.ndarray], num_classes: int
) -> dict[str, tuple[int, ...]]:
    """Returns split name to the number of examples of each class.

    Args:
        labels: class indices of all examples.
        parts: the places of each split.
        num_classes: how many there are.

    Example:
    >>> count_classes(np.array([0, 1, 1]), {"train": np.array([0, 2])}, 3)
    {'train': (1, 1, 0)}
    """
    return {
        part: tuple(np.bincount(labels[chosen], minlength=num_classes).tolist())
        for part, chosen in parts.items()
    }


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
