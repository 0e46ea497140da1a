"""Odd pictures: each is read as people see it, or left out with a reason."""

from __future__ import annotations

import itertools
import struct
import time
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from fuzz.pictures import as_people_see, difference, file_of, with_check_sums
from PIL import Image

from kx.data.sources.images.folder.formats import check_image, converted, pixel_limit, readable
from kx.errors import DataError

AS_IT_IS, ANIMATED = "", "several pictures"
OTHERWISE, UNREAD, CLEAR = "reads otherwise", "does not read", "transparent"
HEIGHT, WIDTH = 11, 16

# Of a few colours, as a palette has, and with no two sides alike.
COLOURS = np.array([(200, 30, 30), (30, 200, 30), (30, 30, 200), (250, 240, 0)], "uint8")
INDICES = ((np.arange(WIDTH) // 3 + np.arange(HEIGHT)[:, None] // 4) % 4).astype("uint8")
PICTURE = Image.fromarray(COLOURS[INDICES])


@pytest.fixture(autouse=True)
def as_in_a_scan() -> Iterator[None]:
    with pixel_limit(100):
        yield


def check(encoded: bytes, expected: str) -> None:
    """Asserts how a file is taken, and that it is read as people see it."""
    checked = check_image(encoded)
    assert not checked.problem
    assert expected in checked.convert and bool(expected) == bool(checked.convert)
    for channels in (3, 1):
        assert not difference(encoded, checked, channels)


# --- BMP


def bmp(bits: int, rows: bytes, *, height: int = HEIGHT, compression: int = 0, masks: bytes = b"",
        header: int = 40, palette: np.ndarray | None = None) -> bytes:  # fmt: skip
    """A BMP by hand, from its lowest row to its highest unless the height is negative."""
    table = b""
    if palette is not None:
        size = 3 if header == 12 else 4
        table = b"".join(bytes((b, g, r, 0)[:size]) for r, g, b in palette.tolist())
    if header == 12:
        info = struct.pack("<I4H", 12, WIDTH, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(rows),
                           2835, 2835, len(table) // 4, 0)  # fmt: skip
        info = (info + (masks if header > 40 else b"")).ljust(header, b"\0")
        table = (masks if header == 40 else b"") + table
    start = 14 + len(info) + len(table)
    head = struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start)
    return head + info + table + rows


def rows_of(pixels: np.ndarray) -> bytes:
    """The bytes of rows, each filled up to a multiple of four bytes."""
    lines = [line.tobytes() for line in np.ascontiguousarray(pixels)]
    return b"".join(line + bytes(-len(line) % 4) for line in lines)


def words(green_bits: int) -> np.ndarray:
    """Pixels of 16 bits: five of red, five or six of green, five of blue."""
    red, green, blue = (COLOURS[INDICES[::-1]].astype("uint16")[..., i] for i in range(3))
    return red >> 3 << 5 + green_bits | green >> 8 - green_bits << 5 | blue >> 3


def run_lengths(bits: int) -> bytes:
    """RLE8 or RLE4: every pixel a run of one."""
    lines = [b"".join(bytes((1, i << (8 - bits))) for i in line) for line in INDICES[::-1].tolist()]
    return b"\0\0".join(lines) + b"\0\1"


INDEX_ROWS = rows_of(INDICES[::-1])
NIBBLES = rows_of(INDICES[::-1, ::2] << 4 | INDICES[::-1, 1::2])
BLUE_FIRST = COLOURS[INDICES[::-1]][..., ::-1]
PALETTE = np.concatenate([COLOURS, np.zeros((252, 3), "uint8")])
GREYS = np.repeat(np.arange(256, dtype="uint8")[:, None], 3, axis=1)


def four_bytes(alpha: int) -> bytes:
    return rows_of(np.insert(BLUE_FIRST, 3, alpha, axis=-1))


MASKS_565 = struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
MASKS_555 = struct.pack("<3I", 0x7C00, 0x03E0, 0x001F)
MASKS_BGRA = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
BMPS = {
    "1 bit": (bmp(1, rows_of(np.packbits(INDICES[::-1] & 1, axis=1)), palette=PALETTE[:2]), UNREAD),
    "4 bits": (bmp(4, NIBBLES, palette=PALETTE[:16]), UNREAD),
    "8 bits": (bmp(8, INDEX_ROWS, palette=PALETTE), OTHERWISE),
    "8 bits, few colours": (bmp(8, INDEX_ROWS, palette=COLOURS), OTHERWISE),
    "8 bits, downwards": (bmp(8, rows_of(INDICES), height=-HEIGHT, palette=PALETTE), OTHERWISE),
    "8 bits, of OS/2": (bmp(8, INDEX_ROWS, header=12, palette=PALETTE), UNREAD),
    "8 bits of grey": (bmp(8, INDEX_ROWS, palette=GREYS), AS_IT_IS),
    "8 bits, white is 0": (bmp(8, INDEX_ROWS, palette=GREYS[::-1]), OTHERWISE),
    "RLE8": (bmp(8, run_lengths(8), compression=1, palette=PALETTE), UNREAD),
    "RLE4": (bmp(4, run_lengths(4), compression=2, palette=PALETTE[:16]), UNREAD),
    "555": (bmp(16, rows_of(words(5))), UNREAD),
    "555 by masks": (bmp(16, rows_of(words(5)), compression=3, masks=MASKS_555), UNREAD),
    "565": (bmp(16, rows_of(words(6)), compression=3, masks=MASKS_565), UNREAD),
    "24 bits": (bmp(24, rows_of(BLUE_FIRST)), AS_IT_IS),
    "24 bits, downwards": (bmp(24, rows_of(BLUE_FIRST[::-1]), height=-HEIGHT), AS_IT_IS),
    "24 bits, of OS/2": (bmp(24, rows_of(BLUE_FIRST), header=12), UNREAD),
    "24 bits, version 4": (bmp(24, rows_of(BLUE_FIRST), header=108), AS_IT_IS),
    "24 bits, version 5": (bmp(24, rows_of(BLUE_FIRST), header=124), AS_IT_IS),
    "32 bits": (bmp(32, four_bytes(0)), AS_IT_IS),
    "32 bits, opaque": (
        bmp(32, four_bytes(255), header=108, compression=3, masks=MASKS_BGRA), AS_IT_IS,
    ),
    "32 bits, half clear": (
        bmp(32, four_bytes(128), header=124, compression=3, masks=MASKS_BGRA), CLEAR,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BMPS)
def test_a_bmp(name: str) -> None:
    check(*BMPS[name])


# --- PNG


ONCE = ((0, 0, 1, 1),)
INTERLACED = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
              (0, 1, 1, 2))  # fmt: skip
GREY, RGB, INDEXED, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def png(
    colour: int, depth: int, pixels: np.ndarray, passes: tuple = ONCE, **chunks: bytes
) -> bytes:
    """A PNG by hand, of pixels of shape `(height, width, samples)`."""

    def packed(line: np.ndarray) -> bytes:
        if depth >= 8:
            return line.astype(f">u{depth // 8}").tobytes()
        bits = np.unpackbits(line.astype("uint8").reshape(-1, 1), axis=1)[:, 8 - depth :]
        return np.packbits(bits).tobytes()

    def chunk(name: str, content: bytes) -> bytes:
        body = name.encode() + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = pixels.shape[:2]
    lines = [
        b"\0" + packed(line)
        for x, y, dx, dy in passes
        for line in pixels[y::dy, x::dx]
        if line.size
    ]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, len(passes) > 1)
    parts = {"IHDR": head, **chunks, "IDAT": zlib.compress(b"".join(lines)), "IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts.items())


def samples(colour: int, depth: int) -> tuple[np.ndarray, dict[str, bytes]]:
    """Random pixels, all opaque, and the palette that they need."""
    count = {GREY: 1, RGB: 3, INDEXED: 1, GREY_ALPHA: 2, RGBA: 4}[colour]
    pixels = np.random.default_rng(depth).integers(0, 2**depth, (HEIGHT, WIDTH, count))
    if colour in (GREY_ALPHA, RGBA):
        pixels[..., -1] = 2**depth - 1
    palette = np.random.default_rng(0).bytes(3 * 2 ** min(depth, 8))
    return pixels, {"PLTE": palette} if colour == INDEXED else {}


DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), INDEXED: (1, 2, 4, 8), GREY_ALPHA: (8, 16),
          RGBA: (8, 16)}  # fmt: skip


