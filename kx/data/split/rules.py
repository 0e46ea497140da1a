"""The options of `split`: which examples are trained on, validated by and tested on.

Each is a function from a source's examples to positions by split name. The fractions, the limit
and the fold mean the same in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kx.contracts.examples import Examples
from kx.data.fingerprint import content_hashes
from kx.data.split.choose import joined_by_content
from kx.data.split.fold import Fold
from kx.data.split.times import in_order, read_start, read_times, refuse_ignored
from kx.data.split.ways import AtRandom, ByContent, ByGroup, ByHash, ByTime, Way
from kx.errors import ConfigError, DataError, did_you_mean
from kx.types import Count, Fraction, Seed

Parts = dict[str, np.ndarray]


def stratified(
    examples: Examples,
    *,
    validation_fraction: Fraction = 0.1,
    test_fraction: Fraction = 0.2,
    limit: Count | None = None,
    seed: Seed = 0,
    fold: Mapping[str, Any] | None = None,
) -> Parts:
    """Splits examples at random; each class keeps its share.

    Examples without a single class are split as by `random`. Copies of one content stay together
    where the source knows the contents (`image_folder`).

    Args:
        examples: Examples of a source.
        validation_fraction: Fraction of the examples that are not test, where the source has no
            validation split of its own. Defaults to 0.1.
        test_fraction: Fraction of all examples, where the source has no test split of its own.
            Defaults to 0.2.
        limit: Maximum number of examples to train and validate on, and to test, balanced over
            the classes. Defaults to None: no limit.
        seed: Seed of the split, independent of the seed of the run. Defaults to 0.
        fold: Fold of a cross-validation that validates, `{number: 2, of: 5}`, or, with
            `split: test`, that tests. Defaults to None.

    Returns:
        Split name to positions; an empty split is left out.

    Raises:
        DataError: If a split cannot be made.
    """
    way: Way = AtRandom(examples.classes, seed)
    if examples.contents is not None:
        way = ByContent(examples.classes, seed, examples.contents)
    return _divide(examples, way, validation_fraction, test_fraction, limit, fold)


def random(
    examples: Examples,
    *,
    validation_fraction: Fraction = 0.1,
    test_fraction: Fraction = 0.2,
    limit: Count | None = None,
    seed: Seed = 0,
    fold: Mapping[str, Any] | None = None,
) -> Parts:
    """Splits examples at random, whatever their classes.

    Args:
        examples: Examples of a source.
        validation_fraction: As in `stratified`. Defaults to 0.1.
        test_fraction: As in `stratified`. Defaults to 0.2.
        limit: Maximum number of examples to train and validate on, and to test. Defaults to
            None: no limit.
        seed: Seed of the split. Defaults to 0.
        fold: As in `stratified`. Defaults to None.

    Returns:
        Split name to positions.

    Example:
    >>> examples = Examples(np.zeros((10, 2)), np.arange(10) % 2, None, None)
    >>> {name: len(part) for name, part in random(examples, test_fraction=0.3).items()}
    {'train': 6, 'validation': 1, 'test': 3}
    """
    way: Way = AtRandom(None, seed)
    if examples.contents is not None:
        way = ByContent(None, seed, examples.contents)
    return _divide(examples, way, validation_fraction, test_fraction, limit, fold)


def by_hash(
    examples: Examples,
    *,
    validation_fraction: Fraction = 0.1,
    test_fraction: Fraction = 0.2,
    limit: Count | None = None,
    seed: Seed = 0,
    fold: Mapping[str, Any] | None = None,
) -> Parts:
    """Splits examples by a hash of their raw inputs: a further example moves no other one.

    The splits have about the fractions asked for, and classes about their shares.

    Args:
        examples: Examples of a source.
        validation_fraction: As in `stratified`. Defaults to 0.1.
        test_fraction: As in `stratified`. Defaults to 0.2.
        limit: As in `stratified`. Defaults to None: no limit.
        seed: Seed of the split. Defaults to 0.
        fold: As in `stratified`. Defaults to None.

    Returns:
        Split name to positions.
    """
    known = examples.contents is not None
    way = ByHash(examples.classes, seed, content_hashes(examples), shuffled=known)
    return _divide(examples, way, validation_fraction, test_fraction, limit, fold)


def group(
    examples: Examples,
    *,
    column: str,
    validation_fraction: Fraction = 0.1,
    test_fraction: Fraction = 0.2,
    limit: Count | None = None,
    seed: Seed = 0,
    fold: Mapping[str, Any] | None = None,
) -> Parts:
    """Splits groups of examples, such as those of one author or patient, which stay together.

    Groups that share a copy of an example, where contents are known, count as one.

    Args:
        examples: Examples of a source that has columns.
        column: Name of the column of the groups.
        validation_fraction: As in `stratified`, about. Defaults to 0.1.
        test_fraction: As in `stratified`, about. Defaults to 0.2.
        limit: As in `stratified`. Defaults to None: no limit.
        seed: Seed of the split. Defaults to 0.
        fold: As in `stratified`. Defaults to None.

    Returns:
        Split name to positions.
    """
    values = _column(examples, column)
    missing = [place for place, value in enumerate(values) if _is_missing(value)]
    if missing:
        raise DataError(
            f"split.column={column}: {len(missing):,} examples of {examples.name} have no group,"
            f" such as example {missing[0]}. They would count as one group: give each a group."
        )
    groups = np.array([str(value) for value in values], dtype=object)
    way = ByGroup(examples.classes, seed, joined_by_content(groups, examples.contents))
    return _divide(examples, way, validation_fraction, test_fraction, limit, fold)


def time(
    examples: Examples,
    *,
    column: str | None = None,
    validation_fraction: Fraction = 0.1,
    test_fraction: Fraction = 0.2,
    validation_from: str | float | None = None,
    test_from: str | float | None = None,
    limit: Count | None = None,
    fold: Mapping[str, Any] | None = None,
) -> Parts:
    """Splits examples by time: the latest test, those before them validate.

    Folds are forward chaining: each is judged by a model that was trained on what came before
    it. Examples of one time stay together. Copies of one example that have several times may be
    in several splits, which is printed.

    Args:
        examples: Examples of a source that has columns.
        column: Name of the column of the times: numbers, or dates as in ISO 8601. Defaults to
            None: the order of the examples, of a source whose examples follow one another.
        validation_fraction: As in `stratified`. Defaults to 0.1.
        test_fraction: As in `stratified`. Defaults to 0.2.
        validation_from: Time with which the validation split starts, in place of the fraction.
            Defaults to None.
        test_from: Time with which the test split starts, in place of the fraction. Defaults to
            None.
        limit: Maximum number of examples to train and validate on, and to test: the latest.
            Defaults to None: no limit.
        fold: As in `stratified`. Defaults to None.

    Returns:
        Split name to positions, by time.
    """
    refuse_ignored(examples, fold, {"validation": validation_from, "test": test_from})
    if column is None:
        times = in_order(examples)
    else:
        times = read_times(_column(examples, column), f"column {column!r} of {examples.name}")
    starts = {
        part: None if value is None else read_start(times, value, f"split.{part}_from")
        for part, value in (("validation", validation_from), ("test", test_from))
    }
    parts = _divide(
        examples, ByTime(times, starts), validation_fraction, test_fraction, limit, fold
    )
    _tell_of_copies(examples, parts)
    return parts


def _tell_of_copies(examples: Examples, parts: Parts) -> None:
    """Prints how many contents are in several splits."""
    if examples.contents is None:
        return
    kinds = [set(examples.contents[positions]) for positions in parts.values()]
    several = sum(map(len, kinds)) - len(set().union(*kinds))
    if several:
        print(
            f"note: copies of examples that are in another split, too: {several} (split=time goes"
            " by time alone)"
        )


def _divide(
    examples: Examples,
    way: Way,
    validation_fraction: float,
    test_fraction: float,
    limit: int | None,
    fold: Mapping[str, Any] | None,
) -> Parts:
    """Returns the splits: those of the source, and what is missing taken from `train`."""
    chosen = None if fold is None else Fold.read(fold)
    own = examples.own_splits
    train = np.asarray(own.get("train", np.arange(examples.num_examples)))
    test, validation = own.get("test"), own.get("validation")
    if test is None:
        train, test = way.cut(train, test_fraction, "test")
    train, validation = _limited(way, train, validation, limit)
    test = way.limited(test, limit)
    if chosen is not None:
        pool = train if validation is None else np.sort(np.concatenate([train, validation]))
        rest, part = way.fold(pool, chosen)
        if chosen.split == "validation":
            train, validation = rest, part
        else:
            test = part
            train, validation = way.cut(rest, validation_fraction, "validation")
    elif validation is None:
        train, validation = way.cut(train, validation_fraction, "validation")
    if not len(train):
        raise DataError(
            f"{examples.source or examples.name}: no example is left to train on, of"
            f" {examples.num_examples}."
        )
    parts = {"train": train, "validation": validation, "test": test}
    return {name: way.ordered(part) for name, part in parts.items() if len(part)}


def _limited(
    way: Way, train: np.ndarray, validation: np.ndarray | None, limit: int | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Limits what is trained and validated on; a validation split of the source keeps its share."""
    if limit is None or validation is None or not len(validation):
        return way.limited(train, limit), validation
    share = len(validation) / (len(train) + len(validation))
    for_validation = min(len(validation), max(1, round(limit * share)))
    return way.limited(train, limit - for_validation), way.limited(validation, for_validation)


def _is_missing(value: Any) -> bool:
    """Returns whether a value is None, NaN or empty."""
    return value is None or value != value or not str(value).strip()


def _column(examples: Examples, name: str) -> Sequence[Any]:
    if examples.columns is None:
        raise ConfigError(
            f"split.column={name}: the data set {examples.name} has no columns. Choose"
            " split=stratified, random or hash."
        )
    try:
        values = examples.columns(name)
    except (KeyError, IndexError) as error:  # a mapping's own
        names: Any = getattr(getattr(examples.columns, "__self__", None), "keys", tuple)()
        raise ConfigError(
            f"split.column={name}: {examples.name} has no such column. {did_you_mean(name, names)}"
        ) from error
    count = None if values is None else len(values)
    if count != examples.num_examples:
        raise DataError(
            f"split.column={name}: {examples.name} has {examples.num_examples:,} examples. Its"
            f" `columns` gave {'nothing' if count is None else f'{count:,} values'}."
        )
    return values
