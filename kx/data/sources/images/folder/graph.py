"""Comparison of the pixels that TensorFlow's graph and Pillow decode from an image file.

The graph decodes JPEG, PNG, GIF, BMP and WebP, but not all of them as viewers show them: from a
BMP with a palette it returns the palette's indices as grey. Therefore both decode each file, and
the pixels must be equal. Only a JPEG is not compared, which would double the time of the check:
the graph decodes it with the same arithmetic as Pillow, and its scans are checked instead.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from PIL import Image

from kx.data.sources.images.folder.gif import first_frame

_STRIP = 256  # rows that are compared at a time: a copy of a large image needs much memory


def reads_jpeg(encoded: bytes) -> bool:
    """Returns whether the graph can decode a whole JPEG.

    Args:
        encoded: Bytes of the file.
    """
    try:
        tf.io.decode_jpeg(encoded, ratio=8)  # at an eighth of the size, to save time
    except tf.errors.OpError:
        return False
    return True


def read_otherwise(encoded: bytes, picture: Image.Image, kind: str) -> str:
    """Returns how the pixels of the graph differ from those of an image, or an empty string.

    Args:
        encoded: Bytes of the file.
        picture: Image as viewers show it, in RGB or grey.
        kind: Pillow's name of the format.
    """
    try:
        pixels = _decoded(encoded, kind)
    except tf.errors.OpError:
        return f"a kind of {kind} that TensorFlow does not read"
    return "" if _equal(pixels, picture) else f"a kind of {kind} that TensorFlow reads otherwise"


def harmed_gif(encoded: bytes, image: Image.Image) -> str:
    """Returns the problem of a GIF whose first frame is damaged, or an empty string.

    Where codes are missing or wrong, Pillow returns other pixels each time. TensorFlow may decode
    another image from an intact file, too (pixels outside the frame are black), but within the
    frame both are equal.

    Args:
        encoded: Bytes of the file.
        image: Image that Pillow opened from them.
    """
    alone, box = first_frame(encoded)
    try:
        pixels = _decoded(alone, "GIF")
    except tf.errors.OpError:
        return "damaged: TensorFlow finds no picture in its first frame"
    is_equal = _equal(pixels, image.crop(box).convert("RGB"))
    return "" if is_equal else "damaged: its first frame can be read in two ways"


def _decoded(encoded: bytes, kind: str) -> np.ndarray:
    """Returns the pixels of a file, decoded by the operations of the graph."""
    if kind == "WEBP":
        return tf.image.decode_webp(encoded, channels=3)[0].numpy()
    return tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()


def _equal(pixels: np.ndarray, picture: Image.Image) -> bool:
    """Returns whether pixels are equal to those of an image in RGB or grey."""
    width, height = picture.size
    if pixels.shape[:2] != (height, width):
        return False
    for top in range(0, height, _STRIP):
        strip = np.asarray(picture.crop((0, top, width, min(top + _STRIP, height))))
        strip = strip.reshape(*strip.shape[:2], -1)  # with a last axis of one for grey
        if not (pixels[top : top + _STRIP] == strip).all():
            return False
    return True
