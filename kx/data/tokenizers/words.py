"""Texts as ids of words or characters, by a vocabulary of the training split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from kx.contracts.examples import Preparation
from kx.data.tokenizers.lengths import to_length
from kx.data.tokenizers.punctuation import CLOSED_UP, separate_punctuation
from kx.data.tokenizers.vectors import vectors_of
from kx.errors import ConfigError, DataError
from kx.types import Count, Percentile, Standardization

_NO_WORDS = 2  # tokens that are not words: padding and unknown


def words(
    texts: Sequence[str],
    *,
    max_tokens: Count = 20000,
    sequence_length: Count | None = None,
    length_percentile: Percentile = 99.0,
    ngrams: Count | None = None,
    standardize: Standardization | None = "lower_and_strip_punctuation",
    vectors: str | None = None,
    freeze_vectors: bool = False,
) -> Preparation:
    """Learns the words of texts, which are separated by spaces.

    Args:
        texts: Texts of the training split.
        max_tokens: Size of the vocabulary, padding and unknown included. Defaults to 20000.
        sequence_length: Number of tokens to which a text is cut or padded. Defaults to None: the
            length in which `length_percentile` of the texts fit, between 32 and 512.
        length_percentile: Percentage of the training texts that fit in the length if none is
            given. Defaults to 99.
        ngrams: Number of neighbouring words of which tokens are made: 2 adds each pair after the
            single words. Defaults to None: single words.
        standardize: As in `keras.layers.TextVectorization`; or `"separate_punctuation"`, by which
            punctuation marks are tokens of their own, or `"lower_and_separate_punctuation"`.
            Defaults to `"lower_and_strip_punctuation"`.
        vectors: Path to a text file of word vectors (GloVe, word2vec, fastText), with which the
            embedding of a model begins. Defaults to None: it begins at random.
        freeze_vectors: Whether these embeddings stay as they are in the training. Defaults to
            False.

    Returns:
        Preparation to int32 token ids of shape `(sequence_length,)`: 0 for padding, 1 for unknown
        words.

    Raises:
        ConfigError: If the vocabulary has no place for a word.
        DataError: If no word is left of the texts.

    Example:
    >>> made = words(["a cat", "a dog and a cat"], sequence_length=4)
    >>> made.prepare(tf.constant("a bird")).numpy().tolist()
    [2, 1, 0, 0]
    >>> words(["A cat."], standardize="separate_punctuation").detokenize["tokens"]
    ['', '[UNK]', 'cat', 'A', '.']
    """
    return vectorized(
        texts, "whitespace", max_tokens=max_tokens, sequence_length=sequence_length,
        length_percentile=length_percentile, ngrams=ngrams, standardize=standardize,
        vectors=vectors, freeze_vectors=freeze_vectors,
    )  # fmt: skip


def characters(
    texts: Sequence[str],
    *,
    max_tokens: Count = 20000,
    sequence_length: Count | None = None,
    length_percentile: Percentile = 99.0,
    ngrams: Count | None = None,
    standardize: Standardization | None = None,
    vectors: str | None = None,
    freeze_vectors: bool = False,
) -> Preparation:
    """Learns the characters of texts, as for Chinese.

    Args:
        texts: Texts of the training split.
        max_tokens: Size of the vocabulary, padding and unknown included. Defaults to 20000.
        sequence_length: Number of tokens to which a text is cut or padded. Defaults to None: the
            length in which `length_percentile` of the texts fit, between 32 and 512.
        length_percentile: Percentage of the training texts that fit in the length if none is
            given. Defaults to 99.
        ngrams: Number of neighbouring characters of which tokens are made: 2 adds each pair after
            the single characters. Defaults to None: single characters.
        standardize: As in `keras.layers.TextVectorization`. Defaults to None: the text alone.
        vectors: Path to a text file of word vectors (GloVe, word2vec, fastText), with which the
            embedding of a model begins. Defaults to None: it begins at random.
        freeze_vectors: Whether these embeddings stay as they are in the training. Defaults to
            False.

    Returns:
        Preparation to int32 token ids of shape `(sequence_length,)`: 0 for padding, 1 for unknown
        characters.

    Raises:
        ConfigError: If the vocabulary has no place for a character.
        DataError: If no character is left of the texts.

    Example:
    >>> made = characters(["好吃", "不好"], sequence_length=3)
    >>> made.prepare(tf.constant("好")).numpy().tolist()
    [2, 0, 0]
    """
    return vectorized(
        texts, "character", max_tokens=max_tokens, sequence_length=sequence_length,
        length_percentile=length_percentile, ngrams=ngrams, standardize=standardize,
        vectors=vectors, freeze_vectors=freeze_vectors,
    )  # fmt: skip


def vectorized(
    texts: Sequence[str],
    split: str,
    *,
    max_tokens: int,
    sequence_length: int | None,
    length_percentile: float,
    ngrams: int | None,
    standardize: str | None,
    vectors: str | None = None,
    freeze_vectors: bool = False,
    host: Mapping[str, Any] | None = None,
) -> Preparation:
    """Returns a preparation by `keras.layers.TextVectorization`, adapted on texts.

    Args:
        texts: Texts of the training split, after the host step.
        split: `"whitespace"` or `"character"`.
        max_tokens: Size of the vocabulary, padding and unknown included.
        sequence_length: Number of tokens, or None to choose it.
        length_percentile: Percentage of the texts that fit in a chosen length.
        ngrams: Number of neighbouring tokens that are joined, or None.
        standardize: As in `keras.layers.TextVectorization`.
        vectors: Path to a file of word vectors, or None. Defaults to None.
        freeze_vectors: Whether these stay as they are in the training. Defaults to False.
        host: Host step that the texts have passed. Defaults to None.

    Raises:
        ConfigError: If the vocabulary has no place for a word.
        DataError: If no word is left of the texts.
    """
    require_places(max_tokens, _NO_WORDS)
    # Marks are separated before the layer, which takes no functions of TensorFlow on JAX.
    plain = separating(standardize)
    vectorize = keras.layers.TextVectorization(
        max_tokens=max_tokens, standardize=None if plain else standardize, split=split,
        ngrams=ngrams,
    )  # fmt: skip
    adapt(vectorize, texts, plain, num_special=_NO_WORDS)

    def tokenize(text: tf.Tensor) -> tf.Tensor:
        text = plain(text) if plain else text
        # As a batch of one: without a batch, an empty text becomes an empty tensor of strings.
        return tf.cast(vectorize(text[None])[0], tf.int32)

    made = to_length(
        tokenize, texts, sequence_length=sequence_length, length_percentile=length_percentile
    )
    known = [*vectorize.get_vocabulary(), split, standardize, ngrams, dict(host or {})]
    begun, told = vectors_of(vectors, vectorize.get_vocabulary(), freeze=freeze_vectors)
    return Preparation(
        made.prepare,
        made.spec(vectorize.vocabulary_size(), known),
        # With other backends than TensorFlow, the layer does not track its lookup table.
        (vectorize, vectorize._lookup_layer.lookup_table),
        issues=(*made.issues, *told),
        host=host,
        detokenize=None if ngrams else _detokenize(vectorize, split, spaced=host is None),
        vectors=begun,
    )


def require_places(max_tokens: int, num_special: int) -> None:
    """Raises an error if a vocabulary has no place for a word.

    Args:
        max_tokens: Size of the vocabulary.
        num_special: Number of its tokens that are no words.

    Raises:
        ConfigError: If there is none.
    """
    if max_tokens <= num_special:
        raise ConfigError(
            f"tokenizer.max_tokens: expected {num_special + 1} or more: a word, and what stands"
            f" for padding or unknown words. Received: {max_tokens}."
        )


def adapt(
    vectorize: keras.layers.TextVectorization,
    texts: Sequence[str],
    plain: Callable[[Any], Any] | None,
    *,
    num_special: int,
) -> None:
    """Lets a layer learn the vocabulary of texts.

    Args:
        vectorize: Layer that is new.
        texts: Texts of the training split, after the host step.
        plain: Function that texts pass before the layer, or None.
        num_special: Number of tokens that are no words.

    Raises:
        DataError: If no word is left of the texts.
    """
    all_texts = tf.constant(list(texts), tf.string)
    try:
        vectorize.adapt(plain(all_texts) if plain else all_texts)
        empty = vectorize.vocabulary_size() <= num_special
    except tf.errors.InvalidArgumentError as error:  # a table without keys
        if "empty" not in str(error):
            raise
        empty = True
    if empty:
        raise DataError(
            "The vocabulary is empty: no token is left of the texts to train on. Are the texts in"
            " the column of data.text? See tokenizer.standardize, too."
        )


def separating(name: str | None) -> Callable[[Any], Any] | None:
    """Returns the function that separates punctuation marks, or None where they are not.

    Args:
        name: Standardization of a tokenizer.
    """
    if name is None or not name.endswith("separate_punctuation"):
        return None
    lower = name.startswith("lower")
    return lambda texts: separate_punctuation(tf.strings.lower(texts) if lower else texts)


def _detokenize(
    vectorize: keras.layers.TextVectorization, split: str, *, spaced: bool
) -> dict[str, Any]:
    """Returns how ids become texts.

    Args:
        vectorize: Layer with the vocabulary.
        split: `"whitespace"` or `"character"`.
        spaced: Whether spaces separated the words in the texts themselves.
    """
    tokens = list(map(str, vectorize.get_vocabulary()))  # not NumPy's strings
    if split == "character":
        return {"tokens": tokens, "joiner": ""}
    return {"tokens": tokens, "joiner": " ", "replacements": CLOSED_UP[spaced]}
