"""Columns that are constant in the training split, of which nothing can be learnt."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras.layers import Normalization

from kx.contracts.specs import Data, DataIssue

_WIDE = 1e30  # a variance by which any number becomes 0
_NAMED = 5


def leave_out_constant(
    layer: Normalization, data: Data, examples: tf.data.Dataset
) -> tuple[DataIssue, ...]:
    """Lets a normalization give 0 for each column that is constant in the training split.

    Keras divides by 1e-7 where the variance is 0, or by what rounding makes of it: the first
    other number, of an example to test or to predict, would be a million times as large as any
    that the model has seen.

    Args:
        layer: adapted, by the last axis.
        data: for the names of the columns.
        examples: batches of prepared inputs of the training split.

    Returns:
        What is to be told of such columns.
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
    names = data.inputs.column_names
    told = ", ".join(names[place] if names else str(place) for place in places[:_NAMED])
    what = f"column{'s' if len(places) > 1 else ''} {told}{' …' if len(places) > _NAMED else ''}"
    text = "constant in the training split: nothing is learnt of it, and 0 stands for any value"
    return (DataIssue(what, "kept", text),)
