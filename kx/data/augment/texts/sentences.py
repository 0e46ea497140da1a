"""Sentences of a text in another order, drawn in each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from kx.data.augment.operations import Batch, changes_words, chosen
from kx.data.augment.texts.words import pack
from kx.data.random import uniform
from kx.errors import ConfigError
from kx.types import Fraction

_ENDS = frozenset([".", "!", "?", "…", "...", ";", "。", "！", "？", "；"])


@changes_words
def shuffle_sentences(
    inputs: Any, targets: Any, seeds: tf.Tensor, *, tokens: Sequence[str],
    probability: Fraction = 0.5,
) -> Batch:  # fmt: skip
    """Puts the sentences of texts in a random order.

    Args:
        inputs: Token ids, shape `(batch, text_length)`, with padding (0) after each text.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        tokens: Word of each id: a sentence ends with a token such as `.`, `?` or `。`.
        probability: Probability of each text to be changed. Defaults to 0.5.

    Returns:
        Token ids of the same shape, and the targets.

    Raises:
        ConfigError: If no token ends a sentence.

    Example:
    >>> ids = tf.constant([[2, 3, 4, 3, 0]])
    >>> texts, _ = shuffle_sentences(
    ...     ids, (), tf.constant([[0, 1]], tf.int64), tokens=["", "?", "yes", ".", "no"])
    >>> sorted(texts.numpy()[0].tolist())
    [0, 2, 3, 3, 4]
    """
    ends = [number for number, token in enumerate(tokens) if token in _ENDS]
    if not ends:
        raise ConfigError(
            "augment=shuffle_sentences: no token of the vocabulary ends a sentence (. ? ! 。)."
            " Choose a tokenizer that keeps them: tokenizer=words_and_punctuation, characters."
        )
    real = inputs != 0
    is_end = tf.reduce_any(inputs[..., None] == tf.constant(ends, inputs.dtype), axis=-1)
    sentence = tf.cumsum(tf.cast(is_end, tf.int32), axis=1, exclusive=True)
    key = tf.gather(uniform(seeds, inputs.shape[1]), sentence, batch_dims=1)
    changed = pack(inputs, tf.where(real, key, 2.0), real)
    return tf.where(chosen(seeds, probability), changed, inputs), targets
