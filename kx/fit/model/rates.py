"""Learning rates of single variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kx.errors import ConfigError


def scale_rates(optimizer: keras.optimizers.Optimizer, factors: Mapping[str, float]) -> None:
    """Lets an optimizer update variables by a factor of its learning rate.

    Keras has one rate for all variables. To scale their gradients has no effect with optimizers
    that divide by the gradients' own size, such as Adam.

    Args:
        optimizer: Optimizer. It is changed in place.
        factors: Factors by the path of a variable; those of others are 1.

    Raises:
        ConfigError: If the optimizer updates all variables at once.

    Example:
    >>> weight = keras.Variable([1.0, 1.0], name="weight")
    >>> optimizer = keras.optimizers.SGD(1.0)
    >>> scale_rates(optimizer, {weight.path: 0.5})
    >>> optimizer.apply([keras.ops.ones(2)], [weight])
    >>> keras.ops.convert_to_numpy(weight).tolist()
    [0.5, 0.5]
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of one that scales the loss
    update = getattr(inner, "update_step", None)
    if update is None:
        raise ConfigError(
            f"transfer: {type(inner).__name__} has no update of single variables, and so no rates"
            " of single layers. Choose another optimizer, or transfer=none."
        )

    def scaled(gradient: Any, variable: Any, learning_rate: Any) -> Any:
        # TensorFlow's backend gives its own variables, which have no path.
        known = inner._trainable_variables[inner._get_variable_index(variable)]
        factor = factors.get(known.path, 1.0)
        rate = learning_rate if factor == 1.0 else learning_rate * factor
        return update(gradient, variable, rate)

    inner.update_step = scaled
