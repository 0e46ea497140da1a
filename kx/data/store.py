"""Splits of prepared examples, each prepared once: in memory if it fits, else in a file."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tensorflow as tf

from kx.contracts.fields import count_of, map_fields, values_of
from kx.contracts.specs import Data, Spec, identity, keep_target
from kx.data.prepared import check_shapes, count_classes, in_dtypes
from kx.data.texts.host import prepare_one
from kx.errors import DataError

NUM_PARALLEL_CALLS = max(2, os.cpu_count() or 2)
_PREPARING = 2 * NUM_PARALLEL_CALLS  # in order: with fewer, one large image delays those after it
_CHECKED = 256  # examples that are checked at a time
_FULL_BYTES = 1 << 20  # a disk with less space left is full
_MEMORY_SHARE = 0.4  # fraction of the available memory that a split may take
_SHUFFLE_BUFFER = 16_384  # examples at most, for splits that do not fit into memory
_SHUFFLE_BYTES = 2**30  # at most. Not a share of the free memory: the order must not depend on it


@dataclass
class Stored:
    """Holds a prepared split.

    Args:
        num_examples: Number of examples.
        inputs: Prepared inputs as one tensor, or tensors of fields by name, or None if they are
            in a file.
        targets: Targets in the form of `inputs`, or None if they are in a file.
        weights: Weight of each example, or None without weights, or if they are in a file.
        dataset: Prepared examples cached in a file, or None if they are in memory.
        shuffle_buffer: Number of examples of a file that are shuffled at a time.
        class_counts: Number of examples of each class or label, or None if the targets have no
            class names.
    """

    num_examples: int
    inputs: Any = None
    targets: Any = None
    weights: tf.Tensor | None = None
    dataset: tf.data.Dataset | None = None
    shuffle_buffer: int = _SHUFFLE_BUFFER
    class_counts: tuple[int, ...] | None = None

    @property
    def tensors(self) -> tuple[Any, ...]:
        """Inputs, targets and, where there are some, weights of a split in memory."""
        weights = () if self.weights is None else (self.weights,)
        return (self.inputs, self.targets, *weights)

    def num_batches(self, batch_size: int, *, drop_remainder: bool) -> int:
        """Returns the number of batches of one pass.

        Args:
            batch_size: Number of examples in a batch.
            drop_remainder: Whether the last, smaller batch is dropped.
        """
        whole = self.num_examples / batch_size
        return math.floor(whole) if drop_remainder else math.ceil(whole)


def store(
    data: Data, splits: Iterable[str], cache_dir: Path | None = None, cache: str = "auto"
) -> dict[str, Stored]:
    """Prepares each split once, and stores it.

    Args:
        data: Data with the splits.
        splits: Names of the splits: `"train"`, `"validation"`, `"test"`.
        cache_dir: Folder for splits that do not fit into memory. Defaults to None: each split is
            stored in memory.
        cache: `"memory"`, `"disk"`, or `"auto"`: by the available memory. Defaults to `"auto"`.

    Returns:
        The stored splits, by name.

    Raises:
        DataError: If a split is empty or infinite, an example cannot be prepared, or the disk
            is full.
    """
    # One function for all splits: its graph is traced once.
    prepared = data.prepare is not identity or data.prepare_target is not keep_target
    prepare = tf.function(partial(_prepared, data)) if prepared else None
    return {split: _store(data, split, prepare, cache_dir, cache) for split in splits}


def _prepared(data: Data, raw: Any, target: Any, *weight: Any) -> tuple[Any, ...]:
    return (prepare_one(data, raw), data.prepare_target(raw, target), *weight)


def _store(
    data: Data,
    split: str,
    prepare: Callable[..., Any] | None,
    cache_dir: Path | None,
    cache: str,
) -> Stored:
    raw = data.splits[split]
    num_examples = int(raw.cardinality())
    if num_examples == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"The {split} split of {data.name} has no end: use .take(n).")
    if num_examples == tf.data.UNKNOWN_CARDINALITY:
        num_examples = int(raw.reduce(np.int64(0), lambda count, *_: count + 1))
        raw = raw.apply(tf.data.experimental.assert_cardinality(num_examples))
        setattr(data, split, raw)
    if num_examples == 0:
        raise DataError(f"The {split} split of {data.name} is empty.")
    prepared = raw
    if prepare is not None:
        prepared = raw.map(
            lambda *example: prepare(*example), num_parallel_calls=_PREPARING, deterministic=True
        )
    prepared = in_dtypes(prepared, data, split).with_options(no_autotune())
    if cache == "auto":
        cache = "memory" if fits_in_memory(num_examples * example_bytes(data)) else "disk"
    if cache_dir is None or cache == "memory":
        inputs, targets, weights = _in_memory(prepared, num_examples, data, split)
        counts = count_classes(map_fields(lambda tensor: tensor.numpy(), targets), data, split)
        return Stored(num_examples, inputs, targets, weights, class_counts=_as_counts(counts))
    cache_dir.mkdir(parents=True, exist_ok=True)
    kept = prepared.cache(str(cache_dir / split))
    position, counts = 0, None
    try:  # after one full pass the file is complete, and the source is not read any more
        for inputs, targets, *_ in kept.batch(_CHECKED).as_numpy_iterator():
            check_shapes(inputs, targets, data, split)
            found = count_classes(targets, data, split)
            counts = found if counts is None else counts + found
            position += count_of(inputs)
    except tf.errors.OpError as error:
        if shutil.disk_usage(cache_dir).free < _FULL_BYTES:
            raise DataError(
                f"The disk of {cache_dir} is full: the {split} split of {data.name} does not fit."
                " Make room, or choose another: run_dir=FOLDER."
            ) from error
        raise _unprepared(error, data, split, position) from error
    _check_count(position, num_examples, data, split)
    buffer = min(_SHUFFLE_BUFFER, max(1, _SHUFFLE_BYTES // example_bytes(data)))
    return Stored(
        num_examples, dataset=kept, shuffle_buffer=buffer, class_counts=_as_counts(counts)
    )


def _as_counts(counts: np.ndarray | None) -> tuple[int, ...] | None:
    return None if counts is None else tuple(counts.tolist())


def _unprepared(error: tf.errors.OpError, data: Data, split: str, position: int) -> DataError:
    """Returns the error of an example that cannot be read or prepared, with TensorFlow's reason.

    Examples are prepared in parallel, ahead of those that were returned: the one that failed is
    found by preparing those after `position` one by one.
    """
    which = f"an example after number {position}"
    after = data.splits[split].skip(position).take(_CHECKED + _PREPARING)
    examples = iter(after.map(partial(_prepared, data)))
    for number in range(position, position + _CHECKED + _PREPARING):
        try:
            if next(examples, None) is None:
                break
        except tf.errors.OpError as found:
            named = data.example_name
            which, error = named(split, number) if named else f"example {number}", found
            break
    reason = re.sub(r"^.*Iterator::\S+: |^\{\{.*?\}\} ", "", str(error.message).splitlines()[0])
    return DataError(f"The {split} split of {data.name}: {which} cannot be prepared: {reason}")


def _check_count(received: int, expected: int, data: Data, split: str) -> None:
    if received != expected:
        raise DataError(
            f"The {split} split of {data.name} promised {expected} examples and gave {received}."
        )


def _in_memory(
    prepared: tf.data.Dataset, num_examples: int, data: Data, split: str
) -> tuple[Any, Any, tf.Tensor | None]:
    """Reads a split into tensors of the shapes and dtypes of the specs."""

    def empty(spec: Spec) -> np.ndarray:
        dtype = tf.as_dtype(spec.dtype).as_numpy_dtype
        return np.empty((num_examples, *spec.shape), dtype)

    arrays = [map_fields(empty, data.inputs), map_fields(empty, data.targets)]
    if data.has_weights:
        arrays.append(np.empty(num_examples, "float32"))
    position = 0
    try:
        # With prefetch, the next examples are prepared while these are copied.
        for batch in prepared.batch(_CHECKED).prefetch(2).as_numpy_iterator():
            check_shapes(batch[0], batch[1], data, split)
            count = count_of(batch[0])
            for kept, found in zip(arrays, batch, strict=True):
                map_fields(partial(_copy, slice(position, position + count)), kept, found)
            position += count
    except tf.errors.OpError as error:
        raise _unprepared(error, data, split, position) from error
    _check_count(position, num_examples, data, split)
    with tf.device("CPU"):
        inputs, targets, *weights = (map_fields(tf.constant, one) for one in arrays)
    return inputs, targets, weights[0] if weights else None


def _copy(where: slice, kept: np.ndarray, found: np.ndarray) -> None:
    kept[where] = found


def no_autotune() -> tf.data.Options:
    """Returns tf.data options with a fixed parallelism and a fixed order."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    # Several machines share each batch, not the files.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options


