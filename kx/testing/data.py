"""Checks the contract of a data function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.examples import Examples
from kx.contracts.fields import named_fields, values_of
from kx.contracts.specs import Data, Spec, Specs
from kx.data.samplers import Sampled, Sampler
from kx.data.split.checks import check_examples
from kx.data.split.divided import divided
from kx.data.split.rules import stratified
from kx.data.texts.host import prepare_one
from kx.data.tokenizers.words import words
from kx.errors import first_line
from kx.testing.contract import ContractError, require
from kx.testing.environments import check_environment


def check_data(
    source: Callable[[], Examples | Data],
    split: Callable[[Examples], object] = stratified,
    num_examples: int = 64,
) -> None:
    """Checks that data has the splits, shapes, types and fingerprint of its contract.

    Args:
        source: Function without arguments that returns `kx.Examples` or `kx.Data`. It is called
            twice, and must return the same examples.
        split: Function from examples to positions by split name. Defaults to
            `kx.data.split.rules.stratified`.
        num_examples: Number of examples of each split that are looked at. Defaults to 64.

    Raises:
        ContractError: If a part of the contract does not hold.
        DataError: If the examples contradict each other.

    Example:
    >>> from kx.data.sources.tables.embedded import wine
    >>> check_data(wine)
    """
    data, again = (_data_of(source(), split) for _ in range(2))
    require(
        data.fingerprint == again.fingerprint,
        "expected the same fingerprint at each call. Received: two. Is there a random number"
        " without a seed, or an address in `identity`?",
    )
    require(bool(data.fingerprint), "expected a fingerprint. Received: an empty one.")
    require(bool(data.name), "expected a name of the data. Received: an empty one.")
    if data.environment is not None:
        check_environment(data.environment)
        return
    for name, dataset in data.splits.items():
        _check_split(data, name, dataset.take(num_examples), again.splits[name].take(num_examples))


def check_sampler(
    sampler: Callable[[Sampled], Sampler], num_examples: int = 60, batch_size: int = 4
) -> None:
    """Checks that a sampler gives indices of the split, the same ones for the same epoch.

    Args:
        sampler: Function from a split to a function from `[seed, epoch]` to indices; give it
            options with `functools.partial`.
        num_examples: Number of examples of the split, of three classes. Defaults to 60.
        batch_size: Number of examples in a batch. Defaults to 4.

    Raises:
        ContractError: If a part of the contract does not hold.

    Example:
    >>> from kx.data.samplers import balanced
    >>> check_sampler(balanced)
    """
    split = Sampled(
        num_examples,
        np.arange(num_examples) % 3,
        ("a", "b", "c"),
        batch_size,
        1 + np.arange(num_examples) % 7,
    )
    drawn, again = tf.function(sampler(split)), tf.function(sampler(split))
    try:  # in a graph, as a training draws them
        found = [np.asarray(drawn(tf.constant([7, epoch], tf.int64))) for epoch in range(3)]
    except Exception as error:  # errors in a traced function have no common base class
        reason = first_line(error)
        raise ContractError(f"expected TensorFlow operations on the seeds. {reason}") from error
    first, *epochs = found
    good = first.ndim in (1, 2) and first.dtype.kind in "iu" and first.size > 0
    require(
        good and first.min() >= 0 and first.max() < num_examples,
        f"expected indices from 0 to {num_examples - 1}, of shape (num_examples,) or (num_batches,"
        f" batch_size). Received: {first.dtype} {first.shape}, {first.ravel()[:5]}.",
    )
    require(
        first.ndim == 1 or first.shape[1] == batch_size,
        f"expected batches of {batch_size} examples. Received: indices of shape {first.shape}.",
    )
    shapes = {one.shape for one in (first, *epochs)}
    require(len(shapes) == 1, f"expected one shape in all epochs. Received: {shapes}.")
    require(
        np.array_equal(first, again(tf.constant([7, 0], tf.int64))),
        "expected the same indices for the same seed and epoch. Received: others. Are the random"
        " numbers drawn from the seeds?",
    )


def _data_of(found: Examples | Data, split: Callable[[Examples], object]) -> Data:
    if isinstance(found, Data):
        return found
    require(isinstance(found, Examples), f"expected kx.Examples, or kx.Data. Received: {found!r}.")
    check_examples(found)
    return divided(found, split(found), lambda _: words)  # type: ignore[arg-type]


def _check_split(data: Data, name: str, dataset: tf.data.Dataset, again: tf.data.Dataset) -> None:
    def prepare(raw: Any, target: Any, *weight: Any) -> tuple[Any, Any]:
        return prepare_one(data, raw), data.prepare_target(raw, target)

    try:
        prepared, same = (list(one.map(prepare).as_numpy_iterator()) for one in (dataset, again))
    except Exception as error:  # errors in a traced function have no common base class
        require(False, f"`prepare` cannot run in TensorFlow's graph on the {name} split: {error}")
    require(
        len(prepared) == len(same),
        f"expected as many examples in the {name} split at each call. Received: {len(prepared)},"
        f" then {len(same)}.",
    )
    count = 0
    for (inputs, targets), (inputs_again, targets_again) in zip(prepared, same, strict=True):
        where = f"example {count} of the {name} split"
        _check_fields(inputs, data.inputs, f"the prepared input of {where}")
        _check_fields(targets, data.targets, f"the target of {where}")
        pairs = zip(
            [*values_of(inputs), *values_of(targets)],
            [*values_of(inputs_again), *values_of(targets_again)],
            strict=True,
        )
        require(
            all(np.array_equal(one, other) for one, other in pairs),
            f"expected the same examples in the same order at each call, until {where}.",
        )
        for name, spec in named_fields(data.targets, "").items():
            _check_class(targets[name] if name else targets, spec, where)
        count += 1
    require(count > 0, f"expected examples in the {name} split. Received: none.")


def _check_class(target: Any, spec: Spec, where: str) -> None:
    names = spec.class_names
    if names is None or (spec.shape != () and spec.kind != "mask"):
        return
    found = np.asarray(target)
    known = (0 <= found) & (found < len(names)) | (found == spec.padding_value)
    for other in found[~known].flat[:1]:
        require(False, f"expected a class from 0 to {len(names) - 1} in {where}: {other}.")


def _check_fields(value: Any, specs: Specs, what: str) -> None:
    has = {name for name in named_fields(value, "")}
    names = set(named_fields(specs, ""))
    require(
        has == names, f"expected the fields {sorted(names)} of {what}. Received: {sorted(has)}."
    )
    for name, spec in named_fields(specs, "").items():
        _check_fits(value[name] if name else value, spec, f"{what}{name and f', field {name!r}'}")


def _check_fits(value: object, spec: Spec, what: str) -> None:
    found = np.asarray(value)
    require(
        found.shape == spec.shape and found.dtype.name == spec.dtype,
        f"expected {spec.shape} {spec.dtype} of {what}, as its spec says. Received:"
        f" {found.shape} {found.dtype.name}.",
    )
    if found.dtype.kind == "f":
        require(bool(np.isfinite(found).all()), f"expected finite numbers of {what}.")
