"""Convolutions over the tokens of a text."""

from __future__ import annotations

import keras

from kx.contracts.specs import Outputs, Spec
from kx.models.layers import penalty, scores
from kx.models.text.embedding import embedded
from kx.types import Count, Fraction, NonNegative


def textcnn(
    inputs: Spec,
    outputs: Outputs,
    *,
    embedding_units: Count = 128,
    window_sizes: list[Count] = [3, 4, 5],  # noqa: B006
    filters: Count = 100,
    dropout: Fraction = 0.5,
    embedding_dropout: Fraction = 0.2,
    kernel_initializer: str = "glorot_uniform",
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
) -> keras.Model:
    """Builds convolutions of several widths over embeddings, each with a maximum over the text.

    Args:
        inputs: Spec of one text: token ids of shape `(sequence_length,)`.
        outputs: Description of the scores: their number and names.
        embedding_units: Size of a token's embedding. Defaults to 128.
        window_sizes: Number of tokens that the convolutions span. Defaults to [3, 4, 5].
        filters: Number of filters of each width. Defaults to 100.
        dropout: Dropout rate before the scores. Defaults to 0.5.
        embedding_dropout: Dropout rate of whole embedding channels. Defaults to 0.2.
        kernel_initializer: Initializer of the weights. Defaults to `"glorot_uniform"`.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not token ids.

    Source: Kim 2014, "Convolutional neural networks for sentence classification", section 2.

    Example:
    >>> model = textcnn(Spec((12,), "int32", vocabulary_size=50), Outputs(2), filters=4)
    >>> model.output_shape
    (None, 2)
    """
    x, h = embedded(inputs, "textcnn", embedding_units, embedding_dropout, mask=False)
    h = h * keras.ops.expand_dims(keras.ops.cast(keras.ops.not_equal(x, 0), h.dtype), -1)
    # As many zeros as make each window that has a token, and one that has none: the scores are the
    # same however much padding a batch has.
    longest = max(window_sizes)
    h = keras.layers.ZeroPadding1D((longest, longest - 1))(h)
    found = []
    for size in window_sizes:
        convolution = keras.layers.Conv1D(
            filters,
            size,
            activation="relu",
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
        )
        found.append(keras.layers.GlobalMaxPooling1D()(convolution(h)))
    h = keras.layers.Concatenate()(found) if len(found) > 1 else found[0]
    h = keras.layers.Dropout(dropout)(h)
    y = scores(h, outputs.units, l1, l2, kernel_initializer=kernel_initializer)
    return keras.Model(x, y, name="textcnn")
