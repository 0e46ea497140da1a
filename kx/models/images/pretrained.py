"""A net as a base: with weights of its own, frozen or not, under whatever comes above it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from kx.errors import ConfigError, first_line
from kx.paths import expanded

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels


def on_base(
    x: Any, base: keras.Model, *, weights: str | None = None, trainable: bool = True
) -> Any:
    """Returns what a base makes of a tensor; it is a layer of the model then, by its name.

    A base that has weights of its own, or that does not learn, is called in inference mode:
    its batch normalizations keep the statistics that they came with.

    Args:
        x: the tensor.
        base: the base.
        weights: None for those that it has by chance, `"loaded"` if it has others already, or
            a file: its weights (`.weights.h5`), or a model with such a base (`.keras`).
        trainable: whether it learns, too.

    Raises:
        ConfigError: if the file is not there, or does not fit.
    """
    if weights not in (None, "loaded"):
        _load(base, expanded(str(weights)))
    base.trainable = trainable
    return base(x, training=False) if weights is not None or not trainable else base(x)


def num_channels(weights: str) -> int:
    """Returns how many channels the base in a file takes; three, where it does not say.

    Args:
        weights: of a file.
    """
    path = expanded(weights)
    try:
        if path.suffix != ".keras":
            return _fewest_channels(path)
        return int(_base_of(keras.models.load_model(path, compile=False)).input_shape[-1])
    except (ValueError, TypeError, OSError, KeyError):
        return 3  # told when it is loaded


def _fewest_channels(path: Path) -> int:
    """Returns what the first convolution in a file of weights takes: no other takes fewer."""
    found = [3]

    def look(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape) == 4:
            found.append(item.shape[2])

    with h5py.File(path) as file:
        file.visititems(look)
    return min(found)


def _load(base: keras.Model, path: Path) -> None:
    """Loads weights of the base alone, or the base of a whole model."""
    if not path.is_file():
        hint = " Models of keras.applications have ImageNet's: model=mobilenet, resnet50 …"
        raise ConfigError(
            f"model.weights: there is no file {path}." + (hint if path.name == "imagenet" else "")
        )
    try:
        if path.suffix == ".keras":
            giver = _base_of(keras.models.load_model(path, compile=False))
            if [w.shape for w in giver.weights] != [w.shape for w in base.weights]:
                raise ValueError(
                    f"the base in it has {giver.count_params():,}, and was built with another"
                    " depth, other filters, or for images of other channels"
                )
            if _kinds(giver) != _kinds(base):
                raise ValueError("the base in it has other layers: it is of another architecture")
            base.set_weights(giver.get_weights())
            _scale_pixels(base, _second_scale(giver) if _second_scale(base) is None else None)
        else:
            with warnings.catch_warnings():  # of each layer that does not fit: one error says it
                warnings.filterwarnings("ignore", category=UserWarning, module="keras")
                base.load_weights(path)
            _scale_pixels(base, _scale_of_imagenet(base))
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise ConfigError(
            f"model.weights={path} does not fit {base.count_params():,} parameters of this base:"
            f" {first_line(error).rstrip('. ')}. Expected a .keras model with such a base, as `kx"
            " export` writes it (beside its model.weights.h5, which is of the whole model), or the"
            " .weights.h5 of a base alone."
        ) from error


def _kinds(base: keras.Model) -> list[type]:
    without = (keras.layers.InputLayer, keras.layers.Rescaling)
    return [type(layer) for layer in base.layers if not isinstance(layer, without)]


def _adapted(base: keras.Model) -> list[keras.layers.Normalization]:
    """Returns the normalizations whose mean and variance are weights, not arguments."""
    found = [layer for layer in base.layers if isinstance(layer, keras.layers.Normalization)]
    return [layer for layer in found if layer.weights]


def _second_scale(base: keras.Model) -> np.ndarray | None:
    """Returns what EfficientNet multiplies normalized pixels by, if it has ImageNet's weights.

    Keras builds that layer for these weights alone, and the base of a file is built without.
    """
    scales = [layer.scale for layer in base.layers if isinstance(layer, keras.layers.Rescaling)]
    return np.array(scales[1], "float64") if len(scales) > 1 else None


def _scale_of_imagenet(base: keras.Model) -> np.ndarray | None:
    """Returns it for Keras's own file of ImageNet's weights, known by its normalization."""
    for layer in _adapted(base) if _second_scale(base) is None else []:
        mean, variance = (np.ravel(values) for values in layer.get_weights()[:2])
        known = mean.size == len(_MEAN) and np.allclose(mean, _MEAN, atol=1e-3)
        if known and np.allclose(variance, _DEVIATION, atol=1e-3):
            return 1 / np.sqrt(_DEVIATION)
    return None


def _scale_pixels(base: keras.Model, scale: np.ndarray | None) -> None:
    """Lets the normalization of the base do what a scale after it would."""
    for layer in _adapted(base):
        mean, variance, *count = layer.get_weights()
        factor = 1.0 if scale is None else scale**-2
        layer.set_weights([mean, variance * factor, *count])
        layer.finalize_state()  # which `set_weights` leaves as it was


def _base_of(model: keras.Model) -> keras.Model:
    """Returns the layer `base` of a model, or of the model within it, under a normalization."""
    for layer in model.layers:
        if layer.name == "base":
            return layer
        if isinstance(layer, keras.Model) and any(inner.name == "base" for inner in layer.layers):
            return layer.get_layer("base")
    raise ValueError(f"the model {model.name!r} in it has no layer `base`")
