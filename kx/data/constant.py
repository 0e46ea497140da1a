"""Columns that are constant in the training split, from which nothing can be learned."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras.layers import Normalization

from kx.contracts.specs import DataIssue, Spec

_WIDE = 1e30  # a variance that normalizes any number to 0
_NAMED = 5


def leave_out_constant(
    layer: Normalization, spec: Spec, examples: tf.data.Dataset
) -> tuple[DataIssue, ...]:
    """Normalizes each column that is constant in the training split to 0.

    Keras divides by 1e-7 where the variance is 0, or by a rounding error of the variance: any
    other value, in the test split or in a prediction, would become a million times as large as
    the values that the model was trained on.

    Args:
        layer: Normalization of the last axis, already adapted. It is changed in place.
        spec: Spec of the inputs, for the names of the columns.
        examples: Batches of prepared inputs of the training split.

    Returns:
        Issue that names the constant columns, or no issue.
    """
    low, high = np.inf, -np.inf
    for batch in examples.as_numpy_iterator():
        rows = batch.reshape(-1, batch.shape[-1])
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
    variance = np.asarray(keras.ops.convert_to_numpy(layer.adapt_variance), "float64")
    constant = np.equal(low, high)
    if not constant.any():
        return ()
    layer.adapt_variance.assign(np.where(constant, _WIDE, variance))
    layer.finalize_state()
    places = np.flatnonzero(constant)
    names = spec.column_names
    told = ", ".join(names[place] if names else str(place) for place in places[:_NAMED])
    what = f"column{'s' if len(places) > 1 else ''} {told}{' …' if len(places) > _NAMED else ''}"
    text = "constant in the training split: nothing is learned from it, and 0 stands for any value"
    return (DataIssue(what, "kept", text),)
