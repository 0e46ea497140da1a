"""Lets the embedding of a model begin with the vectors of a file."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kx.contracts.specs import Data
from kx.errors import ConfigError


def begin_with_vectors(core: keras.Model, data: Data) -> None:
    """Gives the embeddings of a model the vectors that the tokenizers have read.

    Tokens without a vector keep what the model's initializer drew.

    Args:
        core: Model that a builder returned.
        data: Data, for the vectors.

    Raises:
        ConfigError: If the model has no such embedding, several, or one of another size.
    """
    for field, vectors in data.vectors.items():
        values = vectors.values
        place = field or ("source" if data.target_texts else "")
        key = f"tokenizer{place and '.' + place}.vectors"
        layer = _embedding(core, field, len(values), key)
        if layer.output_dim != values.shape[1]:
            raise ConfigError(
                f"{key}: the vectors have {values.shape[1]} numbers, and the embedding"
                f" of model {core.name!r} has {layer.output_dim} units:"
                f" model.embedding_units={values.shape[1]} (model.units of a transformer)."
            )
        own = keras.ops.convert_to_numpy(layer.embeddings)
        layer.embeddings.assign(np.where(np.isnan(values), own, values))
        layer.trainable = not vectors.freeze


def _embedding(core: keras.Model, field: str, size: int, key: str) -> Any:
    names = {layer.name for layer in getattr(core, "layers", ())}
    if {"encoder", "decoder"} <= names:  # each text has its embedding in one of them
        core = core.get_layer("decoder" if field == "target" else "encoder")
    found = [
        layer
        for layer in core._flatten_layers()
        if isinstance(layer, keras.layers.Embedding)
        and layer.input_dim == size
        and layer.name != "positions"
    ]
    if len(found) != 1:
        has = f"{len(found)} embeddings" if found else "no embedding"
        raise ConfigError(
            f"{key}: model {core.name!r} has {has} of this"
            f" vocabulary of {size:,} tokens. Expected one keras.layers.Embedding."
        )
    return found[0]
