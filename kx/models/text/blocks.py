"""Parts of transformers: attention, dense layers, positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from kx.errors import ConfigError

Positions = Literal["sinusoidal", "learned", "none"]


@dataclass(frozen=True)
class Blocks:
    """Adds the blocks of a transformer to a tensor of shape `(batch, sequence_length, units)`.

    Args:
        units: Size of a token's embedding.
        num_heads: Number of attention heads, a divisor of `units`.
        mlp_units: Units of the hidden dense layer of a block.
        dropout: Dropout rate of attention and dense layers.
        activation: Activation of the hidden dense layer.
        pre_norm: Whether layer normalization comes before attention and dense layers, not after
            them.

    Raises:
        ConfigError: If the heads do not divide the units.
    """

    units: int
    num_heads: int
    mlp_units: int
    dropout: float
    activation: str
    pre_norm: bool

    def __post_init__(self) -> None:
        if self.units % self.num_heads:
            raise ConfigError(
                f"model.num_heads: expected a divisor of model.units={self.units}. Received:"
                f" {self.num_heads}."
            )

    def attention(self, h: Any, **masks: Any) -> Any:
        """Adds attention among the tokens.

        Args:
            h: Embeddings of the tokens.
            **masks: `attention_mask` or `use_causal_mask` of `keras.layers.MultiHeadAttention`.
        """

        def block(h: Any) -> Any:
            heads = self._heads()
            return keras.layers.Dropout(self.dropout)(heads(h, h, **masks))

        return self._residual(h, block)

    def attention_to(self, h: Any, memory: Any, mask: Any, name: str) -> Any:
        """Adds attention to the tokens of another text.

        Args:
            h: Embeddings of the tokens.
            memory: Embeddings of the other text, shape `(batch, other_length, units)`.
            mask: Whether each of its tokens may be attended, shape `(batch, 1, other_length)`.
            name: Name of the attention layer, whose second output is the attention weights.
        """

        def block(h: Any) -> Any:
            heads = self._heads(name=name)
            found, _ = heads(h, memory, attention_mask=mask, return_attention_scores=True)
            return keras.layers.Dropout(self.dropout)(found)

        return self._residual(h, block)

    def dense(self, h: Any) -> Any:
        """Adds the dense layers of a block.

        Args:
            h: Embeddings of the tokens.
        """

        def block(h: Any) -> Any:
            h = keras.layers.Dense(self.mlp_units, activation=self.activation)(h)
            return keras.layers.Dropout(self.dropout)(keras.layers.Dense(self.units)(h))

        return self._residual(h, block)

    def finished(self, h: Any) -> Any:
        """Adds the normalization after the last block, where it comes before each block.

        Args:
            h: Embeddings of the tokens.
        """
        return _normalized(h) if self.pre_norm else h

    def _heads(self, **name: str) -> keras.layers.MultiHeadAttention:
        size = self.units // self.num_heads
        return keras.layers.MultiHeadAttention(self.num_heads, size, dropout=self.dropout, **name)

    def _residual(self, h: Any, block: Callable[[Any], Any]) -> Any:
        if self.pre_norm:
            return keras.layers.Add()([h, block(_normalized(h))])
        return _normalized(keras.layers.Add()([h, block(h)]))


def _normalized(h: Any) -> Any:
    return keras.layers.LayerNormalization(epsilon=1e-6)(h)


def placed(x: Any, h: Any, length: int, positions: str) -> Any:
    """Returns the embeddings of tokens with the position of each.

    Args:
        x: Token ids, shape `(batch, sequence_length)`.
        h: Their embeddings.
        length: Number of positions.
        positions: `"sinusoidal"`, `"learned"` or `"none"`.

    Raises:
        ConfigError: If there are no such positions.
    """
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
