"""What the layers of a model give: features."""

from __future__ import annotations

from typing import Any

import keras

from kx.errors import ConfigError, did_you_mean


def last_features(model: keras.Model, place: str) -> keras.Model:
    """Returns a model from the same inputs to what its last layer takes.

    Args:
        model: Functional model, which may have others as layers.
        place: Config path of the model, for messages.

    Raises:
        ConfigError: If the model is not functional.
    """
    last = model
    while isinstance(last, keras.Model) and last.layers:
        inner = last.layers[-1]
        if not isinstance(inner, keras.Model):
            break
        last = inner
    given = last.layers[-1].input
    name = getattr(given, "_keras_history", [None])[0]
    if name is None:
        raise ConfigError(f"{place}: the layers of {model.name!r} are not known: it is subclassed.")
    tapped = with_layer(model, name.name, place)
    return keras.Model(tapped.input, tapped.output[1])


def with_layer(model: keras.Model, name: str, place: str) -> keras.Model:
    """Returns a model of the same layers with two outputs: the scores, and what a layer gives.

    Args:
        model: Functional model, which may have others as layers.
        name: Name of the layer.
        place: Config path of the name, for messages.

    Raises:
        ConfigError: If the model is not functional, or has no such layer.
    """
    layers = model._flatten_layers(include_self=False)
    names = [layer.name for layer in layers if not isinstance(layer, keras.layers.InputLayer)]
    if name not in names:
        raise ConfigError(
            f"{place}: the model {model.name!r} has no layer {name!r}."
            f" {did_you_mean(name, names, 'Layers')}"
        )
    if not model.inputs:
        raise ConfigError(
            f"{place}: the model {model.name!r} is subclassed, and the outputs of its"
            " layers are not known. Expected a functional model, keras.Model(inputs, outputs)."
        )
    return _tapped(model, name)


def _tapped(model: keras.Model, name: str) -> keras.Model:
    found = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        inner = isinstance(layer, keras.Model) and layer.name != name
        if inner and any(one.name == name for one in layer._flatten_layers(include_self=False)):
            output, features = _tapped(layer, name)(*args, **kwargs)
            found.append(features)
            return output
        output = layer(*args, **kwargs)
        if layer.name == name:
            found.append(output)
        return output

    functional = getattr(model, "_functional", None) or model  # that of a Sequential model
    again = keras.models.clone_model(
        functional, call_function=call, clone_function=lambda layer: layer
    )
    return keras.Model(again.input, [again.output, found[0]], name=model.name)
