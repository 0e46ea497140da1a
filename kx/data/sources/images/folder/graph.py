"""What TensorFlow's graph makes of an image file, held against what Pillow makes of it.

The graph decodes JPEG, PNG, GIF, BMP and WebP, and not all of them as people see them: of a BMP
with a palette it gives the palette's index as grey. So both decode each file, and the pixels must
be the same. Only a JPEG is not compared, which would double the time of the look: there the
graph has Pillow's own arithmetic, and what remains, its scans tell.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from PIL import Image

from kx.data.sources.images.folder.gif import first_frame

_STRIP = 256  # rows that are compared at once: of a large picture, each copy costs memory


def reads_jpeg(encoded: bytes) -> bool:
    """Says whether the graph reads a JPEG to its end.

    Args:
        encoded: the file's bytes.
    """
    try:
        tf.io.decode_jpeg(encoded, ratio=8)  # at an eighth of the size
    except tf.errors.OpError:
        return False
    return True


def read_otherwise(encoded: bytes, picture: Image.Image, kind: str) -> str:
    """Returns how the graph differs from what is seen of a picture, or an empty string.

    Args:
        encoded: the file's bytes.
        picture: what is seen, in RGB or grey.
        kind: of the file, as Pillow calls it.
    """
    try:
        pixels = _decoded(encoded, kind)
    except tf.errors.OpError:
        return f"a kind of {kind} that TensorFlow does not read"
    return "" if _equal(pixels, picture) else f"a kind of {kind} that TensorFlow reads otherwise"


def harmed_gif(encoded: bytes, image: Image.Image) -> str:
    """Returns that the first frame of a GIF is damaged, or an empty string.

    Where codes are missing or wrong, Pillow makes up pixels, each time others. TensorFlow may
    read another picture of a good file, too (it leaves black what the frame does not fill), but
    in the frame itself both see the same.

    Args:
        encoded: the file's bytes.
        image: the same, as Pillow opened it.
    """
    alone, box = first_frame(encoded)
    try:
        pixels = _decoded(alone, "GIF")
    except tf.errors.OpError:
        return "damaged: TensorFlow finds no picture in its first frame"
    is_equal = _equal(pixels, image.crop(box).convert("RGB"))
    return "" if is_equal else "damaged: its first frame can be read in two ways"


def _decoded(encoded: bytes, kind: str) -> np.ndarray:
    """Returns the pixels that the graph gets, by the same operations."""
    if kind == "WEBP":
        return tf.image.decode_webp(encoded, channels=3)[0].numpy()
    return tf.io.decode_image(encoded, channels=3, expand_animations=False).numpy()


def _equal(pixels: np.ndarray, picture: Image.Image) -> bool:
    """Says whether pixels are a picture's, in RGB or grey."""
    width, height = picture.size
    if pixels.shape[:2] != (height, width):
        return False
    for top in range(0, height, _STRIP):
        strip = np.asarray(picture.crop((0, top, width, min(top + _STRIP, height))))
        strip = strip.reshape(*strip.shape[:2], -1)  # a last axis of one, if it is grey
        if not (pixels[top : top + _STRIP] == strip).all():
            return False
    return True
