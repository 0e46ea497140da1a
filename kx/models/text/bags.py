"""Models that see which tokens a text has, and not their order."""

from __future__ import annotations

import keras

from kx.contracts.specs import Outputs, Spec
from kx.models.layers import mean_of_tokens, penalty, scores
from kx.models.text.embedding import embedded, require_tokens, token_input
from kx.types import Count, Fraction, NonNegative


def fasttext(
    inputs: Spec,
    outputs: Outputs,
    *,
    embedding_units: Count = 64,
    dropout: Fraction = 0.2,
    embedding_dropout: Fraction = 0.0,
    kernel_initializer: str = "glorot_uniform",
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
) -> keras.Model:
    """Builds a linear model of the mean of the tokens' embeddings.

    Args:
        inputs: Spec of one text: token ids of shape `(sequence_length,)`.
        outputs: Description of the scores: their number and names.
        embedding_units: Size of a token's embedding. Defaults to 64.
        dropout: Dropout rate of the mean. Defaults to 0.2.
        embedding_dropout: Dropout rate of whole embedding channels. Defaults to 0.
        kernel_initializer: Initializer of the weights. Defaults to `"glorot_uniform"`.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not token ids.

    Source: Joulin et al. 2016, "Bag of tricks for efficient text classification", section 2.

    Example:
    >>> fasttext(Spec((12,), "int32", vocabulary_size=50), Outputs(2)).output_shape
    (None, 2)
    """
    x, h = embedded(inputs, "fasttext", embedding_units, embedding_dropout, mask=False)
    h = mean_of_tokens(h, x)
    h = keras.layers.Dropout(dropout)(h)
    y = scores(h, outputs.units, l1, l2, kernel_initializer=kernel_initializer)
    return keras.Model(x, y, name="fasttext")


def bow_mlp(
    inputs: Spec,
    outputs: Outputs,
    *,
    hidden_units: list[Count] = [64],  # noqa: B006
    counts: bool = False,
    dropout: Fraction = 0.5,
    activation: str = "relu",
    kernel_initializer: str = "glorot_uniform",
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
) -> keras.Model:
    """Builds dense layers on which tokens a text has: a number for each word of the vocabulary.

    Args:
        inputs: Spec of one text: token ids of shape `(sequence_length,)`.
        outputs: Description of the scores: their number and names.
        hidden_units: Units of the hidden layers; none: a linear model. Defaults to [64].
        counts: Whether to count how often a token is there. Defaults to False: whether it is.
        dropout: Dropout rate before the scores. Defaults to 0.5.
        activation: Activation of the hidden layers. Defaults to `"relu"`.
        kernel_initializer: Initializer of the weights. Defaults to `"glorot_uniform"`.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not token ids.

    Example:
    >>> bow_mlp(Spec((12,), "int32", vocabulary_size=50), Outputs(2)).output_shape
    (None, 2)
    """
    size = require_tokens(inputs, "bow_mlp")
    x = token_input()
    mode = "count" if counts else "multi_hot"
    h = keras.layers.CategoryEncoding(size, output_mode=mode)(x)
    h = h[:, 1:]  # without padding, which each short text has
    for units in hidden_units:
        h = keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
        )(h)
    h = keras.layers.Dropout(dropout)(h)
    y = scores(h, outputs.units, l1, l2, kernel_initializer=kernel_initializer)
    return keras.Model(x, y, name="bow_mlp")
