"""Transformers on token ids: an encoder, and a decoder that writes on."""

from __future__ import annotations

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.layers import mean_of_tokens, scores
from kx.models.text.blocks import Blocks, placed
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
    blocks = Blocks(units, num_heads, mlp_units, dropout, activation, pre_norm)
    x = token_input()
    h = keras.layers.Embedding(size, units)(x)
    h = placed(x, h, inputs.shape[0], positions)
    h = keras.layers.Dropout(dropout)(h)
    words = keras.ops.not_equal(x, 0)
    attended = keras.ops.expand_dims(words, 1)  # from each token to those that are words
    for _ in range(num_layers):
        h = blocks.dense(blocks.attention(h, attention_mask=attended))
    h = mean_of_tokens(blocks.finished(h), x)
    return keras.Model(x, scores(h, outputs.units), name="transformer")


def gpt(
    inputs: Spec,
    outputs: Outputs,
    *,
    units: Count = 128,
    num_layers: Count = 4,
    num_heads: Count = 4,
    mlp_units: Count = 512,
    dropout: Fraction = 0.1,
    activation: str = "gelu",
    pre_norm: bool = True,
    positions: str = "learned",
) -> keras.Model:
    """Builds a transformer that scores, at each token, which one comes next.

    Args:
        inputs: Spec of a text: token ids of shape `(context_length,)`.
        outputs: Description of the scores: one for each token of the vocabulary.
        units: Size of a token's embedding. Defaults to 128.
        num_layers: Number of blocks, each of attention and dense layers. Defaults to 4.
        num_heads: Number of attention heads, a divisor of `units`. Defaults to 4.
        mlp_units: Units of the hidden dense layers. Defaults to 512.
        dropout: Dropout rate of embeddings, attention and dense layers. Defaults to 0.1.
        activation: Activation of the hidden dense layers. Defaults to `"gelu"`.
        pre_norm: Whether layer normalization comes before attention and dense layers, not after
            them. Defaults to True.
        positions: `"sinusoidal"`, `"learned"` or `"none"`. Defaults to `"learned"`.

    Returns:
        Model with raw scores of shape `(batch, sequence_length, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not token ids, or the heads do not fit.

    Source: Radford et al. 2019, "Language models are unsupervised multitask learners", section
    2.3.

    Example:
    >>> gpt(Spec((12,), "int32", vocabulary_size=50), Outputs(50, axes=(None,))).output_shape
    (None, None, 50)
    """
    size = require_tokens(inputs, "gpt")
    if not outputs.axes:
        raise ConfigError(
            "model=gpt scores the token after each token: task=language_model. For one class of a"
            " text: model=transformer."
        )
    blocks = Blocks(units, num_heads, mlp_units, dropout, activation, pre_norm)
    x = token_input()
    h = placed(x, keras.layers.Embedding(size, units)(x), inputs.shape[0], positions)
    h = keras.layers.Dropout(dropout)(h)
    for _ in range(num_layers):
        h = blocks.dense(blocks.attention(h, use_causal_mask=True))
    return keras.Model(x, scores(blocks.finished(h), outputs.units), name="gpt")
