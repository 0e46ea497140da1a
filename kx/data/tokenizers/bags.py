"""Texts as rows of numbers, one for each word of the vocabulary: for linear and dense models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import keras
import tensorflow as tf

from kx.contracts.examples import Preparation
from kx.contracts.specs import Spec
from kx.data.tokenizers.words import adapt, require_places, separating
from kx.types import Count, Standardization

_UNKNOWN = 1  # tokens that are no words


def bag_of_words(
    texts: Sequence[str],
    *,
    weights: Literal["count", "multi_hot", "tf_idf"] = "count",
    split: Literal["whitespace", "character"] = "whitespace",
    max_tokens: Count = 5000,
    ngrams: Count | None = None,
    standardize: Standardization | None = "lower_and_strip_punctuation",
) -> Preparation:
    """Describes a text by which words it has, without their order.

    Args:
        texts: Texts of the training split.
        weights: `"count"`: how often a text has each word; `"multi_hot"`: 1 if it has it;
            `"tf_idf"`: its count times `log(1 + num_texts / (1 + num_texts_with_it))`, by the
            training texts. Defaults to `"count"`.
        split: `"whitespace"` for words, `"character"` for Chinese. Defaults to `"whitespace"`.
        max_tokens: Size of the vocabulary, unknown words included: numbers that describe a text.
            Defaults to 5000.
        ngrams: Number of neighbouring words of which tokens are made: 2 adds each pair after the
            single words. Defaults to None: single words.
        standardize: As in `keras.layers.TextVectorization`; or `"separate_punctuation"`, by which
            punctuation marks are tokens of their own, or `"lower_and_separate_punctuation"`.
            Defaults to `"lower_and_strip_punctuation"`.

    Returns:
        Preparation to a float32 row of shape `(vocabulary_size,)`; its first number is that of all
        unknown words.

    Raises:
        ConfigError: If the vocabulary has no place for a word.
        DataError: If no word is left of the texts.

    Example:
    >>> made = bag_of_words(["a cat", "a dog and a cat"])
    >>> made.inputs.column_names
    ('[UNK]', 'a', 'cat', 'dog', 'and')
    >>> made.prepare(tf.constant("a bird, a cat")).numpy().tolist()
    [1.0, 2.0, 1.0, 0.0, 0.0]
    """
    require_places(max_tokens, _UNKNOWN)
    plain = separating(standardize)
    vectorize = keras.layers.TextVectorization(
        max_tokens=max_tokens, standardize=None if plain else standardize, split=split,
        ngrams=ngrams, output_mode=weights,
    )  # fmt: skip
    adapt(vectorize, texts, plain, num_special=_UNKNOWN)
    names = tuple(map(str, vectorize.get_vocabulary()))

    def prepare(text: tf.Tensor) -> tf.Tensor:
        text = plain(text) if plain else text
        row = tf.cast(vectorize(text[None])[0], tf.float32)
        return tf.ensure_shape(tf.pad(row, [[0, len(names) - tf.size(row)]]), [len(names)])

    spec = Spec((len(names),), "float32", column_names=names, kind="words")
    return Preparation(prepare, spec, (vectorize, vectorize._lookup_layer.lookup_table))
