"""A net as a base: with weights of its own, frozen or not, under whatever comes above it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from kx.errors import ConfigError, first_line


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
        _load(base, Path(str(weights)).expanduser())
    base.trainable = trainable
    return base(x, training=False) if weights is not None or not trainable else base(x)


def num_channels(weights: str) -> int:
    """Returns how many channels the base in a file takes; three, where it does not say.

    Args:
        weights: of a file.
    """
    path = Path(weights).expanduser()
    if path.suffix != ".keras" or not path.is_file():
        return 3
    try:
        return int(_base_of(keras.models.load_model(path, compile=False)).input_shape[-1])
    except (ValueError, TypeError, OSError, KeyError):
        return 3  # told when it is loaded


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
                    " depth, other filters, or for other images"
                )
            base.set_weights(giver.get_weights())
        else:
            base.load_weights(path)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise ConfigError(
            f"model.weights={path} does not fit {base.count_params():,} parameters of this base:"
            f" {first_line(error)} Expected a .keras model with such a base, as `kx export` writes"
            " it, or the .weights.h5 of a base alone."
        ) from error


def _base_of(model: keras.Model) -> keras.Model:
    """Returns the layer `base` of a model, or of the model within it, under a normalization."""
    for layer in model.layers:
        if layer.name == "base":
            return layer
        if isinstance(layer, keras.Model) and any(inner.name == "base" for inner in layer.layers):
            return layer.get_layer("base")
    raise ValueError(f"the model {model.name!r} in it has no layer `base`")
