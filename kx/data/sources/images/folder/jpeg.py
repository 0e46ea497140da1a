"""The scans of a JPEG, read from its markers, since decoders do not return them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

MAX_SCANS = 100  # cameras and programs write 1 to 12; each is a pass over the whole image

# Not a stuffed zero, not a restart (within a scan), not a fill byte.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_NUM_COEFFICIENTS = 64
_NEVER_SENT = 99


def has_all_scans(encoded: bytes, component_ids: Sequence[int]) -> bool:
    """Returns whether a progressive JPEG has all bits of all coefficients.

    Those that are missing are estimated by libjpeg from the neighbouring blocks, in another way
    by each of its versions, and TensorFlow and Pillow have different versions.

    Args:
        encoded: Bytes of the file.
        component_ids: Ids of the colour components, as in the header of the file.
    """
    bits_left = np.full((len(component_ids), _NUM_COEFFICIENTS), _NEVER_SENT)
    for header in _scan_headers(encoded):
        num_components = header[0] if header else 0
        if len(header) < 2 * num_components + 4:
            return False
        first, last, bits = header[2 * num_components + 1 : 2 * num_components + 4]
        for component in header[1 : 2 * num_components + 1 : 2]:
            for place, known in enumerate(component_ids):
                if component == known:
                    bits_left[place, first : last + 1] = bits & 0x0F
    return not bits_left.any()


def _scan_headers(encoded: bytes) -> Iterator[bytes]:
    """Yields the header of each scan, without its length field."""
    place = 2
    while found := _MARKER.search(encoded, place):
        place = found.end()
        kind = encoded[place - 1]
        if kind == _END:
            return
        if kind in (0x01, _START):  # markers without a length field
            continue
        length = int.from_bytes(encoded[place : place + 2], "big")
        if kind == _SCAN:
            yield encoded[place + 2 : place + length]
        place += length
