"""Texts from token ids, in TensorFlow's graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

START, END = "[START]", "[END]"


@dataclass(frozen=True)
class Detokenizer:
    r"""Makes texts of token ids.

    Args:
        tokens: Text of each id. The first is padding, the second stands for what is unknown.
        joiner: Text between two tokens. Defaults to an empty string.
        replacements: Pairs of a regular expression (RE2) and what replaces it in the joined text,
            in order. Defaults to none.
        ends: Whether texts begin with a token that starts them and stop at one that ends them:
            the last two of `tokens`. Defaults to False.
        bytes: Whether each of the `tokens` is one byte of UTF-8, as the character of that number.
            Bytes that are no text become U+FFFD. Defaults to False.

    Example:
    >>> made = Detokenizer(("", "?", "a", "cat", "."), " ", ((r" \.", "."),))
    >>> made(tf.constant([[2, 3, 4, 0]])).numpy().tolist()
    [b'a cat.']
    """

    tokens: tuple[str, ...]
    joiner: str = ""
    replacements: tuple[tuple[str, str], ...] = ()
    ends: bool = False
    bytes: bool = False

    @classmethod
    def read(cls, node: Mapping[str, Any]) -> Detokenizer:
        """Returns one from plain values, as `kx.Preparation` and the facts of a run hold them.

        Args:
            node: Arguments by name, with lists in place of tuples.
        """
        pairs = tuple((one, other) for one, other in node.get("replacements", ()))
        return cls(
            tuple(node["tokens"]), node.get("joiner", ""), pairs, node.get("ends", False),
            node.get("bytes", False),
        )  # fmt: skip

    @property
    def start(self) -> int:
        """The id that starts a text."""
        return len(self.tokens) - 2

    @property
    def end(self) -> int:
        """The id that ends a text."""
        return len(self.tokens) - 1

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the text of each row.

        Args:
            ids: Token ids, shape `(batch, length)`: padding is left out, and what comes after the
                end of a text.

        Returns:
            Strings, shape `(batch,)`.
        """
        kept = ids != 0
        if self.ends:
            ended = tf.cumsum(tf.cast(ids == self.end, tf.int32), axis=1) > 0
            kept = kept & ~ended & (ids != self.start)
        # The start and the end of a text are no bytes, and left out.
        tokens = [t.encode("latin-1", "ignore") if self.bytes else t for t in self.tokens]
        words = tf.gather(tf.constant(tokens), ids)
        rows = tf.ragged.boolean_mask(words, kept)
        texts = tf.strings.reduce_join(rows, axis=-1, separator=self.joiner)
        for pattern, replacement in self.replacements:
            texts = tf.strings.regex_replace(texts, pattern, replacement)
        if self.bytes:
            texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        return tf.ensure_shape(texts, [None])


def with_ends(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a detokenizer's values with two further tokens: the start and the end of a text.

    Args:
        node: Values of a detokenizer.
    """
    return {**node, "tokens": [*node["tokens"], START, END], "ends": True}


def enclosed(ids: tf.Tensor, vocabulary_size: int) -> tf.Tensor:
    """Returns token ids with a start before them and an end after them, two more than before.

    Args:
        ids: Token ids of one text, shape `(length,)`, with padding (0) after them.
        vocabulary_size: Number of ids; the next two are the start and the end.
    """
    length = tf.math.count_nonzero(ids, dtype=tf.int32)
    padded = tf.pad(ids, [[1, 1]])
    places = tf.range(tf.size(padded))
    start = tf.where(places == 0, vocabulary_size, 0)
    end = tf.where(places == length + 1, vocabulary_size + 1, 0)
    return padded + tf.cast(start + end, ids.dtype)
