"""Base networks: loading of their weights, and use as a trainable or frozen layer."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from kx.errors import ConfigError, first_line
from kx.paths import expanded

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, RGB


def on_base(
    x: Any, base: keras.Model, *, weights: str | None = None, trainable: bool = True
) -> Any:
    """Applies a base network to a tensor, as one layer of the model.

    A base with loaded weights, or one that is not trainable, is called in inference mode: its
    batch normalizations keep their statistics.

    Args:
        x: Input tensor.
        base: Base network.
        weights: None for the base's random weights, `"loaded"` if it already has other ones, or
            a path to its weights (`.weights.h5`) or to a model with such a base (`.keras`).
            Defaults to None.
        trainable: Whether to train the base, too. Defaults to True.

    Returns:
        Output tensor of the base.

    Raises:
        ConfigError: If the file does not exist, or does not fit the base.
    """
    if weights not in (None, "loaded"):
        _load(base, expanded(str(weights)))
    base.trainable = trainable
    return base(x, training=False) if weights is not None or not trainable else base(x)


def num_channels(weights: str) -> int:
    """Returns the number of input channels of the base in a file.

    Args:
        weights: Path to the file.

    Returns:
        Number of channels; 3 if it cannot be read from the file.
    """
    path = expanded(weights)
    try:
        if path.suffix != ".keras":
            return _fewest_channels(path)
        return int(_base_of(keras.models.load_model(path, compile=False)).input_shape[-1])
    except (ValueError, TypeError, OSError, KeyError):
        return 3  # `_load` reports the error


def _fewest_channels(path: Path) -> int:
    """Returns the input channels of the first convolution in a file: no other has fewer."""
    found = [3]

    def look(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape) == 4:
            found.append(item.shape[2])

    with h5py.File(path) as file:
        file.visititems(look)
    return min(found)


def _load(base: keras.Model, path: Path) -> None:
    """Loads the base's weights from a file of weights, or from a model with such a base."""
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
            with warnings.catch_warnings():  # one for each layer; the error says it once
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
    """Returns the normalization layers whose mean and variance are weights, not arguments."""
    found = [layer for layer in base.layers if isinstance(layer, keras.layers.Normalization)]
    return [layer for layer in found if layer.weights]


def _second_scale(base: keras.Model) -> np.ndarray | None:
    """Returns the factor of EfficientNet's second rescaling layer, or None without that layer."""
    # Keras adds the layer, after the normalization, for ImageNet's weights only. The base for a
    # file is built without it.
    scales = [layer.scale for layer in base.layers if isinstance(layer, keras.layers.Rescaling)]
    return np.array(scales[1], "float64") if len(scales) > 1 else None


def _scale_of_imagenet(base: keras.Model) -> np.ndarray | None:
    """Returns the second scale if the weights are Keras's for ImageNet, by their normalization."""
    for layer in _adapted(base) if _second_scale(base) is None else []:
        mean, variance = (np.ravel(values) for values in layer.get_weights()[:2])
        known = mean.size == len(_MEAN) and np.allclose(mean, _MEAN, atol=1e-3)
        # Keras's file has deviations in place of variances, and 1 / sqrt(deviation) corrects it.
        if known and np.allclose(variance, _DEVIATION, atol=1e-3):
            return 1 / np.sqrt(_DEVIATION)
    return None


def _scale_pixels(base: keras.Model, scale: np.ndarray | None) -> None:
    """Multiplies the base's normalization by a scale, through its variance."""
    for layer in _adapted(base):
        mean, variance, *count = layer.get_weights()
        factor = 1.0 if scale is None else scale**-2
        layer.set_weights([mean, variance * factor, *count])
        layer.finalize_state()  # `set_weights` does not update the derived state


def _base_of(model: keras.Model) -> keras.Model:
    """Returns the layer `base` of a model, or of a model within it (behind a normalization)."""
    for layer in model.layers:
        if layer.name == "base":
            return layer
        if isinstance(layer, keras.Model) and any(inner.name == "base" for inner in layer.layers):
            return layer.get_layer("base")
    raise ValueError(f"the model {model.name!r} in it has no layer `base`")
