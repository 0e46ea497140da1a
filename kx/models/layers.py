"""Layers and checks that several model builders share."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from kx.errors import ConfigError


def penalty(l1: float, l2: float) -> keras.regularizers.Regularizer | None:
    """Returns an L1 and L2 regularizer, or None if both strengths are 0."""
    return keras.regularizers.L1L2(l1=l1, l2=l2) if l1 or l2 else None


def batch_normalized(x: Any) -> Any:
    """Adds batch normalization, over the whole batch if several devices share it."""
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return keras.layers.BatchNormalization(synchronized=several)(x)


def require_image(inputs: Any, model: str) -> None:
    """Checks that the input is an image of shape `(height, width, channels)`.

    Args:
        inputs: Spec of one example.
        model: Name of the model, for the error message.

    Raises:
        ConfigError: If the input is not an image. The message names models for other data.
    """
    if len(inputs.shape) != 3:
        raise ConfigError(
            f"model={model} expects images: inputs of shape (height, width, channels)."
            f" Received: shape {tuple(inputs.shape)}. For rows: model=mlp or model=linear;"
            " for texts: model=lstm."
        )


def mean_of_tokens(h: Any, tokens: Any) -> Any:
    """Returns the mean over the tokens of each text that are not padding (token 0).

    A text of padding alone, such as an empty one, has a mean of 0.

    Args:
        h: Tensor of shape `(batch, sequence_length, features)`.
        tokens: Token ids, shape `(batch, sequence_length)`.

    Returns:
        Tensor of shape `(batch, features)`.
    """
    words = keras.ops.expand_dims(keras.ops.cast(keras.ops.not_equal(tokens, 0), h.dtype), -1)
    count = keras.ops.maximum(keras.ops.sum(words, axis=1), 1.0)
    return keras.ops.sum(h * words, axis=1) / count


def scores(x: Any, units: int, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> Any:
    """Adds the last dense layer, which computes the raw scores.

    Under a mixed precision policy they are float32, which the loss needs.

    Args:
        x: Tensor of shape `(batch, features)`.
        units: Number of scores.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.
        **kwargs: Further arguments of `keras.layers.Dense`.

    Returns:
        Tensor of scores, shape `(batch, units)`.
    """
    dense = keras.layers.Dense(
        units, kernel_regularizer=penalty(l1, l2), dtype=score_dtype(), name="scores", **kwargs
    )
    return dense(x)


def score_dtype() -> str:
    """Returns the dtype of scores: float32 under a mixed precision policy, which the loss needs."""
    policy = keras.config.dtype_policy()
    return "float32" if policy.compute_dtype in ("float16", "bfloat16") else policy.compute_dtype
