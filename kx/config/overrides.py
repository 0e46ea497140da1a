"""Writes values as overrides in Hydra's syntax."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./+-]*")
_RESERVED = ("null", "true", "false", "nan", "inf")  # text that Hydra parses as values


def word(path: str, value: Any) -> str:
    """Returns a key and its value as an override.

    Args:
        path: Path of the key: `optimizer.learning_rate`.
        value: Number, text, None, or a list or mapping of them.

    Example:
    >>> word("augment", ["flip", "mixup"]), word("tracking.run_name", "a b")
    ('augment=[flip,mixup]', "tracking.run_name='a b'")
    """
    return f"{path}={_text(value)}"


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if _BARE.fullmatch(value) and value.lower() not in _RESERVED:
            return value
        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(_text, value)) + "]"
    return str(value)
