"""Recurrent networks on token ids."""

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
    """Builds an embedding followed by LSTM layers, with padding (token 0) masked.

    Args:
        inputs: Spec of one text: token ids of shape `(sequence_length,)`.
        outputs: Description of the scores: their number and names.
        embedding_units: Size of a token's embedding. Defaults to 64.
        units: Units of an LSTM layer in each direction. Defaults to 64.
        num_layers: Number of stacked LSTM layers. Defaults to 1.
        bidirectional: Whether each layer also reads the text backwards. Defaults to True.
        dropout: Dropout rate before the scores. Defaults to 0.3.
        embedding_dropout: Dropout rate of whole embedding channels. Defaults to 0.2.
        recurrent_dropout: Dropout rate of the recurrent state (slow on a GPU). Defaults to 0.
        kernel_initializer: Initializer of the weights. Defaults to `"glorot_uniform"`.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not token ids.

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
