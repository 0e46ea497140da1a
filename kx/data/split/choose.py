"""Choices of positions that the ways of splitting share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def limited(
    indices: np.ndarray, labels: np.ndarray | None, limit: int | None, seed: int
) -> np.ndarray:
    """Returns a fixed choice of at most `limit` positions, balanced over the classes.

    Args:
        indices: Positions to choose from.
        labels: Class of each example of the whole set, or None for a plain random choice.
        limit: Number of positions at most, or None for all.
        seed: Seed of the choice.

    Example:
    >>> labels = np.array([0] * 90 + [1] * 10)
    >>> np.bincount(labels[limited(np.arange(100), labels, 20, seed=0)]).tolist()
    [10, 10]
    """
    if limit is None or limit >= len(indices):
        return indices
    shuffled = np.random.default_rng(seed).permutation(indices)
    if labels is None:
        return shuffled[:limit]
    # The first of each class, then the second of each …: a balanced prefix.
    of_each = labels[shuffled]
    rank = np.zeros(len(shuffled), dtype=np.int64)
    for label in np.unique(of_each):
        here = of_each == label
        rank[here] = np.arange(here.sum())
    return shuffled[np.lexsort((of_each, rank))][:limit]


def shares(sizes: np.ndarray, fraction: float) -> np.ndarray:
    """Returns how many examples of each class are a fraction of it, by the largest remainder.

    Of many small classes each share would be rounded to nothing, and so the whole part.

    Args:
        sizes: Number of examples of each class; one at least is left.
        fraction: Fraction of each.

    Example:
    >>> shares(np.array([4, 4, 4]), 0.25).tolist(), shares(np.array([2, 2, 2]), 0.5).tolist()
    ([1, 1, 1], [1, 1, 1])
    """
    wanted = sizes * fraction
    found = np.floor(wanted + 1e-9).astype("int64")
    missing = round(float(wanted.sum())) - int(found.sum())
    first = np.argsort(np.round(found - wanted, 9), kind="stable")
    found[first[: max(0, missing)]] += 1
    return np.minimum(found, np.maximum(0, sizes - 1))


def count_classes(
    labels: np.ndarray, parts: Mapping[str, np.ndarray], num_classes: int
) -> dict[str, tuple[int, ...]]:
    """Returns split name to the number of examples of each class.

    Args:
        labels: Class index of each example.
        parts: Split name to positions.
        num_classes: Number of classes.

    Example:
    >>> count_classes(np.array([0, 1, 1]), {"train": np.array([0, 2])}, 3)
    {'train': (1, 1, 0)}
    """
    return {
        part: tuple(np.bincount(labels[chosen], minlength=num_classes).tolist())
        for part, chosen in parts.items()
    }


def joined_by_content(groups: np.ndarray, contents: np.ndarray | None) -> np.ndarray:
    """Returns groups, those that share a content with one name.

    Args:
        groups: Group of each example.
        contents: Hash of each example, or None if it is not known.

    Example:
    >>> joined_by_content(np.array(["a", "b", "c"]), np.array(["x", "x", "y"])).tolist()
    ['a', 'a', 'c']
    """
    if contents is None:
        return groups
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, group_of = np.unique(groups, return_inverse=True)
    kinds, content_of = np.unique(contents, return_inverse=True)
    ones, count = np.ones(len(groups)), len(names) + len(kinds)
    shares = coo_array((ones, (group_of, len(names) + content_of)), shape=(count, count))
    _, component = connected_components(shares, directed=False)
    of_group = component[: len(names)]
    first = {part: names[place] for place, part in reversed(list(enumerate(of_group)))}
    return np.array([first[of_group[group]] for group in group_of], dtype=groups.dtype)
