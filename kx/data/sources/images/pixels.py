"""Preparation of images in TensorFlow's graph, their normalization, and scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

import keras
import numpy as np
import tensorflow as tf

from kx.contracts.examples import Examples
from kx.contracts.specs import Spec
from kx.errors import ConfigError, did_you_mean
from kx.types import Normalization


def decode_image(
    shape: tuple[int, int, int], *, resize: str = "stretch", crop_fraction: float = 1.0
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the preparation of images: encoded bytes to uint8 pixels of one shape.

    JPEG, PNG, GIF (the first frame), BMP and WebP of any size are decoded. Images of another
    size than `shape` are resized with antialiasing.

    Args:
        shape: `(height, width, channels)`, 1 or 3 channels.
        resize: How an image of another aspect ratio is resized: `"stretch"`; `"crop"`: the largest
            centred crop of the right aspect ratio is resized; `"pad"`: the whole image is resized
            and padded with black bars. Defaults to `"stretch"`.
        crop_fraction: With `"crop"`, the fraction of the side of the crop that is kept. ImageNet
            models are evaluated with 0.875: the centre 224 of 256 pixels. Defaults to 1.

    Returns:
        Function from a scalar string to a uint8 tensor of `shape`.

    Raises:
        ConfigError: If `resize` is unknown, or `crop_fraction` is out of range or not for it.
    """
    height, width, channels = shape
    ways: dict[str, Callable[..., tf.Tensor]] = {
        "stretch": _resize,
        "pad": _pad,
        "crop": partial(_crop, fraction=crop_fraction),
    }
    if resize not in ways:
        raise ConfigError(f"data.resize: {did_you_mean(resize, ways)} Received: {resize!r}.")
    if not 0 < crop_fraction <= 1:
        raise ConfigError(
            f"data.crop_fraction: expected more than 0, at most 1. Received: {crop_fraction}."
        )
    if crop_fraction != 1 and resize != "crop":
        raise ConfigError(
            f"data.crop_fraction={crop_fraction} is of data.resize=crop: with {resize} the whole"
            " image is kept. Leave it out, or choose data.resize=crop."
        )
    whole = crop_fraction == 1

    # Without Python's control flow on tensors: to look for it takes longer than to trace it.
    @tf.autograph.experimental.do_not_convert
    def prepare(encoded: tf.Tensor) -> tf.Tensor:
        image = _decode(encoded, channels)
        same = tf.reduce_all(tf.shape(image)[:2] == (height, width)) & whole
        image = tf.cond(same, lambda: image, lambda: ways[resize](image, height, width))
        return tf.ensure_shape(image, shape)

    return prepare


