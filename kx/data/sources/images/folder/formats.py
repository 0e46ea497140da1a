"""Image files of any kind: whether they can be read, and the same picture as the graph reads it.

What TensorFlow's graph reads otherwise than people see it, or not at all (TIFF, CMYK, turned by
EXIF …), is converted here, on the host: once before a training, and in the same way for each
file that is asked about.
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
_JPEG = ("JPEG", "MPO")  # MPO: JPEG with a second picture
_IN_GRAPH = (*_JPEG, "PNG", "GIF", "BMP", "WEBP")
_EXIF_ORIENTATION = 0x0112
_PNG_DEPTH = 24  # where the bits of a sample are told
_WHITE = 0xFFFF  # of 16 bits
_DARK = 0x1000  # of 12 bits, as cameras of microscopes have them


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
            return _looked_at(encoded, image, max_megapixels)
    except Image.DecompressionBombError as error:
        count = re.search(r"\d+", str(error))  # Pillow counts, and opens no further
        size = f"{int(count[0]) / 1e6:,.0f} megapixels" if count else first_line(error)
        return Checked(_larger(size, max_megapixels))
    except UnidentifiedImageError:
        return Checked(f"no image: it begins with {encoded[:12]!r}")
    except MemoryError:
        return Checked("too large for the memory that is free")
    except Exception as error:  # Pillow's readers raise anything: AssertionError, KeyError …
        return Checked(f"damaged: {first_line(error)}")


def _looked_at(encoded: bytes, image: Image.Image, max_megapixels: float) -> Checked:
    """Returns what an opened file turns out to be."""
    width, height = image.size
    if problem := _too_large(image, max_megapixels) or _not_to_read(encoded, image):
        return Checked(problem, "", width, height)
    convert = _why_convert(encoded, image)
    if not convert and image.format in _JPEG:
        if reads_jpeg(encoded):
            return Checked("", "", width, height)
        convert = f"a kind of {image.format} that TensorFlow does not read"
    image.load()  # all of it: a cut file is found here
    if problem := _unknown_range(image):
        return Checked(problem, "", width, height)
    picture = _as_seen(image)
    convert = convert or read_otherwise(encoded, picture, str(image.format))
    # The head of an icon tells another size than the picture in it may have.
    problem = _too_large(picture, max_megapixels)
    if convert and image.format == "GIF":
        problem = problem or harmed_gif(encoded, image)
    return Checked(problem, "" if problem else convert, width, height)


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
    except Exception:
        return True  # as the closer look will say


def _too_large(image: Image.Image, max_megapixels: float) -> str:
    """Returns how large a picture is, if it is too large."""
    width, height = image.size
    megapixels = width * height / 1e6
    if megapixels <= max_megapixels:
        return ""
    return _larger(f"{width}x{height}, {megapixels:,.0f} megapixels", max_megapixels)


def _larger(what: str, max_megapixels: float) -> str:
    return f"too large: {what}; at most {max_megapixels:g} (data.max_megapixels)"


def _not_to_read(encoded: bytes, image: Image.Image) -> str:
    """Returns why a file is not to be read, as that would last for ever, or be wrong."""
    if image.format == "EPS":
        return "EPS: a program that draws a picture. Save it as PNG"
    if image.format == "PNG" and "transparency" in image.info and image.mode not in ("1", "P"):
        depth = encoded[_PNG_DEPTH]
        if depth != 8:  # Pillow looks for it among the pixels as they are after, in eight bits
            return f"a PNG with a clear colour of {depth} bits, which would not be found"
    if image.format in _JPEG:
        # Each is a pass over all pixels, though it may have ten bytes. This count is at least
        # that of the scans, and has no more than a thumbnail's besides.
        num_scans = encoded.count(b"\xff\xda")
        if num_scans > MAX_SCANS:
            return f"damaged: {num_scans} scans, as no program writes them"
    return ""


def _unknown_range(image: Image.Image) -> str:
    """Returns why nobody can tell which of a picture's numbers is white, or an empty string."""
    if image.mode == "F":
        return "its pixels are floats, of no known range"
    if image.mode.startswith("I"):
        least, most = _range(image)
        if least < 0 or most > _WHITE:
            return f"its pixels are whole numbers from {least} to {most}, of no known range"
    return ""


def _range(image: Image.Image) -> tuple[int, int]:
    pixels = np.asarray(image)  # Pillow's own `getextrema` does not know big-endian numbers
    return int(pixels.min()), int(pixels.max())


def _why_convert(encoded: bytes, image: Image.Image) -> str:
    """Returns why the graph need not be asked whether it reads a picture, or an empty string."""
    if image.mode.startswith("I"):
        most = _range(image)[1]
        if most < _DARK:
            return (
                f"16 bits of grey, of which white is {_WHITE} and its lightest pixel {most}: dark"
            )
    if image.format not in _IN_GRAPH:
        return str(image.format)
    if image.format in ("GIF", "WEBP", "PNG") and getattr(image, "is_animated", False):
        # The graph would decode them all: of a GIF of 2 MB, 6 GB, in each epoch.
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
    """Returns the pixels that people see, in RGB or grey: turned by EXIF, on white paper."""
    if _is_turned(image):
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits of grey: the upper eight, as the graph has them
        image = Image.fromarray((np.asarray(image).astype("uint32") >> 8).astype("uint8"))
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return image if image.mode == mode else image.convert(mode)


def converted(encoded: bytes) -> bytes:
    """Returns a picture in RGB or grey, turned as EXIF says; of several, the first.

    It is a PNG of the very pixels; what was a JPEG is one again, of high quality: as PNG,
    photographs take seven times the place.

    Args:
        encoded: a file that `check_image` says to convert.
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
