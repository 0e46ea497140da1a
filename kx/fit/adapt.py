"""Adapts the normalization on the training split."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
from keras.layers import Normalization

from kx.contracts.fields import named_fields
from kx.contracts.specs import Data, DataIssue
from kx.data.constant import leave_out_constant
from kx.data.store import Stored


def adapt(data: Data, train: Stored) -> tuple[DataIssue, ...]:
    """Adapts the normalization on the training split alone: layers that have `adapt`.

    Args:
        data: Data with the layer, or layers of fields by name.
        train: Stored training split.

    Returns:
        Issues that were found: columns that are constant in the training split.
    """
    issues: tuple[DataIssue, ...] = ()
    for name, layer in named_fields(data.normalize, "").items():
        if layer is None or not hasattr(layer, "adapt") or getattr(layer, "_kx_adapted", False):
            continue
        examples = _batches_of_field(train, name)
        layer.adapt(examples)
        layer._kx_adapted = True
        if isinstance(layer, Normalization) and layer.axis == (-1,):
            spec = data.inputs[name] if isinstance(data.inputs, Mapping) else data.inputs
            issues += leave_out_constant(layer, spec, examples)
    return issues


def _batches_of_field(stored: Stored, name: str) -> tf.data.Dataset:
    """Returns batches of an input field; in batches, since Keras makes a float32 copy."""
    if stored.dataset is None:
        values = stored.inputs[name] if name else stored.inputs
        return tf.data.Dataset.from_tensor_slices(values).batch(1024)
    return stored.dataset.map(lambda inputs, *_: inputs[name] if name else inputs).batch(1024)
