"""A user's own examples in memory: arrays and `tf.data.Dataset`s."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.examples import Examples
from kx.contracts.specs import Spec
from kx.data.sources.arrays.array_data import doubts, refuse_gaps
from kx.data.sources.arrays.files import check_numbers
from kx.errors import ConfigError, DataError, first_line

_NUMPY = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float16",
          "float32", "float64")  # fmt: skip
_SMALL_FLOATS = ("bfloat16", "float8_e4m3fn", "float8_e5m2")  # dtypes of ml_dtypes
_Pair = tuple[np.ndarray, np.ndarray]


def own_examples(
    source: Any,
    *,
    input_rank: int | None = None,
    input_dtype: str | None = None,
    num_scores: Callable[[Spec], int | None] | None = None,
) -> Examples:
    """Returns a user's own examples, checked as `data=arrays` checks its files.

    A test split is never taken from the training examples: there is one only if it is given.

    Args:
        source: `tf.data.Dataset` or pair of arrays, or a mapping of split name to one of these.
        input_rank: Number of axes of the model's inputs, with the batch axis. Defaults to None:
            unknown.
        input_dtype: Dtype of the model's inputs. Defaults to None: unknown.
        num_scores: Function from the spec of the inputs to the number of scores of the model, or
            None if it is unknown. Defaults to None.

    Raises:
        DataError: If the examples are not pairs of inputs and targets, or not numeric.
        ConfigError: If the model has fewer scores than the targets have classes.
    """
    parts = dict(source) if isinstance(source, Mapping) else {"train": source}
    if parts.get("train") is None or set(parts) - {"train", "validation", "test"}:
        raise DataError(
            "data: expected the splits train, validation and test. Received:"
            f" {', '.join(map(str, parts))}."
        )
    arrays = {}
    for split, part in parts.items():
        if part is not None:
            if isinstance(part, tuple) and any(isinstance(one, Mapping) for one in part):
                raise DataError(
                    "data: pairs of arrays have one input and one target. For several fields give"
                    " kx.Examples(inputs={…}, targets=…, input_spec={…}, target_spec=…)."
                )
            inputs, targets = map(_as_numpy_has_it, _arrays(part, input_rank))
            where = f"data[{split!r}]" if isinstance(source, Mapping) else "data"
            _check(inputs, targets, where)
            arrays[split] = (_as_trained(inputs, where, input_dtype), targets)
    _refuse_other_shapes(arrays)
    inputs, targets = arrays["train"]
    spec, targets_of = _target_spec(arrays, inputs, num_scores)
    ends = np.cumsum([0, *(len(x) for x, _ in arrays.values())])
    places = {split: np.arange(*ends[i : i + 2]) for i, split in enumerate(arrays)}
    flat = targets.reshape(-1) if targets.ndim == 2 and targets.shape[1] == 1 else targets
    every = [np.concatenate(both) for both in zip(*arrays.values(), strict=True)]
    return Examples(
        every[0],
        targets_of(every[1]),
        Spec(tuple(inputs.shape[1:]), str(inputs.dtype)),
        spec,
        name="own",
        source="objects in memory",
        own_splits={"test": places["train"][:0], **places},
        issues=doubts(inputs, flat, classes=spec.class_names is not None, normalized=False),
    )


def _as_numpy_has_it(values: np.ndarray) -> np.ndarray:
    """Returns an array of one of NumPy's own dtypes: bfloat16 and float8 become float32."""
    return values.astype("float32") if values.dtype.name in _SMALL_FLOATS else values


def _check(inputs: np.ndarray, targets: np.ndarray, where: str) -> None:
    if not inputs.ndim or not targets.ndim or len(inputs) != len(targets):
        counts = [len(one) if one.ndim else "no axis" for one in (inputs, targets)]
        raise DataError(
            f"{where}: expected as many targets as examples. Received: {counts[0]} and {counts[1]}."
        )
    check_numbers(inputs, f"{where}: inputs")
    check_numbers(targets, f"{where}: targets")


def _as_trained(inputs: np.ndarray, where: str, wanted: str | None) -> np.ndarray:
    """Returns inputs in the dtype of the model, or as uint8, int32 or float32."""
    kind = np.dtype(wanted) if wanted in _NUMPY else None
    if kind is None or (kind.kind == "f") != (inputs.dtype.kind == "f"):
        floats = inputs.dtype.kind == "f"
        kind = np.dtype("float32" if floats else "uint8" if inputs.dtype == np.uint8 else "int32")
    if kind.kind != "f" and kind != inputs.dtype:
        low, high, limits = int(inputs.min()), int(inputs.max()), _limits(kind)
        if low < limits[0] or high > limits[1]:
            raise DataError(
                f"{where}: inputs of {inputs.dtype} from {low} to {high} are more than {kind}"
                " holds. Give measurements as floats: astype('float32')."
            )
    with np.errstate(over="ignore"):
        kept = inputs.astype(kind)
    if kind.kind == "f" and not np.isfinite(kept).all():
        raise DataError(f"{where}: inputs of {inputs.dtype} are more than {kind} holds.")
    return kept


def _limits(kind: np.dtype) -> tuple[int, int]:
    return (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)


def _refuse_other_shapes(arrays: Mapping[str, _Pair]) -> None:
    first = _form(*arrays["train"])
    for split, pair in arrays.items():
        if _form(*pair) != first:
            raise DataError(
                f"data: the examples of train are {first}; those of {split} {_form(*pair)}."
            )


