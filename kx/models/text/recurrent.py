"""Recurrent networks on token ids."""

from __future__ import annotations

from typing import Any, Literal

import keras

from kx.contracts.specs import Outputs, Spec
from kx.models.layers import penalty, scores
from kx.models.text.embedding import embedded
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
    return recurrent(
        inputs, outputs, embedding_units=embedding_units, units=units, num_layers=num_layers,
        bidirectional=bidirectional, dropout=dropout, embedding_dropout=embedding_dropout,
        recurrent_dropout=recurrent_dropout, kernel_initializer=kernel_initializer, l1=l1, l2=l2,
    )  # fmt: skip


def recurrent(
    inputs: Spec,
    outputs: Outputs,
    *,
    cell: Literal["lstm", "gru", "simple"] = "lstm",
    attention_units: Count | None = None,
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
    """Builds an embedding followed by recurrent layers of one kind, with padding (token 0) masked.

    Args:
        inputs: Spec of one text: token ids of shape `(sequence_length,)`.
        outputs: Description of the scores: their number and names.
        cell: Kind of the layers: `"lstm"`, `"gru"` or `"simple"`. Defaults to `"lstm"`.
        attention_units: Units of a layer that scores the output of each token; their weighted
            average is scored. Defaults to None: the last output is scored.
        embedding_units: Size of a token's embedding. Defaults to 64.
        units: Units of a recurrent layer in each direction. Defaults to 64.
        num_layers: Number of stacked recurrent layers. Defaults to 1.
        bidirectional: Whether each layer also reads the text backwards. Defaults to True.
        dropout: Dropout rate before the scores. Defaults to 0.3.
        embedding_dropout: Dropout rate of whole embedding channels. Defaults to 0.2.
        recurrent_dropout: Dropout rate of the recurrent state (slow on a GPU). Defaults to 0.
        kernel_initializer: Initializer of the weights. Defaults to `"glorot_uniform"`.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`. With attention, its layer
        `attention_weights` gives the weight of each token.

    Raises:
        ConfigError: If the inputs are not token ids.

    Source: Hochreiter & Schmidhuber 1997 (LSTM); Cho et al. 2014 (GRU); Elman 1990 (simple);
    Yang et al. 2016, "Hierarchical attention networks", section 2.2 (attention).

    Example:
    >>> tokens = Spec((12,), "int32", vocabulary_size=50)
    >>> recurrent(tokens, Outputs(2), cell="gru", attention_units=8).name
    'gru_attention'
    """
    kinds = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "simple": keras.layers.SimpleRNN}
    name: str = "rnn" if cell == "simple" else cell
    name = name if attention_units is None else f"{name}_attention"
    x, h = embedded(inputs, name, embedding_units, embedding_dropout)
    for number in range(num_layers):
        layer = kinds[cell](
            units,
            return_sequences=attention_units is not None or number < num_layers - 1,
            recurrent_dropout=recurrent_dropout,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
        )
        h = (keras.layers.Bidirectional(layer) if bidirectional else layer)(h)
    if attention_units is not None:
        h = _attended(x, h, attention_units)
    h = keras.layers.Dropout(dropout)(h)
    y = scores(h, outputs.units, l1, l2, kernel_initializer=kernel_initializer)
    return keras.Model(x, y, name=name)


def _attended(x: Any, h: Any, units: int) -> Any:
    """Returns the average of the outputs of all tokens, weighted by a learned score of each."""
    keys = keras.layers.Dense(units, activation="tanh", name="attention")(h)
    found = keras.layers.Dense(1, use_bias=False, name="attention_scores")(keys)
    found = keras.ops.squeeze(found, -1)
    words = keras.ops.not_equal(x, 0)
    weights = keras.layers.Softmax(name="attention_weights")(found, mask=words)
    return keras.layers.Dot(axes=1, name="attended")([weights, h])
