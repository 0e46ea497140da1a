"""Models on flattened input: linear and multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.layers import batch_normalized, penalty, scores
from kx.types import Count, Fraction, NonNegative


def linear(
    inputs: Spec,
    outputs: Outputs,
    *,
    kernel_initializer: str = "glorot_uniform",
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
) -> keras.Model:
    """Builds a logistic or linear regression: one dense layer.

    Args:
        inputs: Spec of one example, of any shape. It is flattened.
        outputs: Description of the scores: their number and names.
        kernel_initializer: Initializer of the weights. Defaults to `"glorot_uniform"`.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are token ids.
    """
    _refuse_tokens(inputs, "linear")
    x = keras.Input(inputs.shape, name="inputs")
    h = keras.layers.Flatten()(x)
    y = scores(h, outputs.units, l1, l2, kernel_initializer=kernel_initializer)
    return keras.Model(x, y, name="linear")


def mlp(
    inputs: Spec,
    outputs: Outputs,
    *,
    hidden_units: Sequence[Count] = (128, 64),
    activation: str = "relu",
    dropout: Fraction = 0.0,
    batch_normalization: bool = False,
    residual: bool = False,
    kernel_initializer: str = "glorot_uniform",
    l1: NonNegative = 0.0,
    l2: NonNegative = 0.0,
) -> keras.Model:
    """Builds a multi-layer perceptron.

    Args:
        inputs: Spec of one example, of any shape. It is flattened.
        outputs: Description of the scores: their number and names.
        hidden_units: Width of each hidden dense layer. Defaults to `(128, 64)`.
        activation: Activation of the hidden layers. Defaults to `"relu"`.
        dropout: Dropout rate after each hidden layer. Defaults to 0.
        batch_normalization: Whether to normalize batches before each activation. Defaults to
            False.
        residual: Whether to add the input of each hidden layer to its output; the input is
            projected if the widths differ. Defaults to False.
        kernel_initializer: Initializer of the weights. Defaults to `"glorot_uniform"`.
        l1: Strength of the L1 penalty. Defaults to 0.
        l2: Strength of the L2 penalty. Defaults to 0.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the inputs are token ids.

    Example:
    >>> model = mlp(Spec((13,), "float32"), Outputs(3), hidden_units=[32])
    >>> model.output_shape
    (None, 3)
    """
    _refuse_tokens(inputs, "mlp")
    x = keras.Input(inputs.shape, name="inputs")
    h = keras.layers.Flatten()(x)
    for units in hidden_units:
        shortcut = h
        h = keras.layers.Dense(
            units,
            use_bias=not batch_normalization,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=penalty(l1, l2),
        )(h)
        if batch_normalization:
            h = batch_normalized(h)
        h = keras.layers.Activation(activation)(h)
        if dropout:
            h = keras.layers.Dropout(dropout)(h)
        if residual:
            if shortcut.shape[-1] != units:
                shortcut = keras.layers.Dense(units, use_bias=False)(shortcut)
            h = keras.layers.Add()([shortcut, h])
    y = scores(h, outputs.units, l1, l2, kernel_initializer=kernel_initializer)
    return keras.Model(x, y, name="mlp")


def _refuse_tokens(inputs: Spec, model: str) -> None:
    if inputs.vocabulary_size is not None:
        raise ConfigError(
            f"model={model} expects numbers; these inputs are token ids (a vocabulary of"
            f" {inputs.vocabulary_size}). For texts: model=lstm."
        )
