"""Punctuation marks as tokens of their own, and back."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_MARKS = r"([^\pL\pN\pM\s'’-])"  # an apostrophe and a hyphen stay within their word
_OTHER = r"[^\x00-\x7F]"  # a letter of Chinese …, between which there are no spaces

_CLOSED: list[list[str]] = [
    [r" ([.,!?;:%)\]}…。，！？；：、）》」』”])", r"\1"],
    [r"([(\[{$£€¥¿¡（《「『“]) ", r"\1"],
]
# Replacements after the tokens were joined by spaces, by whether the texts had spaces themselves.
CLOSED_UP: dict[bool, list[list[str]]] = {
    True: _CLOSED,
    False: [*_CLOSED, [f"({_OTHER}) ", r"\1"], [f" ({_OTHER})", r"\1"]],
}


def separate_punctuation(texts: Any) -> tf.Tensor:
    """Returns texts with spaces around each punctuation mark, which so becomes a token.

    Args:
        texts: Strings of any shape.

    Example:
    >>> separate_punctuation("I'd go, too.").numpy().decode()
    "I'd go ,  too . "
    """
    return tf.strings.regex_replace(texts, _MARKS, r" \1 ")
