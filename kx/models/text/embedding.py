"""The first layer of a model of texts."""

from __future__ import annotations

from typing import Any

import keras

from kx.contracts.specs import Spec
from kx.errors import ConfigError


def require_tokens(inputs: Spec, model: str, *, padding: int | None = 0) -> int:
    """Returns the size of the vocabulary, or raises an error if the inputs are not token ids.

    Args:
        inputs: Spec of one example.
        model: Name of the model, for the message.
        padding: Id that the model takes for padding, None for any. Defaults to 0.

    Raises:
        ConfigError: If the inputs are not token ids, or have another padding. The message names
            models for other data.
    """
    if inputs.vocabulary_size is None or len(inputs.shape) != 1:
        raise ConfigError(
            f"model={model} expects texts: token ids with a vocabulary. Received: shape"
            f" {tuple(inputs.shape)} of {inputs.dtype}. For images: model=cnn; for rows: model=mlp."
        )
    if padding is not None and (inputs.padding_value or 0) != padding:
        raise ConfigError(
            f"model={model} takes token {padding} for padding, and the tokenizer pads by token"
            f" {inputs.padding_value:.0f}. Choose model=keras_hub, or another tokenizer."
        )
    return inputs.vocabulary_size


def token_input(name: str = "inputs") -> Any:
    """Returns an input of token ids of any length, so that batches need no padding beyond theirs.

    Args:
        name: Name of the input. Defaults to `"inputs"`.
    """
    return keras.Input((None,), dtype="int32", name=name)


def embedded(
    inputs: Spec, model: str, units: int, dropout: float = 0.0, *, mask: bool = True
) -> tuple[Any, Any]:
    """Returns the input of a model of texts, and the embedding of each token.

    Args:
        inputs: Spec of one text: token ids of shape `(sequence_length,)`.
        model: Name of the model, for the message of an error.
        units: Size of a token's embedding.
        dropout: Dropout rate of whole embedding channels. Defaults to 0.
        mask: Whether padding (token 0) is masked. Defaults to True.

    Returns:
        The input, and a tensor of shape `(batch, sequence_length, units)`.

    Raises:
        ConfigError: If the inputs are not token ids.
    """
    size = require_tokens(inputs, model)
    x = token_input()
    h = keras.layers.Embedding(size, units, mask_zero=mask)(x)
    return x, keras.layers.SpatialDropout1D(dropout)(h) if dropout else h
