"""Check and conversion of image files of any format.

Files that TensorFlow's graph cannot read, or reads in another way than viewers show them (TIFF,
CMYK, rotated by EXIF …), are converted here, outside the graph: once before training, and in the
same way for each file to predict.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kx.data.sources.images.folder.graph import harmed_gif, read_otherwise, reads_jpeg
from kx.data.sources.images.folder.jpeg import MAX_SCANS, has_all_scans
from kx.errors import DataError, first_line

MAX_MEGAPIXELS = 100.0
_JPEG = ("JPEG", "MPO")  # MPO: JPEG with a second image
_IN_GRAPH = (*_JPEG, "PNG", "GIF", "BMP", "WEBP")
_EXIF_ORIENTATION = 0x0112
_PNG_DEPTH = 24  # offset of the bit depth in the file
_WHITE = 0xFFFF  # with 16 bits
_DARK = 0x1000  # smaller values are of 12 bits or fewer, as of microscope cameras


@dataclass(frozen=True)
class Checked:
    """Holds the result of the check of a file.

    Args:
        problem: Reason why the file cannot be used; empty if it can.
        convert: Reason why the file must be converted first; empty if the graph can read it.
        width: Width in pixels, or 0 if it is unknown.
        height: Height in pixels, or 0 if it is unknown.
    """

    problem: str = ""
    convert: str = ""
    width: int = 0
    height: int = 0


@contextlib.contextmanager
def pixel_limit(max_megapixels: float) -> Iterator[None]:
    """Sets the size of the largest image that Pillow opens, for this process.

    Args:
        max_megapixels: Size in millions of pixels.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = int(max_megapixels * 1e6)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata or size, which kx checks itself
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def check_image(encoded: bytes, max_megapixels: float = MAX_MEGAPIXELS) -> Checked:
    """Opens and decodes an image file, and returns the result of the check.

    Args:
        encoded: Bytes of the file.
        max_megapixels: Size of the largest accepted image, in millions of pixels. Defaults to
            100.

    Example:
    >>> check_image(b"").problem
    'the file is empty'
    """
    if not encoded.strip(b"\0"):
        return Checked("the file is empty" if not encoded else "the file is all zeros")
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return _looked_at(encoded, image, max_megapixels)
    except Image.DecompressionBombError as error:
        count = re.search(r"\d+", str(error))  # Pillow counts the pixels, and stops there
        size = f"{int(count[0]) / 1e6:,.0f} megapixels" if count else first_line(error)
        return Checked(_larger(size, max_megapixels))
    except UnidentifiedImageError:
        return Checked(f"no image: it begins with {encoded[:12]!r}")
    except MemoryError:
        return Checked("too large for the memory that is free")
    except Exception as error:  # Pillow's readers raise any error: AssertionError, KeyError …
        return Checked(f"damaged: {first_line(error)}")


def _looked_at(encoded: bytes, image: Image.Image, max_megapixels: float) -> Checked:
    """Returns the result of the check of an opened file."""
    width, height = image.size
    if problem := _too_large(image, max_megapixels) or _not_to_read(encoded, image):
        return Checked(problem, "", width, height)
    convert = _why_convert(encoded, image)
    if not convert and image.format in _JPEG:
        if reads_jpeg(encoded):
            return Checked("", "", width, height)
        convert = f"a kind of {image.format} that TensorFlow does not read"
    image.load()  # the whole file: a truncated one fails here
    if problem := _unknown_range(image):
        return Checked(problem, "", width, height)
    picture = _as_seen(image)
    convert = convert or read_otherwise(encoded, picture, str(image.format))
    # The header of an icon may have another size than the image in it.
    problem = _too_large(picture, max_megapixels)
    if convert and image.format == "GIF":
        problem = problem or harmed_gif(encoded, image)
    return Checked(problem, "" if problem else convert, width, height)


def begins_as_picture(path: str) -> bool:
    """Returns whether a file may be an image, by its first bytes.

    Args:
        path: Path to the file.
    """
    try:
        with Image.open(path):
            return True
    except UnidentifiedImageError:
        return False
    except Exception:
        return True  # `check_image` returns the problem


def _too_large(image: Image.Image, max_megapixels: float) -> str:
    """Returns the problem of an image that is too large, or an empty string."""
    width, height = image.size
    megapixels = width * height / 1e6
    if megapixels <= max_megapixels:
        return ""
    return _larger(f"{width}x{height}, {megapixels:,.0f} megapixels", max_megapixels)


def _larger(what: str, max_megapixels: float) -> str:
    return f"too large: {what}; at most {max_megapixels:g} (data.max_megapixels)"


