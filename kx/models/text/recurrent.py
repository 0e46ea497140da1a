"""Recurrent networks on token ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    options = _Options(
        embedding_units, units, num_layers, bidirectional, dropout, embedding_dropout,
        recurrent_dropout, kernel_initializer, l1, l2,
    )  # fmt: skip
    return _recurrent("lstm", keras.layers.LSTM, inputs, outputs, options)


def gru(
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
    """Builds an embedding followed by GRU layers, with padding (token 0) masked.

    The arguments are those of `lstm`.

    Args:
        inputs: Spec of one text: token ids of shape `(sequence_length,)`.
        outputs: Description of the scores: their number and names.
        embedding_units: Size of a token's embedding. Defaults to 64.
        units: Units of a GRU layer in each direction. Defaults to 64.
        num_layers: Number of stacked GRU layers. Defaults to 1.
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

    Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder".
    """
    options = _Options(
        embedding_units, units, num_layers, bidirectional, dropout, embedding_dropout,
        recurrent_dropout, kernel_initializer, l1, l2,
    )  # fmt: skip
    return _recurrent("gru", keras.layers.GRU, inputs, outputs, options)


def rnn(
    inputs: Spec,
    outputs: Outputs,
    *,
    embedding_units: Count = 64,
    units: Count = 64,
    num_layers: Count = 1,
    bidirectional: bool = False,
    dropout: Fraction = 0.3,
    embedding_dropout: Fraction = 0.2,
    recurrent_dropout: Fraction = 0.0,
    kernel_initializer: str = "glorot_uniform",
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
) -> keras.Model:
    """Builds an embedding followed by simple recurrent layers, with padding (token 0) masked.

    The arguments are those of `lstm`.

    Args:
        inputs: Spec of one text: token ids of shape `(sequence_length,)`.
        outputs: Description of the scores: their number and names.
        embedding_units: Size of a token's embedding. Defaults to 64.
        units: Units of a recurrent layer in each direction. Defaults to 64.
        num_layers: Number of stacked layers. Defaults to 1.
        bidirectional: Whether each layer also reads the text backwards. Defaults to False.
        dropout: Dropout rate before the scores. Defaults to 0.3.
        embedding_dropout: Dropout rate of whole embedding channels. Defaults to 0.2.
        recurrent_dropout: Dropout rate of the recurrent state. Defaults to 0.
        kernel_initializer: Initializer of the weights. Defaults to `"glorot_uniform"`.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not token ids.

    Source: Elman 1990, "Finding structure in time".
    """
    options = _Options(
        embedding_units, units, num_layers, bidirectional, dropout, embedding_dropout,
        recurrent_dropout, kernel_initializer, l1, l2,
    )  # fmt: skip
    return _recurrent("rnn", keras.layers.SimpleRNN, inputs, outputs, options)


def lstm_attention(
    inputs: Spec,
    outputs: Outputs,
    *,
    embedding_units: Count = 64,
    units: Count = 64,
    attention_units: Count = 64,
    num_layers: Count = 1,
    bidirectional: bool = True,
    dropout: Fraction = 0.3,
    embedding_dropout: Fraction = 0.2,
    recurrent_dropout: Fraction = 0.0,
    kernel_initializer: str = "glorot_uniform",
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
) -> keras.Model:
    """Builds LSTM layers whose outputs are averaged with learned weights: attention over time.

    Args:
        inputs: Spec of one text: token ids of shape `(sequence_length,)`.
        outputs: Description of the scores: their number and names.
        embedding_units: Size of a token's embedding. Defaults to 64.
        units: Units of an LSTM layer in each direction. Defaults to 64.
        attention_units: Units of the layer that scores each token. Defaults to 64.
        num_layers: Number of stacked LSTM layers. Defaults to 1.
        bidirectional: Whether each layer also reads the text backwards. Defaults to True.
        dropout: Dropout rate before the scores. Defaults to 0.3.
        embedding_dropout: Dropout rate of whole embedding channels. Defaults to 0.2.
        recurrent_dropout: Dropout rate of the recurrent state (slow on a GPU). Defaults to 0.
        kernel_initializer: Initializer of the weights. Defaults to `"glorot_uniform"`.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`. Its layer `attention_weights`
        gives the weight of each token.

    Raises:
        ConfigError: If the inputs are not token ids.

    Source: Yang et al. 2016, "Hierarchical attention networks", section 2.2 (word attention).
    """
    options = _Options(
        embedding_units, units, num_layers, bidirectional, dropout, embedding_dropout,
        recurrent_dropout, kernel_initializer, l1, l2,
    )  # fmt: skip
    return _recurrent(
        "lstm_attention", keras.layers.LSTM, inputs, outputs, options, attention_units
    )


@dataclass(frozen=True)
class _Options:
    """Holds the sizes of a recurrent network."""

    embedding_units: int
    units: int
    num_layers: int
    bidirectional: bool
    dropout: float
    embedding_dropout: float
    recurrent_dropout: float
    kernel_initializer: str
    l1: float
    l2: float


def _recurrent(
    name: str,
    kind: type[keras.layers.Layer],
    inputs: Spec,
    outputs: Outputs,
    options: _Options,
    attention_units: int | None = None,
) -> keras.Model:
    """Builds a network of recurrent layers; without attention, the last output is scored."""
    x, h = embedded(inputs, name, options.embedding_units, options.embedding_dropout)
    for number in range(options.num_layers):
        layer = kind(
            options.units,
            return_sequences=attention_units is not None or number < options.num_layers - 1,
            recurrent_dropout=options.recurrent_dropout,
            kernel_initializer=options.kernel_initializer,
            kernel_regularizer=penalty(options.l1, options.l2),
        )
        h = (keras.layers.Bidirectional(layer) if options.bidirectional else layer)(h)
    if attention_units is not None:
        h = _attended(x, h, attention_units)
    h = keras.layers.Dropout(options.dropout)(h)
    initializer = options.kernel_initializer
    y = scores(h, outputs.units, options.l1, options.l2, kernel_initializer=initializer)
    return keras.Model(x, y, name=name)


def _attended(x: Any, h: Any, units: int) -> Any:
    """Returns the average of the outputs of all tokens, weighted by a learned score of each."""
    keys = keras.layers.Dense(units, activation="tanh", name="attention")(h)
    found = keras.layers.Dense(1, use_bias=False, name="attention_scores")(keys)
    found = keras.ops.squeeze(found, -1)
    words = keras.ops.not_equal(x, 0)
    weights = keras.layers.Softmax(name="attention_weights")(found, mask=words)
    return keras.layers.Dot(axes=1, name="attended")([weights, h])
