"""A fold of a cross-validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from kx.errors import ConfigError, DataError, did_you_mean


@dataclass(frozen=True)
class Fold:
    """Describes a fold of a cross-validation.

    Args:
        number: Number of the fold, from 1.
        of: Number of folds, 2 or more.
        repeat: Number of the repetition, from 1; each divides the examples in another way.
            Defaults to 1.
        stratify: Whether each class keeps its share, if there are classes. Defaults to True.
        split: `"validation"`: the fold is the validation split, by which the epoch is
            chosen; or `"test"`: the fold is the test split, a part of the other folds is
            the validation split, and the data's own test split is not used. Defaults to
            `"validation"`.

    Raises:
        ConfigError: If the numbers do not define a fold.
    """

    number: int
    of: int
    repeat: int = 1
    stratify: bool = True
    split: str = "validation"

    def __post_init__(self) -> None:
        if self.of < 2 or not 1 <= self.number <= self.of or self.repeat < 1:
            raise ConfigError(
                "split.fold: expected of >= 2, 1 <= number <= of, and repeat >= 1. Received:"
                f" number={self.number}, of={self.of}, repeat={self.repeat}."
            )
        if self.split not in ("validation", "test"):
            raise ConfigError(
                f"split.fold: expected split: validation, or test. Received: {self.split!r}."
            )

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Fold:
        """Returns the fold of a config: `{number: 2, of: 5}`.

        Raises:
            ConfigError: for a key that there is not, or one that is missing.
        """
        known = [item.name for item in fields(cls)]
        example = "Expected split.fold={number: 2, of: 5}."
        if not isinstance(given, Mapping):
            raise ConfigError(f"split.fold: {example} Received: {given!r}.")
        for key in given:
            if key not in known:
                raise ConfigError(
                    f"split.fold: there is no key {key!r}. {did_you_mean(key, known)}"
                )
        for key in ("number", "of"):
            if key not in given:
                raise ConfigError(f"split.fold: {key!r} is missing. {example}")
        for key in ("number", "of", "repeat"):
            if not isinstance(given.get(key, 1), int):
                raise ConfigError(
                    f"split.fold: {key} is a whole number. {example} Received: {given[key]!r}."
                )
        return cls(**given)


def fold_of(
    indices: np.ndarray,
    fold: Fold,
    seed: int,
    *,
    labels: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions of the other folds, and those of a fold; see `folds_of`.

    Args:
        indices: Positions to divide.
        fold: Which fold.
        seed: Seed of the split.
        labels: Class of each example of the whole set; each class keeps its share. Defaults to
            None: no classes.
        groups: Group of each example of the whole set; a group stays in one fold. Defaults to
            None: no groups.

    Raises:
        DataError: If there are too few examples or groups.
    """
    found = folds_of(indices, fold, seed, labels=labels, groups=groups)
    rest, part = found[fold.number - 1]
    if not len(part):
        raise DataError(
            f"Fold {fold.number} of {fold.of} has no example: there are too few groups. Choose"
            " fewer folds."
        )
    return rest, part


def folds_of(
    indices: np.ndarray,
    fold: Fold,
    seed: int,
    *,
    labels: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the positions of the other folds and those of the fold, for each fold in order.

    Args:
        indices: Positions to divide.
        fold: Number of folds, repeat, and whether classes keep their shares.
        seed: Seed of the split.
        labels: Class of each example of the whole set; each class keeps its share. Defaults to
            no classes.
        groups: Group of each example of the whole set; a group stays in one fold. Defaults to
            no groups.

    Raises:
        DataError: If there are too few examples or groups.
    """
    from sklearn import model_selection as ways

    of_classes = labels is not None and fold.stratify
    if groups is None:
        way = ways.StratifiedKFold if of_classes else ways.KFold
    else:
        way = ways.StratifiedGroupKFold if of_classes else ways.GroupKFold
    together = None if groups is None else groups[indices]
    by = np.zeros(len(indices)) if labels is None else labels[indices]
    # Another order for each repeat, of any seed: not seed + repeat, which two seeds would share.
    order = int(np.random.SeedSequence([seed, fold.repeat]).generate_state(1)[0])
    try:
        kinds = way(fold.of, shuffle=True, random_state=order)
        found = list(kinds.split(indices, by, together))
    except ValueError as error:
        raise DataError(
            f"{len(indices)} examples cannot be divided into {fold.of} folds: {error}"
        ) from error
    return [(indices[rest], indices[part]) for rest, part in found]
