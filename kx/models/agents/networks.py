"""Networks of agents: values of actions, and policies with a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.layers import score_dtype
from kx.types import Count


def q_table(inputs: Spec, outputs: Outputs, *, initial_value: float = 0.0) -> keras.Model:
    """Builds a table with a value for each state and action.

    Args:
        inputs: Spec of a state's number, with its `sizes`.
        outputs: Description of the values: one for each action.
        initial_value: Value of all actions before the training. Defaults to 0.

    Returns:
        Model with values of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If the states are not numbered.

    Source: Sutton & Barto 2018, "Reinforcement learning", section 6.5.

    Example:
    >>> q_table(Spec((), "int32", sizes=(16,)), Outputs(4)).count_params()
    64
    """
    if inputs.sizes is None or inputs.shape != ():
        raise ConfigError(
            f"model=q_table expects the number of a state. Received: {inputs.dtype} of shape"
            f" {inputs.shape}. For other observations: task=dqn, whose model is q_network."
        )
    x = keras.Input((), dtype=inputs.dtype, name="inputs")
    start = keras.initializers.Constant(initial_value)
    y = keras.layers.Embedding(
        inputs.sizes[0], outputs.units, start, dtype=score_dtype(), name="values"
    )(x)
    return keras.Model(x, y, name="q_table")


def q_network(
    inputs: Spec,
    outputs: Outputs,
    *,
    hidden_units: Sequence[Count] = (128, 128),
    activation: str = "relu",
) -> keras.Model:
    """Builds a multi-layer perceptron from an observation to the value of each action.

    Args:
        inputs: Spec of one observation: numbers, or the number of a state with its `sizes`.
        outputs: Description of the values: one for each action.
        hidden_units: Number of units of each hidden layer. Defaults to (128, 128).
        activation: Activation of the hidden layers. Defaults to `"relu"`.

    Returns:
        Model with values of shape `(batch, outputs.units)`.

    Source: Mnih et al. 2015, "Human-level control through deep reinforcement learning".

    Example:
    >>> q_network(Spec((4,), "float32"), Outputs(2), hidden_units=(8,)).output_shape
    (None, 2)
    """
    x = keras.Input(inputs.shape, dtype=inputs.dtype, name="inputs")
    h = _hidden(x, inputs, hidden_units, activation)
    return keras.Model(
        x,
        keras.layers.Dense(outputs.units, dtype=score_dtype(), name="values")(h),
        name="q_network",
    )


def policy_network(
    inputs: Spec,
    outputs: Mapping[str, Outputs],
    *,
    hidden_units: Sequence[Count] = (128,),
    activation: str = "tanh",
) -> keras.Model:
    """Builds two multi-layer perceptrons from an observation: a policy, and a value.

    Args:
        inputs: Spec of one observation: numbers, or the number of a state with its `sizes`.
        outputs: Outputs `"action"`, a score for each action, and `"value"`, one number.
        hidden_units: Number of units of each hidden layer, of both alike. Defaults to (128,).
        activation: Activation of the hidden layers. Defaults to `"tanh"`.

    Returns:
        Model with the outputs by name.

    Source: Williams 1992, "Simple statistical gradient-following algorithms for connectionist
    reinforcement learning"; Sutton & Barto 2018, section 13.4.

    Example:
    >>> outputs = {"action": Outputs(2), "value": Outputs(1)}
    >>> sorted(policy_network(Spec((4,), "float32"), outputs).output)
    ['action', 'value']
    """
    x = keras.Input(inputs.shape, dtype=inputs.dtype, name="inputs")
    scores = {
        name: keras.layers.Dense(output.units, dtype=score_dtype(), name=name)(
            _hidden(x, inputs, hidden_units, activation)
        )
        for name, output in outputs.items()
    }
    return keras.Model(x, scores, name="policy_network")


def _hidden(
    x: keras.KerasTensor, inputs: Spec, hidden_units: Sequence[int], activation: str
) -> keras.KerasTensor:
    """Returns the last hidden layer of a perceptron on numbers, or on numbered states."""
    if inputs.sizes is not None:
        size = inputs.sizes[0]
        h = keras.layers.CategoryEncoding(size, output_mode="one_hot")(x[..., None])
    else:
        h = keras.layers.Flatten()(x)
        if inputs.dtype == "uint8":
            h = keras.layers.Rescaling(1 / 255)(h)
    for units in hidden_units:
        h = keras.layers.Dense(units, activation=activation)(h)
    return h
