"""What a JPEG's own markers say, and no decoder does: how many scans it has, and which of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

MAX_SCANS = 100  # cameras and programs write 1 to 12; each costs a pass over the whole picture

# Not a zero that was stuffed in, not a restart (in the midst of a scan), not filling.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_NUM_COEFFICIENTS = 64
_NEVER_SENT = 99


def has_all_scans(encoded: bytes, component_ids: Sequence[int]) -> bool:
    """Says whether a progressive JPEG has every coefficient to its last bit.

    What is missing, libjpeg guesses from the neighbouring blocks, and each of its versions
    otherwise: TensorFlow's and Pillow's are not of one version.

    Args:
        encoded: the file's bytes.
        component_ids: of its colours, as its head has them.
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
    """Yields the header of each scan, without its length."""
    place = 2
    while found := _MARKER.search(encoded, place):
        place = found.end()
        kind = encoded[place - 1]
        if kind == _END:
            return
        if kind in (0x01, _START):  # without a length
            continue
        length = int.from_bytes(encoded[place : place + 2], "big")
        if kind == _SCAN:
            yield encoded[place + 2 : place + length]
        place += length
