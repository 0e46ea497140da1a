"""From one text to another: an encoder and a decoder with attention.

Each model has two layers that are models themselves: `encoder`, from the source's token ids to
tensors by name, and `decoder`, which takes these, the source and the tokens so far. To write a
text, the encoder is asked once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import keras

from kx.contracts.specs import Outputs, Spec, Specs
from kx.errors import ConfigError
from kx.models.layers import scores
from kx.models.text.blocks import Blocks, placed
from kx.models.text.embedding import require_tokens, token_input
from kx.types import Count, Fraction


def seq2seq_transformer(
    inputs: Specs,
    outputs: Outputs,
    *,
    units: Count = 128,
    num_layers: Count = 2,
    num_heads: Count = 4,
    mlp_units: Count = 512,
    dropout: Fraction = 0.1,
    activation: str = "relu",
    pre_norm: bool = True,
    positions: str = "sinusoidal",
) -> keras.Model:
    """Builds a transformer that scores the tokens of a text, given another text.

    Args:
        inputs: Specs of `source` and of `target`, the tokens before each one that is scored.
        outputs: Description of the scores: one for each token of the target's vocabulary.
        units: Size of a token's embedding. Defaults to 128.
        num_layers: Number of blocks of encoder and decoder each. Defaults to 2.
        num_heads: Number of attention heads, a divisor of `units`. Defaults to 4.
        mlp_units: Units of the hidden dense layers. Defaults to 512.
        dropout: Dropout rate of embeddings, attention and dense layers. Defaults to 0.1.
        activation: Activation of the hidden dense layers. Defaults to `"relu"`.
        pre_norm: Whether layer normalization comes before attention and dense layers, not after
            them. Defaults to True.
        positions: `"sinusoidal"`, `"learned"` or `"none"`. Defaults to `"sinusoidal"`.

    Returns:
        Model of `source` and `target` with raw scores of shape `(batch, target_length,
        outputs.units)`.

    Raises:
        ConfigError: If the inputs are no two texts, or the heads do not fit.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3; Xiong et al. 2020
    (`pre_norm`).

    Example:
    >>> text = Spec((12,), "int32", vocabulary_size=50)
    >>> model = seq2seq_transformer({"source": text, "target": text}, Outputs(50, axes=(None,)))
    >>> model.output_shape
    (None, None, 50)
    """
    source, target = _two_texts(inputs, "seq2seq_transformer")
    blocks = Blocks(units, num_heads, mlp_units, dropout, activation, pre_norm)

    def embedded(x: Any, spec: Spec) -> Any:
        h = keras.layers.Embedding(require_tokens(spec, "seq2seq_transformer"), units)(x)
        return keras.layers.Dropout(dropout)(placed(x, h, spec.shape[0], positions))

    x = token_input("source")
    h, words = embedded(x, source), keras.ops.expand_dims(keras.ops.not_equal(x, 0), 1)
    for _ in range(num_layers):
        h = blocks.dense(blocks.attention(h, attention_mask=words))
    encoder = keras.Model(x, {"memory": blocks.finished(h)}, name="encoder")

    x, t = token_input("source"), token_input("target")
    memory = keras.Input((None, units), name="memory")
    h, words = embedded(t, target), keras.ops.expand_dims(keras.ops.not_equal(x, 0), 1)
    for number in range(num_layers):
        h = blocks.attention(h, use_causal_mask=True)
        h = blocks.attention_to(h, memory, words, f"cross_attention_{number}")
        h = blocks.dense(h)
    y = scores(blocks.finished(h), outputs.units)
    decoder = keras.Model({"source": x, "target": t, "memory": memory}, y, name="decoder")
    return _joined(encoder, decoder, "seq2seq_transformer")


def seq2seq_lstm(
    inputs: Specs,
    outputs: Outputs,
    *,
    embedding_units: Count = 128,
    units: Count = 256,
    dropout: Fraction = 0.3,
    attention: Literal["bahdanau", "luong"] = "luong",
) -> keras.Model:
    """Builds a bidirectional LSTM that reads a text, and an LSTM with attention that writes one.

    The attention compares each state of the second LSTM with the outputs of the first one, and
    its result is joined to that state before the scores.

    Args:
        inputs: Specs of `source` and of `target`, the tokens before each one that is scored.
        outputs: Description of the scores: one for each token of the target's vocabulary.
        embedding_units: Size of a token's embedding. Defaults to 128.
        units: Units of the LSTM that writes, and of both directions of the one that reads. Even.
            Defaults to 256.
        dropout: Dropout rate of embeddings, and before the scores. Defaults to 0.3.
        attention: How states are compared: `"luong"`, a dot product, or `"bahdanau"`, a layer
            with tanh of their sum. Defaults to `"luong"`.

    Returns:
        Model of `source` and `target` with raw scores of shape `(batch, target_length,
        outputs.units)`.

    Raises:
        ConfigError: If the inputs are no two texts, or the units are odd.

    Source: Sutskever et al. 2014; Luong et al. 2015, "Effective approaches to attention-based
    neural machine translation", section 3.1; the additive score of Bahdanau et al. 2015, appendix
    A.1.2, here of the state after the token, not before it.

    Example:
    >>> text = Spec((12,), "int32", vocabulary_size=50)
    >>> model = seq2seq_lstm({"source": text, "target": text}, Outputs(50, axes=(None,)), units=8)
    >>> model.output_shape
    (None, None, 50)
    """
    source, target = _two_texts(inputs, "seq2seq_lstm")
    if units % 2:
        raise ConfigError(f"model.units: expected an even number. Received: {units}.")

    def embedded(x: Any, spec: Spec) -> Any:
        size = require_tokens(spec, "seq2seq_lstm")
        h = keras.layers.Embedding(size, embedding_units, mask_zero=True)(x)
        return keras.layers.Dropout(dropout)(h)

    x = token_input("source")
    reading = keras.layers.LSTM(units // 2, return_sequences=True, return_state=True)
    memory, *states = keras.layers.Bidirectional(reading)(embedded(x, source))
    both = [keras.layers.Concatenate()([states[place], states[place + 2]]) for place in (0, 1)]
    read = {"memory": memory, "state": both[0], "cell": both[1]}
    encoder = keras.Model(x, read, name="encoder")

    x, t = token_input("source"), token_input("target")
    known = {"memory": keras.Input((None, units), name="memory"),
             "state": keras.Input((units,), name="state"),
             "cell": keras.Input((units,), name="cell")}  # fmt: skip
    writing = keras.layers.LSTM(units, return_sequences=True)
    h = writing(embedded(t, target), initial_state=[known["state"], known["cell"]])
    kinds = {"luong": keras.layers.Attention, "bahdanau": keras.layers.AdditiveAttention}
    attending = kinds[attention](name="cross_attention_0")
    context, _ = attending(
        [h, known["memory"]],
        mask=[None, keras.ops.not_equal(x, 0)],
        return_attention_scores=True,
    )
    h = keras.layers.Dense(units, activation="tanh")(keras.layers.Concatenate()([context, h]))
    y = scores(keras.layers.Dropout(dropout)(h), outputs.units)
    decoder = keras.Model({"source": x, "target": t, **known}, y, name="decoder")
    return _joined(encoder, decoder, "seq2seq_lstm")


def _joined(encoder: keras.Model, decoder: keras.Model, name: str) -> keras.Model:
    """Returns the model of both texts, from what reads one and what writes the other."""
    x, t = token_input("source"), token_input("target")
    y = decoder({"source": x, "target": t, **encoder(x)})
    return keras.Model({"source": x, "target": t}, y, name=name)


def _two_texts(inputs: Specs, model: str) -> tuple[Spec, Spec]:
    """Returns the specs of both texts.

    Raises:
        ConfigError: If the inputs are others.
    """
    if not isinstance(inputs, Mapping) or set(inputs) != {"source", "target"}:
        raise ConfigError(
            f"model={model} writes a text for a text: task=translation, with data whose inputs and"
            " targets are texts (data=text_pairs)."
        )
    return inputs["source"], inputs["target"]
