"""Recurrent nets over token ids."""

from __future__ import annotations

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.layers import penalty, scores
from kx.types import Count, Fraction, NonNegative


def lstm(
    inputs: Spec,
    outputs: Outputs,
    *,
    embedding_units: Count = 64,
    units: Count = 64,
    num_layers: Count = 1,
    bidirectional: bool = True,
    dropout: Fraction = 0.3,
    embedding_dropout: Fraction = 0.2,
    recurrent_dropout: Fraction = 0.0,
    kernel_initializer: str = "glorot_uniform",
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
) -> keras.Model:
    """Builds an embedding and LSTM layers, with padding (token 0) masked.

    Args:
        inputs: spec of one text: token ids of shape `(sequence_length,)`.
        outputs: what to give.
        embedding_units: of a token.
        units: of an LSTM, in each direction.
        num_layers: LSTMs, one on the other.
        bidirectional: whether each also reads from the end.
        dropout: before the scores.
        embedding_dropout: of whole embedding channels.
        recurrent_dropout: within the LSTM (slow on a GPU).
        kernel_initializer: of the weights.
        l1: strength of the L1 penalty.
        l2: strength of the L2 penalty.

    Returns:
        A model that gives scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: if the inputs are no token ids.

    Source: Hochreiter & Schmidhuber 1997; Schuster & Paliwal 1997 (both directions).
    """
    if inputs.vocabulary_size is None or len(inputs.shape) != 1:
        raise ConfigError(
            "model=lstm expects texts: token ids with a vocabulary. Received: shape"
            f" {tuple(inputs.shape)} of {inputs.dtype}. For images: model=cnn; for rows: model=mlp."
        )
    x = keras.Input(inputs.shape, dtype="int32", name="inputs")
    h = keras.layers.Embedding(inputs.vocabulary_size, embedding_units, mask_zero=True)(x)
    if embedding_dropout:
        h = keras.layers.SpatialDropout1D(embedding_dropout)(h)
    for number in range(num_layers):
        layer = keras.layers.LSTM(
            units,
            return_sequences=number < num_layers - 1,
            recurrent_dropout=recurrent_dropout,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
        )
        h = (keras.layers.Bidirectional(layer) if bidirectional else layer)(h)
    h = keras.layers.Dropout(dropout)(h)
    y = scores(h, outputs.units, l1, l2, kernel_initializer=kernel_initializer)
    return keras.Model(x, y, name="lstm")