def _not_to_read(encoded: bytes, image: Image.Image) -> str:
    """Returns why a file must not be decoded (time, wrong pixels), or an empty string."""
    if image.format == "EPS":
        return "EPS: a program that draws a picture. Save it as PNG"
    if image.format == "PNG" and "transparency" in image.info and image.mode not in ("1", "P"):
        depth = encoded[_PNG_DEPTH]
        if depth != 8:  # Pillow searches it in the pixels after their conversion to 8 bits
            return f"a PNG with a clear colour of {depth} bits, which would not be found"
    if image.format in _JPEG:
        # Each scan is a pass over all pixels, even if it has ten bytes. This count is at least
        # the number of scans, and includes no others but those of a thumbnail.
        num_scans = encoded.count(b"\xff\xda")
        if num_scans > MAX_SCANS:
            return f"damaged: {num_scans} scans, as no program writes them"
    return ""


def _unknown_range(image: Image.Image) -> str:
    """Returns why the value of white in an image is unknown, or an empty string."""
    if image.mode == "F":
        return "its pixels are floats, of no known range"
    if image.mode.startswith("I"):
        least, most = _range(image)
        if least < 0 or most > _WHITE:
            return f"its pixels are whole numbers from {least} to {most}, of no known range"
    return ""


def _range(image: Image.Image) -> tuple[int, int]:
    pixels = np.asarray(image)  # Pillow's `getextrema` does not support big-endian numbers
    return int(pixels.min()), int(pixels.max())


def _why_convert(encoded: bytes, image: Image.Image) -> str:
    """Returns why an image is converted without a test in the graph, or an empty string."""
    if image.mode.startswith("I"):
        most = _range(image)[1]
        if most < _DARK:
            return (
                f"16 bits of grey, of which white is {_WHITE} and its lightest pixel {most}: dark"
            )
    if image.format not in _IN_GRAPH:
        return str(image.format)
    if image.format in ("GIF", "WEBP", "PNG") and getattr(image, "is_animated", False):
        # The graph would decode all of them, in each epoch: 6 GB of a GIF of 2 MB.
        return "several pictures, of which the first is taken"
    if image.has_transparency_data and not image.mode.startswith("I"):
        least = image.convert("RGBA").getchannel("A").getextrema()[0]
        if int(least) < 255:  # type: ignore[arg-type]
            return "transparent parts, which are laid on white"
    if image.format in _JPEG:
        if image.mode not in ("L", "RGB"):
            return f"{image.mode} colours"
        ids = [layer[0] for layer in image.layer]  # type: ignore[attr-defined]
        if "progressive" in image.info and not has_all_scans(encoded, ids):
            return "a progressive JPEG that lacks some of its scans"
    return "turned by EXIF" if _is_turned(image) else ""


def _is_turned(image: Image.Image) -> bool:
    return image.getexif().get(_EXIF_ORIENTATION, 1) in range(2, 9)


def _as_seen(image: Image.Image) -> Image.Image:
    """Returns an image as viewers show it, in RGB or grey: rotated by EXIF, on white."""
    if _is_turned(image):
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey: the upper eight, as in the graph
        image = Image.fromarray((np.asarray(image).astype("uint32") >> 8).astype("uint8"))
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return image if image.mode == mode else image.convert(mode)


def converted(encoded: bytes) -> bytes:
    """Returns an image converted to RGB or grey and rotated by EXIF; of several images, the first.

    The result is a PNG of the same pixels, or, of a JPEG, a JPEG of high quality: as PNG,
    photographs would be seven times as large.

    Args:
        encoded: Bytes of a file that must be converted by `check_image`.
    """
    with Image.open(io.BytesIO(encoded)) as opened:
        image = _as_seen(opened)
        out = io.BytesIO()
        if opened.format in _JPEG:
            image.save(out, "JPEG", quality=95, subsampling=0)
        else:
            image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def readable(encoded: bytes, name: str, max_megapixels: float = MAX_MEGAPIXELS) -> bytes:
    """Returns the bytes of an image file, converted if the graph cannot read it.

    Args:
        encoded: Bytes of the file.
        name: Name of the file, for messages.
        max_megapixels: Size of the largest accepted image, in millions of pixels, as in training.
            Defaults to 100.

    Raises:
        DataError: If the file is not an image, is damaged, or is too large.
    """
    with pixel_limit(max_megapixels):
        checked = check_image(encoded, max_megapixels)
        if checked.problem:
            raise DataError(f"{name}: {checked.problem}. Expected a picture: JPEG, PNG, GIF, BMP,"
                            " WebP, TIFF …")  # fmt: skip
        return converted(encoded) if checked.convert else encoded
