"""Texts as token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from kx.contracts.examples import Preparation
from kx.contracts.specs import Spec
from kx.errors import ConfigError, DataError

_NO_WORDS = 2  # tokens that are not words: padding and unknown


def learn_tokens(
    texts: Sequence[str],
    *,
    max_tokens: int,
    standardize: str | None,
    tokenizer: str,
    sequence_length: int,
) -> Preparation:
    """Returns the preparation of texts as token ids, with the vocabulary of the training split.

    Args:
        texts: Texts of the training split.
        max_tokens: Size of the vocabulary, padding and unknown included.
        standardize: As in `keras.layers.TextVectorization`.
        tokenizer: `"whitespace"`, or `"character"`.
        sequence_length: Number of tokens to which a text is cut or padded.

    Raises:
        ConfigError: If the vocabulary has no place for a word.
        DataError: If no word is left of the texts.
    """
    if max_tokens <= _NO_WORDS:
        raise ConfigError(
            f"data.max_tokens: expected {_NO_WORDS + 1} or more: padding, unknown, and a word."
            f" Received: {max_tokens}."
        )
    vectorize = keras.layers.TextVectorization(
        max_tokens=max_tokens,
        standardize=standardize,
        split=tokenizer,
        output_sequence_length=sequence_length,
    )
    try:
        vectorize.adapt(tf.constant(texts))
        empty = vectorize.vocabulary_size() <= _NO_WORDS
    except tf.errors.InvalidArgumentError as error:  # a table without keys
        if "empty" not in str(error):
            raise
        empty = True
    if empty:
        raise DataError(
            "The vocabulary is empty: no word is left of the texts to train on, after"
            f" data.standardize={standardize} and data.tokenizer={tokenizer}. Are the texts in the"
            " column of data.text?"
        )
    return Preparation(
        _tokenize(vectorize),
        Spec(
            (sequence_length,), "int32", vocabulary_size=vectorize.vocabulary_size(), kind="tokens"
        ),
        # With other backends than TensorFlow, the layer does not track its lookup table.
        (vectorize, vectorize._lookup_layer.lookup_table),
    )


def _tokenize(vectorize: keras.layers.TextVectorization) -> Callable[[tf.Tensor], tf.Tensor]:
    def prepare(text: tf.Tensor) -> tf.Tensor:
        # As a batch of one: without a batch, an empty text becomes an empty tensor, not padding.
        return tf.cast(vectorize(text[None])[0], tf.int32)

    return prepare
