"""Networks of `keras.applications` as a base for new scores, with or without their weights."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping
from typing import Any

import keras

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError, did_you_mean, first_line
from kx.models.images.pretrained import num_channels, on_base
from kx.models.layers import require_image, scores
from kx.types import Fraction

# Normalization of the pixels with which each architecture's ImageNet weights were trained: "none"
# if the network normalizes by itself, "caffe" if it takes the channels blue, green, red.
EXPECTED_NORMALIZATIONS = {
    **dict.fromkeys(["MobileNet", "MobileNetV2", "NASNetMobile", "NASNetLarge"], "symmetric"),
    **dict.fromkeys(["InceptionV3", "InceptionResNetV2", "Xception"], "symmetric"),
    **dict.fromkeys(["ResNet50V2", "ResNet101V2", "ResNet152V2"], "symmetric"),
    **dict.fromkeys(["ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19"], "caffe"),
    **dict.fromkeys(["DenseNet121", "DenseNet169", "DenseNet201"], "imagenet"),
    **dict.fromkeys(["MobileNetV3Small", "MobileNetV3Large"], "none"),
    **dict.fromkeys([f"EfficientNetB{number}" for number in range(8)], "none"),
    **dict.fromkeys([f"EfficientNetV2B{number}" for number in range(4)], "none"),
    **dict.fromkeys(["EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L"], "none"),
    **dict.fromkeys(
        ["ConvNeXtTiny", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge"], "none"
    ),
}

# Arguments that `application` sets itself.
_OURS = frozenset(["include_top", "input_shape", "input_tensor", "pooling", "weights", "classes",
                   "classifier_activation", "name"])  # fmt: skip


def application(
    inputs: Spec,
    outputs: Outputs,
    *,
    architecture: str = "MobileNetV2",
    weights: str | None = None,
    trainable: bool = True,
    dropout: Fraction = 0.2,
    batch_norm_momentum: float | None = 0.99,
    input_normalization: str = "symmetric",
    arguments: Mapping[str, Any] | None = None,
) -> keras.Model:
    """Builds a network of `keras.applications` with average pooling and new scores as its top.

    With weights, batch normalization keeps its loaded statistics.

    Args:
        inputs: Spec of one image, shape `(height, width, channels)`.
        outputs: Description of the scores: their number and names.
        architecture: Name of the function: `"MobileNetV2"`, `"EfficientNetV2B0"` … Defaults to
            `"MobileNetV2"`.
        weights: Weights of the base: None for random ones, `"imagenet"`, or a path to weights of
            the base (`.weights.h5`) or to a model built by this function (`.keras`). Defaults to
            None.
        trainable: Whether to train the base, too. Defaults to True.
        dropout: Dropout rate before the scores. Defaults to 0.2.
        batch_norm_momentum: Momentum of the base's batch statistics if its weights are random:
            the 0.999 of some architectures needs thousands of steps, too many for a small data
            set. None keeps the architecture's. Defaults to 0.99.
        input_normalization: Normalization of the pixels that the architecture expects;
            `data.normalize` follows it. Defaults to `"symmetric"`.
        arguments: Further arguments of the function: `{alpha: 0.35}`. Defaults to None: none.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`. Its layer `base` is the network.

    Raises:
        ConfigError: If there is no such architecture, or an argument, the images or the weights
            do not fit it.
    """
    require_image(inputs, "an architecture of keras.applications")
    if architecture not in EXPECTED_NORMALIZATIONS:
        raise ConfigError(
            f"model.architecture: there is no {architecture!r} in keras.applications."
            f" {did_you_mean(architecture, EXPECTED_NORMALIZATIONS)}"
        )
    if ours := sorted(_OURS.intersection(arguments or {})):
        raise ConfigError(f"model.arguments.{ours[0]} is set by what is around the net. Remove it.")
    expected = EXPECTED_NORMALIZATIONS[architecture]
    if input_normalization != expected:
        raise ConfigError(
            f"model.input_normalization: {architecture} expects {expected!r}. Received:"
            f" {input_normalization!r}. If model.architecture was changed, set this beside it."
        )
    known = weights is not None
    x = h = keras.Input(inputs.shape, name="inputs")
    of_keras = weights == "imagenet"
    if inputs.shape[-1] == 1 and weights and (of_keras or num_channels(weights) == 3):
        h = keras.layers.Concatenate()([h, h, h])  # grey to RGB, which the weights expect
    if expected == "caffe" and h.shape[-1] == 3:
        h = keras.ops.flip(h, axis=-1)
    base = _base(architecture, tuple(h.shape[1:]), weights, dict(arguments or {}))
    if not known and batch_norm_momentum is not None:
        for layer in base._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = batch_norm_momentum
    h = on_base(h, base, weights="loaded" if of_keras else weights, trainable=trainable)
    h = keras.layers.GlobalAveragePooling2D()(h)
    if dropout:
        h = keras.layers.Dropout(dropout)(h)
    return keras.Model(x, scores(h, outputs.units), name=architecture.lower())


def _base(
    architecture: str, shape: tuple[int, ...], weights: str | None, arguments: dict[str, Any]
) -> keras.Model:
    """Returns the network without its top, with ImageNet weights if they are wanted."""
    function = getattr(keras.applications, architecture)
    takes = [name for name in inspect.signature(function).parameters if name not in _OURS]
    for name in arguments:
        if name not in takes:
            raise ConfigError(
                f"model.arguments: {architecture} has no argument {name!r}."
                f" {did_you_mean(name, takes)}"
            )
    try:
        with warnings.catch_warnings():  # on MobileNet's input size, irrelevant without top
            warnings.filterwarnings("ignore", message=".*Weights for input shape")
            base = function(
                include_top=False, input_shape=shape,
                weights=weights if weights == "imagenet" else None, **arguments,
            )  # fmt: skip
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"model.architecture={architecture} cannot be built for images of"
            f" {shape[0]}x{shape[1]}: {first_line(error)}"
        ) from error
    except Exception as error:  # Keras passes on any error of its download
        raise ConfigError(_no_weights(architecture, error)) from error
    base.name = "base"  # not by argument `name`, by which EfficientNetV2 selects its blocks
    return base


def _no_weights(architecture: str, error: Exception) -> str:
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    folder = os.path.join(home, "models")
    return (
        f"model.weights=imagenet: the weights of {architecture} are not on this machine, and"
        f" cannot be fetched: {first_line(error, 400)}\nWays out:\n"
        f"  - with a network, the same command fetches them into {folder}\n"
        f"  - on another machine: keras.applications.{architecture}(include_top=False), then copy"
        f" the file of its ~/.keras/models into {folder}\n"
        "  - weights of your own: model.weights=FILE (.weights.h5 of the base, or a .keras of such"
        " a model)\n"
        "  - random weights: model.weights=null"
    )