def _decode(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes by the first bytes of the file, since `tf.io.decode_image` does not support WebP."""
    is_webp = tf.logical_and(
        tf.strings.substr(encoded, 0, 4) == b"RIFF", tf.strings.substr(encoded, 8, 4) == b"WEBP"
    )
    is_jpeg = tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"

    def webp() -> tf.Tensor:
        image = tf.image.decode_webp(encoded, channels=3)[0]
        return image if channels == 3 else _gray(image)

    def jpeg() -> tf.Tensor:
        # Bit for bit as Pillow decodes it. TensorFlow's default is a cosine transform that with
        # today's libjpeg saves no time, and differs by 1 on average; in a damaged file, by 255.
        return tf.io.decode_jpeg(encoded, channels=channels, dct_method="INTEGER_ACCURATE")

    def decoded(channels: int) -> tf.Tensor:
        return tf.io.decode_image(encoded, channels=channels, expand_animations=False)

    def other() -> tf.Tensor:
        if channels == 3:
            return decoded(3)
        # GIF and BMP have no grey decoder: they are decoded to RGB, then converted to grey.
        first = tf.strings.substr(encoded, 0, 2)
        is_rgb_only = tf.logical_or(first == b"BM", first == b"GI")
        return tf.cond(is_rgb_only, lambda: _gray(decoded(3)), lambda: decoded(1))

    image = tf.cond(is_jpeg, jpeg, lambda: tf.cond(is_webp, webp, other))
    return tf.ensure_shape(image, (None, None, channels))


def _gray(image: tf.Tensor) -> tf.Tensor:
    return tf.image.rgb_to_grayscale(image)


def _resize(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    resized = tf.image.resize(image, (height, width), antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def _crop(image: tf.Tensor, height: int, width: int, fraction: float) -> tf.Tensor:
    """Crops the centre of an image, then resizes it: fewer pixels than in the other order."""
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.reduce_min(size / (height, width)) * fraction
    part = tf.maximum(1, tf.cast(tf.round((height * scale, width * scale)), tf.int32))
    part = tf.minimum(part, tf.shape(image)[:2])
    first = (tf.shape(image)[:2] - part) // 2
    middle = image[first[0] : first[0] + part[0], first[1] : first[1] + part[1]]
    return _resize(middle, height, width)


def _pad(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.reduce_min((height, width) / size)
    inner = tf.maximum(1, tf.cast(tf.round(size * scale), tf.int32))
    resized = tf.image.resize(image, inner, antialias=True)
    resized = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
    first = ((height, width) - inner) // 2
    return tf.image.pad_to_bounding_box(resized, first[0], first[1], height, width)


# Mean and standard deviation of each channel, for pixels from 0 to 1.
_STATISTICS = {
    "mnist": ((0.1307,), (0.3081,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": ((103.939 / 255, 116.779 / 255, 123.68 / 255)[::-1], (1 / 255,) * 3),
}


def normalization(kind: str, channels: int = 3) -> keras.layers.Layer | None:
    """Returns the first layer of a model on images.

    Args:
        kind: `"unit"`: to [0, 1]; `"symmetric"`: to [-1, 1]; `"standardize"`: each channel
            by the mean and variance of the training split; `"mnist"`, `"imagenet"`: each
            channel by the mean and standard deviation of that data set; `"caffe"`: 0 to 255 minus
            the mean of ImageNet; `"none"`: 0 to 255, for models that normalize their inputs.
        channels: Number of channels of the images. Defaults to 3.

    Returns:
        Keras layer, or None for `"none"`.

    Raises:
        ConfigError: If `kind` is unknown, or needs three channels and there is one.
    """
    if kind == "unit":
        return keras.layers.Rescaling(1.0 / 255, name="normalize")
    if kind == "symmetric":
        return keras.layers.Rescaling(1.0 / 127.5, offset=-1.0, name="normalize")
    if kind == "standardize":
        return keras.layers.Normalization(axis=-1, name="normalize", dtype=keras.config.floatx())
    if kind in _STATISTICS:
        mean, deviation = (np.array(values, "float64") for values in _STATISTICS[kind])
        scale, offset = 1 / (255 * deviation), -mean / deviation
        if len(mean) != 1 and channels == 1:
            raise ConfigError(
                f"data.normalize={kind} is of three channels, and these images are grey. Show"
                " them as colours (data.channels=3, where the data has it), or take another base:"
                " model=mobilenet, model=efficientnet."
            )
        if len(mean) == 1:
            return keras.layers.Rescaling(float(scale[0]), float(offset[0]), name="normalize")
        return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="normalize")
    if kind == "none":
        return None
    hint = did_you_mean(kind, get_args(Normalization))
    raise ConfigError(f"data.normalize: {hint} Received: {kind!r}.")


def image_examples(
    encoded: list[bytes],
    labels: np.ndarray,
    *,
    shape: tuple[int, int, int],
    class_names: tuple[str, ...],
    normalize: str,
    name: str,
    source: str,
) -> Examples:
    """Returns the examples of images that are in memory as encoded bytes.

    Args:
        encoded: Content of each file.
        labels: Class indices, shape `(num_examples,)`.
        shape: `(height, width, channels)` of a prepared image.
        class_names: Name of each class.
        normalize: As in `normalization`.
        name: Name of the data set.
        source: Where it came from.
    """
    return Examples(
        encoded,
        labels,
        Spec(shape, "uint8"),
        Spec((), "int32", class_names=class_names),
        prepare=decode_image(shape),
        normalize=normalization(normalize, shape[-1]),
        kind="image",
        name=name,
        source=source,
    )


def digits(*, normalize: Normalization = "unit") -> Examples:
    """Loads scikit-learn's handwritten digits: 1,797 grey images of 8x8, 10 classes.

    Args:
        normalize: As in `normalization`. Defaults to `"unit"`.

    Returns:
        Raw examples are PNG bytes; prepared ones uint8 of shape `(8, 8, 1)`.

    Source: Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.round(bunch.images * (255 / 16)).astype("uint8")[..., None]  # 0..16 -> 0..255
    return image_examples(
        [tf.io.encode_png(image).numpy() for image in pixels],
        bunch.target,
        shape=(8, 8, 1),
        class_names=tuple(str(name) for name in bunch.target_names),
        normalize=normalize,
        name="digits",
        source="sklearn.datasets.load_digits",
    )