@pytest.mark.parametrize("passes", [ONCE, INTERLACED], ids=["", "interlaced"])
@pytest.mark.parametrize(("colour", "depth"), [(c, d) for c in DEPTHS for d in DEPTHS[c]])
def test_a_png(colour: int, depth: int, passes: tuple) -> None:
    pixels, palette = samples(colour, depth)
    check(png(colour, depth, pixels, passes, **palette), AS_IT_IS)
    profile = {"gAMA": struct.pack(">I", 100_000), "iCCP": b"x\0\0" + zlib.compress(b"profile")}
    check(png(colour, depth, pixels, passes, **profile, **palette), AS_IT_IS)


@pytest.mark.parametrize(("colour", "depth"), [(c, d) for c in DEPTHS for d in DEPTHS[c]])
def test_a_png_with_clear_parts(colour: int, depth: int) -> None:
    pixels, chunks = samples(colour, depth)
    if colour in (GREY_ALPHA, RGBA):
        pixels[::2, :, -1] //= 3
    elif colour == INDEXED:
        pixels[0, 0] = 1
        chunks["tRNS"] = b"\xff\x80"
    else:
        chunks["tRNS"] = pixels[0, 0].astype(">u2").tobytes()
    encoded = png(colour, depth, pixels, **chunks)
    if (colour, depth) in [(GREY, 2), (GREY, 4), (GREY, 16), (RGB, 16)]:
        assert f"a clear colour of {depth} bits" in check_image(encoded).problem
    else:
        check(encoded, CLEAR)


