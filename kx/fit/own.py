"""A user's own objects: callbacks, and an optimizer that the config records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kx.config import CONF_DIR, load_yaml, plain
from kx.config.overrides import word
from kx.errors import NO_METRIC, ConfigError, did_you_mean

_WATCHING = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
)


def checked_callbacks(given: Any) -> list[keras.callbacks.Callback]:
    """Returns a user's own callbacks as a list.

    Args:
        given: Callback, or a sequence of callbacks.

    Raises:
        ConfigError: If an object is not a Keras callback.
    """
    callbacks = list(given) if isinstance(given, Sequence) else [given]
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ConfigError(
                "callbacks: expected keras.callbacks.Callback objects, an option's name, or a"
                f" mapping of entries. Received: {callback!r}."
            )
    return callbacks


def refuse_absent_metrics(
    callbacks: Sequence[keras.callbacks.Callback], available: Sequence[str]
) -> None:
    """Raises an error if one of a user's Keras callbacks monitors a metric that is not available.

    Args:
        callbacks: Callbacks of the user.
        available: Names of the available metrics.

    Raises:
        ConfigError: If there is such a callback.
    """
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if isinstance(callback, _WATCHING) and monitor not in available:
            raise ConfigError(
                f"callbacks: {type(callback).__name__}(monitor={monitor!r}): {NO_METRIC}"
                f" {monitor!r}. {did_you_mean(str(monitor), available, 'Metrics')}"
            )


def optimizer_words(optimizer: keras.optimizers.Optimizer) -> list[str]:
    """Returns the overrides with which the config describes an optimizer.

    The config then records all of its arguments, so that the run can be reproduced.

    Args:
        optimizer: Optimizer of a Keras class that an option has, with a constant learning
            rate.

    Raises:
        ConfigError: If the config cannot describe it, or if it has been trained before.
    """
    kind = type(optimizer)
    options = _options()
    name = next((n for n, node in options.items() if _names(node, kind)), None)
    config = optimizer.get_config()
    rate = config.get("learning_rate")
    if name is None or isinstance(rate, dict):
        what = "a learning-rate schedule" if name else f"the class {kind.__name__}"
        raise ConfigError(
            f"optimizer: an object with {what} is not taken, since the config could not say what"
            f" it is. Options: {', '.join(sorted(options))}, with their keys"
            " (optimizer.learning_rate=1e-3) and a schedule (schedule=cosine …). For a class of"
            " your own: an option of yours, conf/optimizer/NAME.yaml with its _target_."
        )
    if optimizer.built and int(optimizer.iterations.numpy()):
        raise ConfigError(
            "optimizer: this one has trained before. A run begins with a new one: give its"
            " arguments, or keras.optimizers.…(…) again."
        )
    if getattr(optimizer, "_exclude_from_weight_decay", None) or getattr(
        optimizer, "_exclude_from_weight_decay_pattern", None
    ):
        raise ConfigError(
            "optimizer: exclude_from_weight_decay(…) would be left out, since Keras's own config of"
            " an optimizer does not have it. Take an option of your own: a function that makes the"
            " optimizer and excludes them, as _target_ of conf/optimizer/NAME.yaml."
        )
    kept = {key: _plain(config[key]) for key in options[name] if key in config}
    left = {
        k: v for k, v in config.items() if k not in kept and k not in ("name", "loss_scale_factor")
    }
    default = kind().get_config()
    left["loss_scale_factor"] = optimizer.loss_scale_factor  # Keras leaves it out of get_config
    unknown = [key for key, value in left.items() if value != default.get(key)]
    if unknown:
        raise ConfigError(
            f"optimizer: the option {name} lists no {', '.join(unknown)}. Add"
            f" {' '.join(word(f'+optimizer.{key}', _plain(left[key])) for key in unknown)}"
        )
    return [f"optimizer={name}", *(word(f"optimizer.{key}", v) for key, v in kept.items())]


def _options() -> dict[str, dict[str, Any]]:
    files = sorted((CONF_DIR / "optimizer").glob("*.yaml"))
    return {file.stem: plain(load_yaml(file)) for file in files}


def _names(node: dict[str, Any], kind: type) -> bool:
    return str(node.get("_target_")) == f"keras.optimizers.{kind.__name__}" and (
        getattr(keras.optimizers, kind.__name__, None) is kind
    )


def _plain(value: Any) -> Any:
    """Returns a number as it was written: Keras stores .001 as float32 .0010000000474974513."""
    return float(str(np.float32(value))) if isinstance(value, float) else value
