"""Ways to take a part of examples: at random, by content, by group, by time."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import numpy as np

from kx.data.split.choose import limited, shares
from kx.data.split.fold import Fold, fold_of, folds_of
from kx.errors import ConfigError, DataError

_NEAR = 0.02  # by which a fold may differ from the fraction that it stands for
Pair = tuple[np.ndarray, np.ndarray]


class Way(Protocol):
    """Describes a way to divide examples; all positions are those of the whole set."""

    def cut(self, indices: np.ndarray, fraction: float, part: str) -> Pair:
        """Returns the rest and the part, `"validation"` or `"test"`, that is a fraction."""
        ...

    def fold(self, indices: np.ndarray, fold: Fold) -> Pair:
        """Returns the other folds and the fold."""
        ...

    def limited(self, indices: np.ndarray, limit: int | None) -> np.ndarray:
        """Returns at most `limit` positions."""
        ...

    def ordered(self, indices: np.ndarray) -> np.ndarray:
        """Returns the positions in the order of the split."""
        ...


class AtRandom:
    """Divides at random.

    Args:
        labels: Class of each example, so that each class keeps its share. Defaults to None.
        seed: Seed of the split.
    """

    def __init__(self, labels: np.ndarray | None, seed: int) -> None:
        self.labels, self.seed = labels, seed

    def cut(self, indices: np.ndarray, fraction: float, part: str) -> Pair:
        """Returns the rest and the part."""
        if fraction <= 0:
            return indices, indices[:0]
        from sklearn.model_selection import train_test_split

        count = max(1, round(fraction * len(indices)))
        of_each = None if self.labels is None else self.labels[indices]
        try:
            rest, taken = train_test_split(
                indices, test_size=count, random_state=self.seed, stratify=of_each
            )
        except ValueError:
            # Too few of a class, or fewer places than classes: a plain random choice.
            if len(indices) - count < 1:
                raise DataError(
                    f"{len(indices)} examples are too few for a {part} split of {fraction:g}."
                ) from None
            rest, taken = train_test_split(indices, test_size=count, random_state=self.seed)
        return rest, taken

    def fold(self, indices: np.ndarray, fold: Fold) -> Pair:
        """Returns the other folds and the fold."""
        return fold_of(indices, fold, self.seed, labels=self.labels)

    def limited(self, indices: np.ndarray, limit: int | None) -> np.ndarray:
        """Returns at most `limit` positions, balanced over the classes."""
        return limited(indices, self.labels, limit, self.seed)

    def ordered(self, indices: np.ndarray) -> np.ndarray:
        """Returns the positions in the order of the source."""
        return np.sort(indices)


class ByGroup(AtRandom):
    """Divides at random, and keeps the examples of a group together.

    Args:
        labels: Class of each example, so that each class keeps its share. Defaults to None.
        seed: Seed of the split.
        groups: Group of each example.
    """

    def __init__(self, labels: np.ndarray | None, seed: int, groups: np.ndarray) -> None:
        super().__init__(labels, seed)
        self.groups = groups

    def cut(self, indices: np.ndarray, fraction: float, part: str) -> Pair:
        """Returns the rest and the part."""
        if fraction <= 0:
            return indices, indices[:0]
        from sklearn.model_selection import GroupShuffleSplit

        if len(np.unique(self.groups[indices])) < 2:
            raise DataError(
                f"too few groups ({len(np.unique(self.groups))}): none is left for the {part}"
                f" split. Choose another split.column, split.{part}_fraction=0, or"
                " split=stratified."
            )
        folds = max(2, round(1 / fraction))
        if self.labels is not None and abs(1 / folds - fraction) < _NEAR:
            smallest = np.unique(self.labels[indices], return_counts=True)[1].min()
            if min(smallest, len(np.unique(self.groups[indices]))) >= folds:
                return self._nearest(indices, folds, fraction)
        way = GroupShuffleSplit(n_splits=1, test_size=fraction, random_state=self.seed)
        [(rest, taken)] = way.split(indices, groups=self.groups[indices])
        return indices[rest], indices[taken]

    def _nearest(self, indices: np.ndarray, folds: int, fraction: float) -> Pair:
        """Returns the fold of nearest size of several, in which each class has its share."""
        found = folds_of(indices, Fold(1, folds), self.seed, labels=self.labels, groups=self.groups)
        wanted = fraction * len(indices)
        return min(found, key=lambda pair: abs(len(pair[1]) - wanted))

    def fold(self, indices: np.ndarray, fold: Fold) -> Pair:
        """Returns the other folds and the fold."""
        return fold_of(indices, fold, self.seed, labels=self.labels, groups=self.groups)


def content_rank(content: str, seed: int) -> float:
    """Returns a number in [0, 1) that depends on content and seed alone.

    Args:
        content: Hash of an example.
        seed: Seed of the split.
    """
    digest = hashlib.sha256(f"{seed}:{content}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class ByContent(ByGroup):
    """Divides by the hash of each example, so that copies stay together, in any order of files.

    Args:
        labels: Class of each example, so that each class keeps its share. Defaults to None.
        seed: Seed of the split.
        contents: Hash of each example.
    """

    def __init__(self, labels: np.ndarray | None, seed: int, contents: np.ndarray) -> None:
        super().__init__(labels, seed, contents)
        self.ranks = np.array([content_rank(content, seed) for content in contents])

    def cut(self, indices: np.ndarray, fraction: float, part: str) -> Pair:
        """Returns the rest and the part: of each class those with the lowest ranks."""
        if fraction <= 0:
            return indices, indices[:0]
        labels = np.zeros(len(self.ranks)) if self.labels is None else self.labels
        classes, sizes = np.unique(labels[indices], return_counts=True)
        taken: dict[str, bool] = {}  # of a content, also in a class that comes later
        chosen = np.zeros(len(indices), dtype=bool)
        for label, count in zip(classes, shares(sizes, fraction), strict=True):
            own = np.flatnonzero(labels[indices] == label)
            places = indices[own]
            own = own[np.lexsort((places, self.ranks[places]))]
            for order, place in enumerate(own.tolist()):
                content = self.groups[indices[place]]
                chosen[place] = taken.setdefault(content, order < count)
        return indices[~chosen], indices[chosen]

    def ordered(self, indices: np.ndarray) -> np.ndarray:
        """Returns the positions with any class at any place: the first ones are those shown.

        The order is not that of `ranks`: of each class the first went to other splits.
        """
        found = np.sort(indices)
        order = [content_rank(f"order:{self.groups[place]}", self.seed) for place in found]
        return found[np.argsort(order, kind="stable")]


class ByHash(ByContent):
    """Divides by the hash of each example alone: another example moves none.

    Args:
        labels: Class of each example, for a limit that is balanced. Defaults to None.
        seed: Seed of the split.
        contents: Hash of each example.
        shuffled: Whether the examples of a split are shuffled by their hashes, or in the order
            of the source.
    """

    def __init__(
        self, labels: np.ndarray | None, seed: int, contents: np.ndarray, *, shuffled: bool
    ) -> None:
        super().__init__(labels, seed, contents)
        self._shuffled = shuffled
        self._lowest = 0.0  # rank from which on nothing has been taken

    def cut(self, indices: np.ndarray, fraction: float, part: str) -> Pair:
        """Returns the rest and the part."""
        self._lowest += (1 - self._lowest) * fraction
        chosen = self.ranks[indices] < self._lowest
        return indices[~chosen], indices[chosen]

    def fold(self, indices: np.ndarray, fold: Fold) -> Pair:
        """Returns the other folds and the fold."""
        word = f"fold {fold.repeat}:"
        ranks = [content_rank(f"{word}{self.groups[place]}", self.seed) for place in indices]
        chosen = np.floor(np.array(ranks) * fold.of) == fold.number - 1
        if chosen.all() or not chosen.any():
            raise DataError(
                f"Fold {fold.number} of {fold.of} has {chosen.sum()} of {len(indices)} examples, by"
                " their hashes. Choose fewer folds, or split=stratified."
            )
        return indices[~chosen], indices[chosen]

    def ordered(self, indices: np.ndarray) -> np.ndarray:
        """Returns the positions in the order of the split."""
        return super().ordered(indices) if self._shuffled else np.sort(indices)


class ByTime:
    """Divides by time: what comes later judges what comes before.

    Examples of one time stay together.

    Args:
        times: Time of each example.
        starts: Split name to the time with which it starts, in place of a fraction.
    """

    def __init__(self, times: np.ndarray, starts: dict[str, Any]) -> None:
        self.times, self.starts = times, starts

    def cut(self, indices: np.ndarray, fraction: float, part: str) -> Pair:
        """Returns the earlier rest and the later part."""
        start = self.starts.get(part)
        if start is None:
            if fraction <= 0:
                return indices, indices[:0]
            ordered = np.sort(self.times[indices])
            start = ordered[len(ordered) - max(1, round(fraction * len(ordered)))]
        later = self.times[indices] >= start
        if later.all() or not later.any():
            raise DataError(
                f"The {part} split would have {later.sum():,} of {len(indices):,} examples, from"
                f" {start} on; their times are {self.times[indices].min()} to"
                f" {self.times[indices].max()}. Choose another split.{part}_fraction or"
                f" split.{part}_from."
            )
        return indices[~later], indices[later]

    def fold(self, indices: np.ndarray, fold: Fold) -> Pair:
        """Returns the examples before the fold, and the fold.

        Source: Hyndman & Athanasopoulos, "Forecasting: Principles and Practice", 3rd edition,
        section 5.10 (evaluation on a rolling forecasting origin).
        """
        from sklearn.model_selection import TimeSeriesSplit

        if fold.repeat != 1:
            raise ConfigError(
                f"split=time has one order of the examples. Received: repeat={fold.repeat}."
            )
        distinct = np.unique(self.times[indices])
        if len(distinct) <= fold.of:
            raise DataError(
                f"{len(indices):,} examples of {len(distinct)} times cannot be divided into"
                f" {fold.of} folds, which come after one another."
            )
        before, within = list(TimeSeriesSplit(fold.of).split(distinct))[fold.number - 1]
        times = self.times[indices]
        return (
            indices[np.isin(times, distinct[before])],
            indices[np.isin(times, distinct[within])],
        )

    def limited(self, indices: np.ndarray, limit: int | None) -> np.ndarray:
        """Returns the latest examples."""
        return indices if limit is None else self.ordered(indices)[max(0, len(indices) - limit) :]

    def ordered(self, indices: np.ndarray) -> np.ndarray:
        """Returns the positions by time."""
        return indices[np.lexsort((indices, self.times[indices]))]