def test_an_animated_png_is_its_first_picture() -> None:
    others = [PICTURE.rotate(180)]
    for options in ({}, {"default_image": True}):
        encoded = file_of(PICTURE, "PNG", save_all=True, append_images=others, **options)
        check(encoded, ANIMATED)
        np.testing.assert_array_equal(as_people_see(encoded, 3), np.asarray(PICTURE))


# --- GIF


def gif(*frames: bytes, palette: bool = True, end: bytes = b";") -> bytes:
    """A GIF by hand."""
    head = struct.pack("<6s2H3B", b"GIF89a", WIDTH, HEIGHT, 0xF7 if palette else 0x70, 1, 0)
    return head + (PALETTE.tobytes() if palette else b"") + b"".join(frames) + end


def frame(left: int = 0, top: int = 0, width: int = WIDTH, height: int = HEIGHT, *,
          clear: int | None = None, own_palette: bool = False, interlaced: bool = False,
          short: int = 0) -> bytes:  # fmt: skip
    """A frame of INDICES, whose codes are never of more than nine bits; perhaps some too few."""
    codes = []
    for place, index in enumerate(INDICES[:height, :width].ravel().tolist()):
        codes += [256, index] if place % 200 == 0 else [index]
    codes = [*codes[: len(codes) - short], 257]
    bits = "".join(f"{code:09b}"[::-1] for code in codes)
    data = bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))
    blocks = b"".join(
        bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255)
    )
    flags = (0x87 if own_palette else 0) | (0x40 if interlaced else 0)
    control = b"" if clear is None else struct.pack("<3sBHBB", b"!\xf9\x04", 1, 0, clear, 0)
    place = struct.pack("<c4HB", b",", left, top, width, height, flags)
    own = PALETTE[::-1].tobytes() if own_palette else b""
    return control + place + own + b"\x08" + blocks + b"\0"


