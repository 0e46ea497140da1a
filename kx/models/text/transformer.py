"""The encoder of a transformer on token ids."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.layers import mean_of_tokens, scores
from kx.models.text.embedding import require_tokens, token_input
from kx.types import Count, Fraction


def transformer(
    inputs: Spec,
    outputs: Outputs,
    *,
    units: Count = 64,
    num_layers: Count = 2,
    num_heads: Count = 4,
    mlp_units: Count = 128,
    dropout: Fraction = 0.1,
    activation: str = "relu",
    pre_norm: bool = False,
    positions: str = "sinusoidal",
) -> keras.Model:
    """Builds a transformer encoder, whose outputs are averaged over the tokens of the text.

    It consists of Keras layers only, so that a saved model loads without kx. Padding (token 0) is
    attended by no token, and is not in the average.

    Args:
        inputs: Spec of one text: token ids of shape `(sequence_length,)`.
        outputs: Description of the scores: their number and names.
        units: Size of a token's embedding. Defaults to 64.
        num_layers: Number of blocks, each of attention and dense layers. Defaults to 2.
        num_heads: Number of attention heads, a divisor of `units`. Defaults to 4.
        mlp_units: Units of the hidden dense layers. Defaults to 128.
        dropout: Dropout rate of embeddings, attention and dense layers. Defaults to 0.1.
        activation: Activation of the hidden dense layers. Defaults to `"relu"`.
        pre_norm: Whether layer normalization comes before attention and dense layers, not after
            them. Defaults to False.
        positions: `"sinusoidal"`, `"learned"` or `"none"`. Defaults to `"sinusoidal"`.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not token ids, or the heads do not fit.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3; Xiong et al. 2020, "On
    layer normalization in the transformer architecture" (`pre_norm`).

    Example:
    >>> transformer(Spec((12,), "int32", vocabulary_size=50), Outputs(2)).output_shape
    (None, 2)
    """
    size = require_tokens(inputs, "transformer")
    if units % num_heads:
        raise ConfigError(
            f"model.num_heads: expected a divisor of model.units={units}. Received: {num_heads}."
        )
    x = token_input()
    h = keras.layers.Embedding(size, units)(x)
    h = _placed(x, h, inputs.shape[0], positions)
    h = keras.layers.Dropout(dropout)(h)
    words = keras.ops.not_equal(x, 0)
    attended = keras.ops.expand_dims(words, 1)  # from each token to those that are words

    def attention(h: Any) -> Any:
        heads = keras.layers.MultiHeadAttention(num_heads, units // num_heads, dropout=dropout)
        return keras.layers.Dropout(dropout)(heads(h, h, attention_mask=attended))

    def dense(h: Any) -> Any:
        h = keras.layers.Dense(mlp_units, activation=activation)(h)
        return keras.layers.Dropout(dropout)(keras.layers.Dense(units)(h))

    def normalized(h: Any) -> Any:
        return keras.layers.LayerNormalization(epsilon=1e-6)(h)

    for _ in range(num_layers):
        for block in (attention, dense):
            if pre_norm:
                h = keras.layers.Add()([h, block(normalized(h))])
            else:
                h = normalized(keras.layers.Add()([h, block(h)]))
    h = normalized(h) if pre_norm else h
    h = mean_of_tokens(h, x)
    return keras.Model(x, scores(h, outputs.units), name="transformer")


def _placed(x: Any, h: Any, length: int, positions: str) -> Any:
    """Returns the embeddings with the position of each token."""
    units = h.shape[-1]
    if positions == "none":
        return h
    if positions not in ("sinusoidal", "learned"):
        raise ConfigError(
            f"model.positions: expected sinusoidal, learned or none. Received: {positions!r}."
        )
    learned = positions == "learned"
    numbers = keras.ops.cumsum(keras.ops.ones_like(x), axis=1) - 1
    layer = keras.layers.Embedding(length, units, trainable=learned, name="positions")
    places = layer(numbers)
    if not learned:
        layer.set_weights([_waves(length, units)])
        h = keras.layers.Rescaling(float(units) ** 0.5)(h)  # so that positions do not outweigh it
    return keras.layers.Add()([h, places])


def _waves(length: int, units: int) -> np.ndarray:
    """Returns the sines and cosines of each position, shape `(length, units)`."""
    place = np.arange(length)[:, None]
    rate = 10_000.0 ** (-2 * (np.arange(units) // 2) / units)
    angles = place * rate
    return np.where(np.arange(units) % 2 == 0, np.sin(angles), np.cos(angles)).astype("float32")
