"""Image files of any kind: whether they can be read, and the same picture as the graph reads it.

TensorFlow's graph decodes JPEG, PNG, GIF, BMP and WebP. What else Pillow can open (TIFF,
CMYK …), and pictures that EXIF turns, is converted here, on the host: once before a training,
and in the same way for each file that is asked about.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from kx.errors import DataError, first_line

MAX_MEGAPIXELS = 100.0
_IN_GRAPH = ("JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP")  # MPO: JPEG with a second picture
_EXIF_ORIENTATION = 0x0112
_WHITE = 0xFFFF  # of 16 bits
_DARK = 0x1000  # of 12 bits, as cameras of microscopes have them
_BAD_FILE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)


@dataclass(frozen=True)
class Checked:
    """Holds what a file turned out to be.

    Args:
        problem: why it cannot be used; empty if it can.
        convert: why it must be converted first; empty if the graph reads it as it is.
        width: in pixels, 0 if not known.
        height: likewise.
    """

    problem: str = ""
    convert: str = ""
    width: int = 0
    height: int = 0


@contextlib.contextmanager
def pixel_limit(max_megapixels: float) -> Iterator[None]:
    """Sets how large a picture may be that Pillow opens, for this process."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = int(max_megapixels * 1e6)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; and what is too large we say
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def check_image(encoded: bytes, max_megapixels: float = MAX_MEGAPIXELS) -> Checked:
    """Opens and decodes a file, and says what is wrong with it.

    Args:
        encoded: the file's bytes.
        max_megapixels: of the largest picture that is taken, in millions of pixels.

    Example:
    >>> check_image(b"").problem
    'the file is empty'
    """
    if not encoded.strip(b"\0"):
        return Checked("the file is empty" if not encoded else "the file is all zeros")
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            width, height = image.size
            if width * height > max_megapixels * 1e6:
                return Checked(
                    _too_large(
                        f"{width}x{height}, {width * height / 1e6:,.0f} megapixels", max_megapixels
                    ),
                    "",
                    width,
                    height,
                )
            convert = _why_convert(image)
            if convert or not _graph_reads(encoded, image.format or ""):
                image.load()  # all of it: a cut file is found here
                convert = convert or f"a kind of {image.format} that TensorFlow does not read"
                if problem := _unknown_range(image):
                    return Checked(problem, "", width, height)
            return Checked("", convert, width, height)
    except Image.DecompressionBombError as error:
        count = re.search(r"\d+", str(error))  # Pillow counts, and opens no further
        size = f"{int(count[0]) / 1e6:,.0f} megapixels" if count else first_line(error)
        return Checked(_too_large(size, max_megapixels))
    except UnidentifiedImageError:
        return Checked(f"no image: it begins with {encoded[:12]!r}")
    except _BAD_FILE as error:
        return Checked(f"damaged: {first_line(error)}")


def begins_as_picture(path: str) -> bool:
    """Says whether a file may be a picture, by its first bytes.

    Args:
        path: of the file.
    """
    try:
        with Image.open(path):
            return True
    except UnidentifiedImageError:
        return False
    except (Image.DecompressionBombError, *_BAD_FILE):
        return True  # as the closer look will say


def _unknown_range(image: Image.Image) -> str:
    """Returns why nobody can tell which of a picture's numbers is white, or an empty string."""
    if image.mode == "F":
        return "its pixels are floats, of no known range"
    if image.mode.startswith("I"):
        least, most = (int(value) for value in image.getextrema())  # type: ignore[arg-type]
        if least < 0 or most > _WHITE:
            return f"its pixels are whole numbers from {least} to {most}, of no known range"
    return ""


def _too_large(what: str, max_megapixels: float) -> str:
    return f"too large: {what}; at most {max_megapixels:g} (data.max_megapixels)"


def _why_convert(image: Image.Image) -> str:
    """Returns why the graph would read another picture than people see, or an empty string."""
    if image.mode.startswith("I"):
        image.load()
        most = int(image.getextrema()[1])  # type: ignore[arg-type]
        if most < _DARK:
            return (
                f"16 bits of grey, of which white is {_WHITE} and its lightest pixel {most}: dark"
            )
    if image.format not in _IN_GRAPH:
        return str(image.format)
    if image.has_transparency_data and not image.mode.startswith("I"):
        least = image.convert("RGBA").getchannel("A").getextrema()[0]
        if int(least) < 255:  # type: ignore[arg-type]
            return "transparent parts, which are laid on white"
    if image.format in ("JPEG", "MPO") and image.mode not in ("L", "RGB"):
        return f"{image.mode} colours"
    if image.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1):
        return "turned by EXIF"
    return ""


def _graph_reads(encoded: bytes, kind: str) -> bool:
    try:
        if kind in ("JPEG", "MPO"):  # read to its end, at an eighth of the size
            tf.io.decode_jpeg(encoded, ratio=8)
        elif kind == "WEBP":
            tf.image.decode_webp(encoded, channels=3)
        else:
            tf.io.decode_image(encoded, channels=3, expand_animations=False)
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
        return False
    return True


def converted(encoded: bytes) -> bytes:
    """Returns a picture in RGB or grey, turned as EXIF says; of several, the first.

    It is a PNG of the very pixels; what was a JPEG is one again, of high quality: as PNG,
    photographs take seven times the place.

    Args:
        encoded: a file that `check_image` says to convert.
    """
    with Image.open(io.BytesIO(encoded)) as opened:
        image = ImageOps.exif_transpose(opened) or opened
        if image.mode.startswith("I"):  # 16 bits of grey: the upper eight, as the graph has them
            image = Image.fromarray((np.asarray(image).astype("uint32") >> 8).astype("uint8"))
        is_grey = image.mode in ("1", "L", "LA")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            paper = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(paper, image)
        image = image.convert("L" if is_grey else "RGB")
        was_jpeg = opened.format in ("JPEG", "MPO")
    out = io.BytesIO()
    if was_jpeg:
        image.save(out, "JPEG", quality=95, subsampling=0)
    else:
        image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def readable(encoded: bytes, name: str, max_megapixels: float = MAX_MEGAPIXELS) -> bytes:
    """Returns what the graph can read of a file that is asked about.

    Args:
        encoded: the file's bytes.
        name: for the message.
        max_megapixels: of the largest picture that is taken, as in the training.

    Raises:
        DataError: if it is no picture, damaged, or too large.
    """
    with pixel_limit(max_megapixels):
        checked = check_image(encoded, max_megapixels)
        if checked.problem:
            raise DataError(f"{name}: {checked.problem}. Expected a picture: JPEG, PNG, GIF, BMP,"
                            " WebP, TIFF …")  # fmt: skip
        return converted(encoded) if checked.convert else encoded
