"""The vision transformer of Dosovitskiy et al. 2020."""

from __future__ import annotations

from typing import Any

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.layers import require_image, scores
from kx.types import Count, Fraction


def vit(
    inputs: Spec,
    outputs: Outputs,
    *,
    patch_size: int = 4,
    units: Count = 128,
    num_layers: Count = 6,
    num_heads: int = 4,
    mlp_units: int = 256,
    dropout: Fraction = 0.1,
    activation: str = "gelu",
) -> keras.Model:
    """Builds a small vision transformer with average pooling instead of a class token.

    It consists of Keras layers only, so that a saved model loads without kx.

    Args:
        inputs: Spec of one image, shape `(height, width, channels)`.
        outputs: Description of the scores: their number and names.
        patch_size: Side of a patch in pixels, a divisor of height and width. Defaults to 4.
        units: Size of a patch's embedding. Defaults to 128.
        num_layers: Number of blocks, each of attention and dense layers. Defaults to 6.
        num_heads: Number of attention heads, a divisor of `units`. Defaults to 4.
        mlp_units: Units of the hidden dense layers. Defaults to 256.
        dropout: Dropout rate of embeddings, attention and dense layers. Defaults to 0.1.
        activation: Activation of the hidden dense layers. Defaults to `"gelu"`.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are not images, or patches or heads do not fit.

    Source: Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words"; the mean instead of the
    class token as in Beyer et al. 2022, "Better plain ViT baselines for ImageNet-1k".
    """
    require_image(inputs, "vit")
    height, width, channels = inputs.shape
    if height % patch_size or width % patch_size:
        raise ConfigError(
            f"model.patch_size: expected a divisor of {height} and {width} pixels."
            f" Received: {patch_size}."
        )
    if units % num_heads:
        raise ConfigError(
            f"model.num_heads: expected a divisor of model.units={units}. Received: {num_heads}."
        )
    rows, columns = height // patch_size, width // patch_size
    x = keras.Input(inputs.shape, name="inputs")
    h = keras.layers.Reshape((rows, patch_size, columns, patch_size, channels))(x)
    h = keras.layers.Permute((1, 3, 2, 4, 5))(h)
    h = keras.layers.Reshape((rows * columns, patch_size * patch_size * channels))(h)
    # The bias has shape (patches, units): it serves as the position embedding of each patch.
    h = keras.layers.EinsumDense(
        "bnp,pu->bnu",
        (rows * columns, units),
        bias_axes="nu",
        bias_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name="patches",
    )(h)
    h = keras.layers.Dropout(dropout)(h)

    def attention(h: Any) -> Any:
        normalized = keras.layers.LayerNormalization(epsilon=1e-6)(h)
        heads = keras.layers.MultiHeadAttention(num_heads, units // num_heads, dropout=dropout)
        return keras.layers.Dropout(dropout)(heads(normalized, normalized))

    def dense(h: Any) -> Any:
        h = keras.layers.LayerNormalization(epsilon=1e-6)(h)
        h = keras.layers.Dense(mlp_units, activation=activation)(h)
        h = keras.layers.Dropout(dropout)(h)
        return keras.layers.Dropout(dropout)(keras.layers.Dense(units)(h))

    for _ in range(num_layers):
        h = keras.layers.Add()([h, attention(h)])
        h = keras.layers.Add()([h, dense(h)])
    h = keras.layers.LayerNormalization(epsilon=1e-6)(h)
    h = keras.layers.GlobalAveragePooling1D()(h)
    return keras.Model(x, scores(h, outputs.units), name="vit")
