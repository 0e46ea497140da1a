"""The first frame of a GIF, from which Pillow and TensorFlow must decode the same pixels."""

from __future__ import annotations

import struct

_TRAILER, _EXTENSION, _FRAME = b";", 0x21, 0x2C
_HEAD_BYTES, _FRAME_BYTES = 13, 10
_HAS_PALETTE = 0x80


def first_frame(encoded: bytes) -> tuple[bytes, tuple[int, int, int, int]]:
    """Returns a GIF of the first frame alone, on a canvas of its size, and the frame's place.

    Args:
        encoded: Bytes of the file.

    Returns:
        Bytes of the new GIF, and the box `(left, top, right, bottom)` of the frame in the image.

    Raises:
        ValueError: If there is no frame.
    """
    place = _after_palette(encoded, _HEAD_BYTES, encoded[10])
    head = encoded[:place]
    while place < len(encoded) and encoded[place] != _FRAME:
        is_extension = encoded[place] == _EXTENSION  # else a stray byte, which decoders skip
        place = _after_blocks(encoded, place + 2) if is_extension else place + 1
    if place + _FRAME_BYTES > len(encoded):
        raise ValueError("a GIF without a frame")
    left, top, width, height, flags = struct.unpack_from("<4HB", encoded, place + 1)
    data = place + _FRAME_BYTES - 1
    end = _after_blocks(encoded, _after_palette(encoded, data + 1, flags) + 1)
    size = struct.pack("<2H", width, height)
    alone = (head[:6], size, head[10:], struct.pack("<B2H", _FRAME, 0, 0), size)
    box = (left, top, left + width, top + height)
    return b"".join((*alone, encoded[data:end], _TRAILER)), box


def _after_palette(encoded: bytes, place: int, flags: int) -> int:
    return place + (3 << (flags & 7) + 1 if flags & _HAS_PALETTE else 0)


def _after_blocks(encoded: bytes, place: int) -> int:
    """Returns the offset after a chain of blocks, each of which begins with its length."""
    while place < len(encoded) and encoded[place]:
        place += encoded[place] + 1
    return place + 1
