"""Brings token ids to one length: what is longer is cut, what is shorter is padded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.specs import DataIssue, Spec

_SHORT, _LONG = 32, 512
_PARALLEL = 8  # texts whose tokens are counted at a time


@dataclass(frozen=True)
class OneLength:
    """Holds a function from a text to token ids of one length.

    Args:
        prepare: Function, in TensorFlow's graph, from a scalar string to ids of shape `(length,)`.
        length: Number of token ids.
        issues: What was cut of the training texts.
        padding: Id that pads a text. Defaults to 0.
    """

    prepare: Callable[[tf.Tensor], tf.Tensor]
    length: int
    issues: tuple[DataIssue, ...]
    padding: int = 0

    def spec(self, vocabulary_size: int, known: Any) -> Spec:
        """Returns the spec of the token ids.

        Args:
            vocabulary_size: Number of ids.
            known: Plain values of what the ids stand for, and of how texts become tokens.
        """
        return Spec(
            (self.length,), "int32", vocabulary_size=vocabulary_size, kind="tokens",
            padding_value=self.padding, vocabulary=vocabulary_hash(known),
        )  # fmt: skip


def vocabulary_hash(known: Any) -> str:
    """Returns a hash of what token ids stand for.

    Args:
        known: Plain values of what the ids stand for, and of how texts become tokens; or bytes.
    """
    text = known if isinstance(known, bytes) else json.dumps(known).encode()
    return hashlib.sha256(text).hexdigest()[:16]


def to_length(
    tokenize: Callable[[tf.Tensor], tf.Tensor],
    texts: Sequence[str] | tf.Tensor,
    *,
    sequence_length: int | None,
    length_percentile: float,
    ends: tuple[int, int] | None = None,
    padding: int = 0,
    longest: int | None = None,
) -> OneLength:
    """Returns a function from a text to token ids of one length.

    Args:
        tokenize: Function, in TensorFlow's graph, from a scalar string to int32 ids of any number.
        texts: Texts of the training split.
        sequence_length: Number of token ids, or None to choose it.
        length_percentile: Percentage of the texts that fit in a length that is chosen.
        ends: Ids that begin and end each text, within the length. Defaults to None: none.
        padding: Id that pads a text. Defaults to 0.
        longest: Length that no chosen one exceeds. Defaults to None: 512.

    Example:
    >>> made = to_length(lambda text: tf.strings.unicode_decode(text, "UTF-8"), ["ab", "abc"],
    ...                  sequence_length=None, length_percentile=99)
    >>> made.prepare(tf.constant("ab")).numpy().tolist()
    [97, 98, 0]
    """
    num_ends = 0 if ends is None else 2
    counted = tf.data.Dataset.from_tensor_slices(tf.constant(texts, tf.string)).map(
        # One by one: a batch would be padded to its longest text.
        lambda text: tf.size(tokenize(text)) + num_ends,
        num_parallel_calls=_PARALLEL,
    )
    lengths = np.fromiter(counted.as_numpy_iterator(), "int64")
    length, issues = choose_length(
        lengths, length_percentile, sequence_length, longest=longest or _LONG
    )

    def prepare(text: tf.Tensor) -> tf.Tensor:
        ids = tokenize(text)[: length - num_ends]
        if ends is not None:
            ids = tf.concat([[ends[0]], ids, [ends[1]]], axis=0)
        padded = tf.pad(ids, [[0, length - tf.size(ids)]], constant_values=padding)
        return tf.ensure_shape(padded, [length])

    return OneLength(prepare, length, issues, padding)


def choose_length(
    lengths: np.ndarray, percentile: float, given: int | None = None, *, longest: int = _LONG
) -> tuple[int, tuple[DataIssue, ...]]:
    """Returns a length of token sequences, and an issue if it cuts texts.

    Args:
        lengths: Number of tokens of each text.
        percentile: Percentage of the texts that fit in a length that is chosen. One of up to 32
            tokens always fits, since its padding costs little.
        given: Length in place of a chosen one. Defaults to None: chosen.
        longest: Length that no chosen one exceeds. Defaults to 512.

    Example:
    >>> choose_length(np.array([3, 5, 9]), 99)[0]
    9
    """
    largest = int(lengths.max(initial=1))
    if given is None:
        fits = int(np.percentile(lengths, percentile, method="higher")) if len(lengths) else 1
        given = max(1, min(largest, longest, max(_SHORT, fits)))
    cut = int((lengths > given).sum())
    if not cut:
        return given, ()
    text = (
        f"{cut:,} of {len(lengths):,} training texts are cut to {given} tokens; the longest has"
        f" {largest:,}: tokenizer.sequence_length={largest} keeps all"
    )
    return given, (DataIssue("texts", "kept", text),)