def example_bytes(data: Data) -> int:
    """Returns the size of one prepared example with its target, in bytes.

    Args:
        data: Data with the specs of inputs and targets.
    """

    def size(spec: Spec) -> int:
        return math.prod(spec.shape) * tf.as_dtype(spec.dtype).size

    return sum(size(spec) for spec in [*values_of(data.inputs), *values_of(data.targets)])


def fits_in_memory(num_bytes: int) -> bool:
    """Returns whether a split may be kept in the memory that is available now.

    Args:
        num_bytes: Size of the split in bytes.
    """
    return num_bytes <= _MEMORY_SHARE * available_bytes()


def available_bytes() -> int:
    """Returns the available memory in bytes, within the limit of a container (cgroup v2 or v1)."""
    available = psutil.virtual_memory().available
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes",
         "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):  # fmt: skip
        try:
            text = Path(limit).read_text().strip()
            if text != "max":
                available = min(available, int(text) - int(Path(used).read_text()))
        except (OSError, ValueError):
            continue
    return max(0, available)


def first_examples(stored: Stored, count: int) -> Stored:
    """Returns the first examples of a stored split.

    Args:
        stored: Stored split.
        count: Number of examples, at most.
    """
    count = min(count, stored.num_examples)
    if stored.dataset is not None:  # they are few enough for memory
        return Stored(count, *next(iter(stored.dataset.batch(count))))
    return Stored(count, *(map_fields(lambda one: one[:count], part) for part in stored.tensors))
