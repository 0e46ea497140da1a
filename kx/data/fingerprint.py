"""Hashes that identify examples and data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kx.contracts.examples import Examples
from kx.contracts.fields import values_of


def fingerprint(*parts: Any) -> str:
    """Returns a hash of arrays, strings and plain values: 16 hexadecimal digits.

    Args:
        *parts: Values that the hash covers, in order.

    Example:
    >>> fingerprint(np.zeros(3), "cifar10") == fingerprint(np.zeros(3), "cifar10")
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype != object:
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, bytes):
            digest.update(part)
        elif isinstance(part, Sequence | np.ndarray) and not isinstance(part, str):
            for item in part:
                digest.update(item if isinstance(item, bytes) else repr(item).encode())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:16]


def content_hashes(examples: Examples) -> np.ndarray:
    """Returns a hash of the raw input of each example.

    Args:
        examples: Examples of a source.
    """
    if examples.contents is not None:
        return examples.contents
    everything = examples.dataset(np.arange(examples.num_examples)).as_numpy_iterator()
    return np.array([_content_hash(one) for one in everything], dtype=object)


def _content_hash(raw: Any) -> str:
    digest = hashlib.sha256()
    for value in values_of(raw):
        digest.update(value if isinstance(value, bytes) else np.asarray(value).tobytes())
    return digest.hexdigest()