GIFS = {
    "whole": (gif(frame()), AS_IT_IS),
    "interlaced": (gif(frame(interlaced=True)), AS_IT_IS),
    "palette of the frame": (gif(frame(own_palette=True), palette=False), AS_IT_IS),
    "two palettes": (gif(frame(own_palette=True)), AS_IT_IS),
    "smaller": (gif(frame(width=7, height=5)), OTHERWISE),
    "smaller, in the midst": (gif(frame(3, 2, 7, 5)), OTHERWISE),
    "smaller, in the midst, clear": (gif(frame(3, 2, 7, 5, clear=2)), CLEAR),
    "beyond the canvas": (gif(frame(10, 8)), OTHERWISE),
    "clear": (gif(frame(clear=1)), CLEAR),
    "animated": (gif(frame(), frame(own_palette=True)), ANIMATED),
    "animated, first smaller": (gif(frame(3, 2, 7, 5), frame()), ANIMATED),
    "animated, clear": (gif(frame(clear=1), frame()), ANIMATED),
    "no end": (gif(frame(), end=b""), AS_IT_IS),
    "more after the end": (gif(frame()) + b"more" * 50, AS_IT_IS),
    "a comment": (gif(b"!\xfe\x02ab\0", frame(), b"!\xfe\x02ab\0"), AS_IT_IS),
}


@pytest.mark.parametrize("name", GIFS)
def test_a_gif(name: str) -> None:
    check(*GIFS[name])


def test_a_gif_of_which_something_is_missing_is_damaged() -> None:
    """Pillow would make up the rest, each time another."""
    for encoded in (gif(frame(short=9)), gif(frame(short=9), frame()), gif(frame(), palette=False)):
        assert "damaged" in check_image(encoded).problem


# --- JPEG


def photograph(mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype="uint8")
    return Image.fromarray(noise).resize((75, 91), Image.Resampling.BICUBIC).convert(mode)


def segment(encoded: bytes, *markers: int) -> tuple[int, int]:
    """Where the first segment of one of these markers begins and ends."""
    place = 2
    while encoded[place + 1] not in markers:
        place += 2 + int.from_bytes(encoded[place + 2 : place + 4], "big")
    return place, place + 2 + int.from_bytes(encoded[place + 2 : place + 4], "big")


def sampled(factors: tuple[int, ...]) -> bytes:
    """A JPEG whose components say another sampling than they were made with."""
    content = bytearray(file_of(photograph(), "JPEG", quality=90, subsampling=0))
    start, _ = segment(content, 0xC0)
    for place, factor in enumerate(factors):
        content[start + 11 + 3 * place] = factor
    return bytes(content)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("quality", [5, 75, 100])
