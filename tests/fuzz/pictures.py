"""Pictures of every kind, whole or harmed; and the two readings of one: people's, and kx's."""

from __future__ import annotations

import io
import random
import zlib
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from kx.data.sources.images.folder.formats import Checked, check_image, converted
from kx.data.sources.images.pixels import _decode

# How far a reading may be from Pillow's, of 255. As it is: not at all in colours; grey is rounded
# once (a JPEG has grey of its own, and Pillow gives the same). What is saved again as a JPEG, of
# quality 95, has its coefficients rounded to steps of up to 12, which may add up in a pixel.
GREY_TOLERANCE = 1
SAVED_AGAIN_TOLERANCE = 48

MODES = {
    "JPEG": ("RGB", "RGB", "L", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "GIF": ("1", "L", "P", "RGB"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"),
}


def file_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def as_people_see(encoded: bytes, channels: int) -> np.ndarray:
    """Pillow's reading: turned by EXIF, on white paper, of 16 bits the upper eight."""
    with Image.open(io.BytesIO(encoded)) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image).astype("uint32") >> 8).astype("uint8"))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("RGB").convert("RGB" if channels == 3 else "L")
    return np.asarray(image).reshape(image.height, image.width, channels)


def own_grey(encoded: bytes) -> np.ndarray:
    """The grey that a JPEG holds beside its colours, by Pillow."""
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft("L", image.size)
        return np.asarray(image)[..., None]


def difference(encoded: bytes, checked: Checked, channels: int) -> str:
    """How kx's reading of a file that it takes differs from people's, or an empty string."""
    given = converted(encoded) if checked.convert else encoded
    ours = _decode(tf.constant(given), channels).numpy()
    is_jpeg = given.startswith(b"\xff\xd8")
    if is_jpeg and channels == 1 and not checked.convert:
        theirs, tolerance = own_grey(encoded), 0
    else:
        theirs = as_people_see(encoded, channels)
        tolerance = GREY_TOLERANCE if channels == 1 else 0
        if is_jpeg and checked.convert:
            tolerance = SAVED_AGAIN_TOLERANCE
    if ours.shape != theirs.shape:
        return f"of shape {ours.shape}, seen is {theirs.shape}"
    most = int(np.abs(ours.astype(int) - theirs).max())
    return f"by {most}, where {tolerance} is allowed" if most > tolerance else ""


def verdict(encoded: bytes) -> tuple[Checked, str]:
    """What kx says to a file, and what is wrong with that, in both numbers of channels."""
    checked = check_image(encoded, max_megapixels=2)
    if checked.problem:
        return checked, ""
    wrong = [f"{channels}: {difference(encoded, checked, channels)}" for channels in (3, 1)]
    return checked, "; ".join(text for text in wrong if not text.endswith(": "))


def any_picture(chance: random.Random) -> bytes:
    """A file of a random kind, mode and size."""
    kind = chance.choice(list(MODES))
    mode = chance.choice(MODES[kind])
    height, width = chance.randint(1, 70), chance.randint(1, 70)
    colours = np.random.default_rng(chance.randrange(2**32)).integers(
        0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype="uint8"
    )
    smooth = Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(smooth.convert("L")).astype("uint16") * 257)
    elif mode == "P":
        image = smooth.quantize(chance.choice([2, 4, 16, 256]))
    else:
        image = smooth.convert(mode)
    if mode in ("LA", "RGBA") and chance.random() < 0.5:
        image.putalpha(smooth.convert("L"))
    return file_of(image, kind, **_options(chance, kind, mode, image))


def _options(chance: random.Random, kind: str, mode: str, image: Image.Image) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if kind == "JPEG":
        options = {"quality": chance.choice([30, 75, 95]), "progressive": chance.random() < 0.4}
        if mode == "RGB":
            options |= chance.choice([{"keep_rgb": True}, *({"subsampling": i} for i in range(3))])
        if chance.random() < 0.3:
            options["restart_marker_blocks"] = chance.choice([1, 3])
    if kind in ("JPEG", "PNG", "TIFF", "WEBP") and chance.random() < 0.2:
        exif = Image.Exif()
        exif[0x0112] = chance.randint(1, 8)
        options["exif"] = exif
    if kind in ("PNG", "GIF") and mode in ("L", "P") and chance.random() < 0.3:
        options["transparency"] = chance.randrange(4)
    if kind == "WEBP":
        options["lossless"] = chance.random() < 0.5
    if kind == "GIF":
        options["interlace"] = chance.randrange(2)
    if kind in ("GIF", "PNG", "WEBP") and chance.random() < 0.2:
        options |= {"save_all": True, "append_images": [image.rotate(90)]}
    return options


def harmed(chance: random.Random, encoded: bytes) -> bytes:
    """The file after one to five mishaps; of a PNG most times with the check sums made right."""
    content = bytearray(encoded)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        place, length = chance.randrange(len(content)), chance.randint(1, 40)
        match chance.choice(["flip", "flip", "head", "cut", "insert", "swap", "append", "zeros"]):
            case "flip":
                content[place] ^= 1 << chance.randrange(8)
            case "head":
                at = chance.randrange(min(len(content), 60))
                content[at] = chance.choice([0, 1, 2, 4, 8, 16, 128, 255, chance.randrange(256)])
            case "cut":
                del content[max(1, place) :]
            case "insert":
                content[place:place] = chance.randbytes(length)
            case "swap":
                other = chance.randrange(len(content))
                first, second = sorted((place, other))
                length = min(length, second - first, len(content) - second)
                a, b = slice(first, first + length), slice(second, second + length)
                content[a], content[b] = content[b], content[a]
            case "append":
                content += chance.randbytes(length * 8)
            case "zeros":
                content[place : place + length] = bytes(len(content[place : place + length]))
    return with_check_sums(bytes(content)) if chance.random() < 0.6 else bytes(content)


def with_check_sums(encoded: bytes) -> bytes:
    """A PNG whose chunks have the sums that they should have; another file as it is."""
    if not encoded.startswith(b"\x89PNG\r\n\x1a\n"):
        return encoded
    content, place = bytearray(encoded), 8
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        if end + 4 > len(content):
            break
        content[end : end + 4] = zlib.crc32(content[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(content)