def _form(inputs: np.ndarray, targets: np.ndarray) -> str:
    kind = "floats" if targets.dtype.kind == "f" else "whole numbers"
    return f"{inputs.dtype} of {inputs.shape[1:]} with targets of {targets.shape[1:]}, {kind}"


def _arrays(part: Any, input_rank: int | None) -> _Pair:
    """Returns one split as two arrays."""
    if isinstance(part, tuple | list) and len(part) == 2:
        for one in part:
            if np.ma.is_masked(one):
                raise DataError(
                    "data: a masked array, whose masked values would be trained on. Leave those"
                    " examples out, or fill them: x.filled(0)."
                )
        try:
            return np.asarray(part[0]), np.asarray(part[1])
        except (ValueError, TypeError) as error:
            raise DataError(f"data: this makes no array: {first_line(error)}") from error
    if not isinstance(part, tf.data.Dataset):
        raise DataError(
            "data: expected a tf.data.Dataset of (inputs, targets) or a pair of arrays."
            f" Received: {type(part).__name__}."
        )
    element = part.element_spec
    single = isinstance(element, tuple) and len(element) == 2
    if not single or not all(isinstance(one, tf.TensorSpec) for one in element):
        raise DataError(
            f"data: expected examples (inputs, targets) of one tensor each. Received: {element}."
        )
    if part.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError("data: this tf.data.Dataset has no end. Use .take(n).")
    try:
        batches = part if _is_batched(element, input_rank) else part.batch(1024)
        pairs = list(batches.as_numpy_iterator())
        if pairs:
            return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])
    except (tf.errors.OpError, ValueError) as error:
        what = "cannot be read, or have several shapes"
        raise DataError(
            f"data: the examples of this tf.data.Dataset {what}: {first_line(error)}"
        ) from error
    raise DataError("data: this tf.data.Dataset is empty.")


def _is_batched(element: Any, input_rank: int | None) -> bool:
    """Returns whether the first axis of a dataset's elements is a batch."""
    inputs, targets = element
    if input_rank is not None:
        return inputs.shape.rank == input_rank
    if targets.shape.rank is not None and targets.shape.rank > 0:
        return inputs.shape[0] is None or inputs.shape[0] == targets.shape[0]
    return False


def _target_spec(
    arrays: Mapping[str, _Pair],
    inputs: np.ndarray,
    num_scores: Callable[[Spec], int | None] | None,
) -> tuple[Spec, Any]:
    """Returns the spec of the targets, and the function that converts targets to it."""
    targets = arrays["train"][1]
    # Of all splits: one of them alone may look like another kind of targets.
    every = np.concatenate([y for _, y in arrays.values()])
    if targets.ndim == 2 and targets.shape[1] == 1:
        inner = {split: (x, y.reshape(-1)) for split, (x, y) in arrays.items()}
        spec, then = _target_spec(inner, inputs, num_scores)
        return spec, lambda y: then(y.reshape(-1))
    zeros_and_ones = targets.ndim == 2 and set(np.unique(every)) <= {0, 1}
    if not zeros_and_ones and (targets.dtype.kind == "f" or targets.ndim == 2):
        names = [f"target_{i}" for i in range(int(np.prod(targets.shape[1:])))]
        spec = Spec(targets.shape[1:], "float32", column_names=tuple(names))
        return spec, lambda y: y  # float64 until mean and deviation are computed
    if zeros_and_ones and (every.sum(axis=1) == 1).all():  # one-hot
        classes = tuple(str(i) for i in range(targets.shape[1]))
        return Spec((), "int32", class_names=classes), lambda y: y.argmax(axis=1).astype("int32")
    if zeros_and_ones:
        labels = tuple(f"label_{i}" for i in range(targets.shape[1]))
        return Spec((len(labels),), "float32", class_names=labels), lambda y: y.astype("float32")
    return _class_spec(arrays, inputs, num_scores), lambda y: y.astype("int32")


def _class_spec(
    arrays: Mapping[str, _Pair],
    inputs: np.ndarray,
    num_scores: Callable[[Spec], int | None] | None,
) -> Spec:
    """Returns the spec of targets that are class numbers, for each example or each pixel."""
    lowest = min(int(y.min()) for _, y in arrays.values())
    if lowest < 0:
        raise DataError(f"data: class indices begin at 0. Received: {lowest}.")
    splits = sorted(arrays, key=lambda split: split != "train")
    labels = np.concatenate([arrays[split][1].reshape(-1) for split in splits])
    num_train, count = arrays["train"][1].size, int(labels.max()) + 1
    spec = Spec(tuple(inputs.shape[1:]), str(inputs.dtype))
    units = num_scores(spec) if num_scores is not None else None
    shape = arrays["train"][1].shape[1:]
    if units is None and shape == ():  # the number of classes is unknown
        refuse_gaps(
            labels, num_train, lambda place: f"data: example {place}",
            "train a model of your own that gives as many scores: model=a_keras_model",
        )  # fmt: skip
    units = count if units is None else units
    if units < count and units != 1:
        raise ConfigError(
            f"The model gives {units} scores, and the targets have {count} classes, up to"
            f" {count - 1}."
        )
    return Spec(shape, "int32", class_names=tuple(map(str, range(max(count, units, 2)))))
