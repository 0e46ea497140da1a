"""Checks prepared examples against their specs: nothing is cut off in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.fields import map_fields, named_fields
from kx.contracts.specs import Data, Spec, Specs
from kx.errors import DataError


def in_dtypes(prepared: tf.data.Dataset, data: Data, split: str) -> tf.data.Dataset:
    """Returns prepared examples in the dtypes of the specs, if nothing is lost by it.

    Args:
        prepared: Prepared examples.
        data: Data, for the specs.
        split: Name of the split, for messages.

    Raises:
        DataError: If a field is missing, or its dtype has another kind than its spec: numbers
            would be cut off.
    """
    specs = (data.inputs, data.targets)
    given = prepared.element_spec[:2]
    for what, spec, element in zip(("inputs", "targets"), specs, given, strict=True):
        _require_fields(what, spec, element, data, split)
        map_fields(
            lambda one, found, name: _require_kind(one, found, name, data, split),
            spec,
            element,
            _names(what, spec),
        )
    return (
        prepared.map(
            lambda inputs, targets, *weights: (
                map_fields(_cast, inputs, data.inputs),
                map_fields(_cast, targets, data.targets),
                *weights,
            )
        )
        if _differ(specs, given)
        else prepared
    )


def _names(what: str, specs: Specs) -> Any:
    return what if isinstance(specs, Spec) else {name: f"{what} {name!r}" for name in specs}


def _differ(specs: Any, given: Any) -> bool:
    pairs = [
        (spec.dtype, element[name].dtype if name else element.dtype)
        for fields, element in zip(specs, given, strict=True)
        for name, spec in named_fields(fields, "").items()
    ]
    return any(tf.as_dtype(wanted) != dtype for wanted, dtype in pairs)


def _cast(value: tf.Tensor, spec: Spec) -> tf.Tensor:
    return value if value.dtype == spec.dtype else tf.cast(value, spec.dtype)


def _require_fields(what: str, specs: Specs, element: Any, data: Data, split: str) -> None:
    has = named_fields(element, "").keys()
    wanted = named_fields(specs, "").keys()
    if has != wanted:
        raise DataError(
            f"The {split} split of {data.name}: its {what} have the fields"
            f" {', '.join(filter(None, has)) or '(one value)'} after `prepare`, and their specs"
            f" {', '.join(filter(None, wanted)) or '(one value)'}."
        )


def _require_kind(spec: Spec, element: tf.TensorSpec, what: str, data: Data, split: str) -> None:
    wanted = tf.as_dtype(spec.dtype)
    given = element.dtype
    if not np.can_cast(given.as_numpy_dtype, wanted.as_numpy_dtype, "same_kind"):
        raise DataError(
            f"The {split} split of {data.name}: its {what} are {given.name} after `prepare`,"
            f" and their spec says {spec.dtype}. Change the spec, or cast them in `prepare`."
        )


def check_shapes(inputs: Any, targets: Any, data: Data, split: str) -> None:
    """Checks that a batch has the shapes of the specs, and finite numbers.

    Args:
        inputs: Prepared inputs as arrays.
        targets: Targets as arrays.
        data: Data, for the specs.
        split: Name of the split, for messages.

    Raises:
        DataError: If a shape is another one, or a number is NaN or infinite.
    """
    for what, specs, found in (("inputs", data.inputs, inputs), ("targets", data.targets, targets)):
        for name, spec in named_fields(specs, "").items():
            values = found[name] if name else found
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise DataError(
                    f"The {split} split of {data.name}: its {what}{name and f' {name!r}'} have NaN"
                    " or infinite numbers, of which nothing can be learned. Replace them in the"
                    " source, or in `prepare`."
                )
            shape = values.shape[1:]
            if shape != tuple(spec.shape):
                raise DataError(
                    f"The {split} split of {data.name}: its {what}{name and f' {name!r}'} have the"
                    f" shape {shape} after `prepare`, and their spec says {tuple(spec.shape)}."
                )


def count_classes(targets: Any, data: Data, split: str) -> Any:
    """Returns the number of examples of each class or label, or None if they have no names.

    Args:
        targets: Targets as arrays.
        data: Data, for the specs.
        split: Name of the split, for messages.

    Raises:
        DataError: If a class index has no class name.
    """
    spec = data.targets
    if not isinstance(spec, Spec):
        for name, field in spec.items():
            _refuse_unnamed(targets[name], field, split, f"{data.name} ({name})")
        return None
    count = spec.num_classes
    if count is None:
        return None
    if spec.kind == "mask":
        _refuse_unnamed(targets, spec, split, data.name)
        return None
    if spec.shape != ():
        return (targets > 0).sum(axis=0) if targets.shape[1:] == (count,) else None
    _refuse_unnamed(targets, spec, split, data.name)
    return np.bincount(targets, minlength=count)


def _refuse_unnamed(targets: np.ndarray, spec: Spec, split: str, name: str) -> None:
    """Raises an error if a class index has no class name.

    Raises:
        DataError: If there is such an index.
    """
    count = spec.num_classes
    if count is None or (spec.shape != () and spec.kind != "mask"):
        return
    for bad in (targets.min(), targets.max()):
        if not 0 <= bad < count and bad != spec.padding_value:
            raise DataError(
                f"The {split} split of {name} has the class index {bad}. Expected 0 to"
                f" {count - 1}, since there are {count} class names."
            )
