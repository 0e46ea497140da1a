"""Punctuation marks as tokens of their own, and back."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# An apostrophe and a hyphen stay within their word; so does what is in 5.50, 3:45, a/b, a@b.com.
_MARKS = r"([^\pL\pN\pM\s'’.,:/@_&+=-])"
_AFTER = r"([.,:/@_&+=]+)(\s|$)"
_BEFORE = r"(^|\s)([.,:/@_&+=]+)"
_OTHER = r"[^\x00-\x7F]"  # a letter of Chinese …, between which there are no spaces

_CLOSED: list[list[str]] = [
    [r" ([.,!?;:%)\]}…。，！？；：、）》」』”])", r"\1"],
    [r"([(\[{$£€¥¿¡（《「『“]) ", r"\1"],
    [r'" ([^"]*) "', r'"\1"'],
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
    "I'd go , too . "
    """
    texts = tf.strings.regex_replace(texts, _MARKS, r" \1 ")
    texts = tf.strings.regex_replace(texts, _AFTER, r" \1 ")
    return tf.strings.regex_replace(texts, _BEFORE, r"\1 \2 ")