@pytest.mark.parametrize(
    ("mode", "options"),
    [("L", {}), ("RGB", {"keep_rgb": True}), *(("RGB", {"subsampling": i}) for i in range(3))],
)
def test_a_jpeg(mode: str, options: dict, quality: int, progressive: bool) -> None:
    whole = file_of(photograph(mode), "JPEG", quality=quality, progressive=progressive, **options)
    check(whole, AS_IT_IS)
    check(whole + b"more" * 100, AS_IT_IS)
    assert "damaged" in check_image(whole[: len(whole) // 2]).problem


def test_a_jpeg_of_any_sampling() -> None:
    num_taken = 0
    for factors in itertools.product(
        (0x11, 0x21, 0x12, 0x22, 0x41, 0x14), (0x11, 0x21), (0x11, 0x22)
    ):
        encoded = sampled(factors)
        if not check_image(encoded).problem:
            check(encoded, AS_IT_IS)
            num_taken += 1
    assert num_taken > 5


@pytest.mark.parametrize("adobe", ["CMYK", "YCCK", "none"])
def test_a_jpeg_of_four_inks(adobe: str) -> None:
    content = bytearray(file_of(photograph("CMYK"), "JPEG", quality=90))
    start, end = segment(content, 0xEE)
    if adobe == "YCCK":
        content[end - 1] = 2
    if adobe == "none":
        del content[start:end]
    check(bytes(content), "CMYK colours")


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
def test_what_exif_turns(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    encoded = file_of(photograph(), kind, exif=exif, quality=90)
    is_turned = 2 <= orientation <= 8
    check(encoded, "TIFF" if kind == "TIFF" else "turned by EXIF" if is_turned else AS_IT_IS)


def test_a_second_picture_in_a_jpeg_is_not_seen() -> None:
    encoded = file_of(photograph(), "MPO", save_all=True, append_images=[PICTURE])
    check(encoded, AS_IT_IS)


def test_a_progressive_jpeg_that_lacks_scans_is_converted() -> None:
    """libjpeg smooths what is coarse, each version otherwise."""
    whole = file_of(photograph(), "JPEG", progressive=True, quality=90)
    scans = [i for i in range(len(whole)) if whole.startswith(b"\xff\xda", i)]
    for start in scans[1:]:
        check(whole[:start] + b"\xff\xd9", "lacks some of its scans")


# --- WebP, and other kinds


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp(lossless: bool) -> None:
    def encoded(image: Image.Image, **options: object) -> bytes:
        return file_of(image, "WEBP", lossless=lossless, quality=70, **options)

    check(encoded(photograph()), AS_IT_IS)
    check(encoded(photograph("RGBA")), AS_IT_IS)
    clear = photograph("RGBA")
    clear.putalpha(photograph("L"))
    check(encoded(clear), CLEAR)
    check(encoded(photograph(), save_all=True, append_images=[photograph().rotate(90)]), ANIMATED)


def test_sixteen_bits_of_either_end() -> None:
    pixels = np.random.default_rng(0).integers(0, 2**16, (9, 12)).astype("uint16")
    for mode, order in {"I;16": "<u2", "I;16B": ">u2"}.items():
        image = Image.frombytes(mode, (12, 9), pixels.astype(order).tobytes())
        check(file_of(image, "TIFF"), "TIFF")


def test_what_cannot_be_seen_is_left_out_and_what_is_asked_about_likewise() -> None:
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\n"
    assert "EPS: a program" in check_image(program).problem
    with pytest.raises(DataError, match=r"x\.eps: EPS: a program"):
        readable(program, "x.eps")
    palette, _ = BMPS["8 bits"]
    assert readable(palette, "x.bmp") == converted(palette) != palette


# --- what would take for ever, or all the memory


def huge_heads() -> dict[str, bytes]:
    jpeg, png_file = bytearray(file_of(photograph(), "JPEG")), bytearray(file_of(PICTURE, "PNG"))
    start, _ = segment(jpeg, 0xC0)
    jpeg[start + 5 : start + 9] = b"\xff\xdc" * 2
    png_file[16:24] = struct.pack(">2I", 12_000, 12_000)
    webp = bytearray(file_of(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(180)]))
    webp[24:30] = b"\xff\x3f\0" * 2
    size = struct.pack("<2H", 60_000, 60_000)
    whole = gif(frame())
    at = whole.index(b",\0\0\0\0")
    return {
        "JPEG": bytes(jpeg),
        "PNG": with_check_sums(bytes(png_file)),
        "GIF": whole[:6] + size + whole[10:],
        "frame of a GIF": whole[: at + 5] + size + whole[at + 9 :],
        "BMP": bmp(24, rows_of(BLUE_FIRST), height=2**30),
        "WEBP": bytes(webp),
    }


def test_a_head_that_promises_too_much_is_believed() -> None:
    for kind, encoded in huge_heads().items():
        assert check_image(encoded).problem.startswith("too large"), kind


def test_the_picture_in_an_icon_is_limited_though_its_head_says_less() -> None:
    inner = png(GREY, 8, np.zeros((900, 900, 1), "uint8"))
    icon = struct.pack("<3H4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    assert "900x900" in check_image(icon, max_megapixels=0.5).problem
    check(icon, "ICO")


def many_scans() -> bytes:
    whole = file_of(Image.new("RGB", (2000, 2000)), "JPEG", progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * 5_000 + b"\xff\xd9"


def many_frames() -> bytes:
    whole = file_of(Image.new("P", (3000, 3000)), "GIF")
    return whole[:-1] + whole[whole.index(b",\0\0\0\0") : -1] * 200 + b";"


def long_text() -> bytes:
    text = b"Comment\0\0" + zlib.compress(bytes(80_000_000), 1)
    return png(GREY, 8, INDICES[..., None] * 80, zTXt=text)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (many_scans, "scans, as no program writes them"),
        (many_frames, ANIMATED),
        (long_text, "damaged: Decompressed data too large"),
    ],
)
def test_a_small_file_of_much_work(make: Callable[[], bytes], said: str) -> None:
    encoded = make()
    begun = time.perf_counter()
    checked = check_image(encoded)
    assert time.perf_counter() - begun < 5
    assert said in checked.problem or said in checked.convert
