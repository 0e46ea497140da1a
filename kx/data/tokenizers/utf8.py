"""Texts as their bytes in UTF-8: a vocabulary of 256 that needs no training."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from kx.contracts.examples import Preparation
from kx.data.tokenizers.lengths import to_length
from kx.types import Count, Percentile

_NO_BYTES = 2  # ids that are not bytes: padding and unknown


def utf8_bytes(
    texts: Sequence[str],
    *,
    sequence_length: Count | None = None,
    length_percentile: Percentile = 99.0,
    lower: bool = False,
) -> Preparation:
    """Makes token ids of the bytes of texts in UTF-8: no character is unknown.

    Args:
        texts: Texts of the training split, for the length alone.
        sequence_length: Number of bytes to which a text is cut or padded. Defaults to None: the
            length in which `length_percentile` of the texts fit, between 32 and 512.
        length_percentile: Percentage of the training texts that fit in the length if none is
            given. Defaults to 99.
        lower: Whether texts become lower case first. Defaults to False.

    Returns:
        Preparation to int32 token ids of shape `(sequence_length,)`: 0 for padding, 2 to 257 for
        the bytes 0 to 255. 1 stands for no byte, so that ids mean the same in each tokenizer.

    Source: Xue et al. 2022, "ByT5: towards a token-free future", section 3.1.

    Example:
    >>> utf8_bytes(["aé"], sequence_length=4).prepare(tf.constant("aé")).numpy().tolist()
    [99, 197, 171, 0]
    """

    def tokenize(text: tf.Tensor) -> tf.Tensor:
        text = tf.strings.lower(text, encoding="utf-8") if lower else text
        return tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int32) + _NO_BYTES

    made = to_length(
        tokenize, texts, sequence_length=sequence_length, length_percentile=length_percentile
    )
    spec = made.spec(256 + _NO_BYTES, f"utf-8, {lower=}")
    # One character of Latin-1 for each byte: plain values cannot hold a part of a character.
    tokens = ["", "", *map(chr, range(256))]
    return Preparation(
        made.prepare, spec, issues=made.issues, detokenize={"tokens": tokens, "bytes": True}
    )
