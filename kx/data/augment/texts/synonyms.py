"""Words of a text replaced by synonyms, or joined by them, drawn in each epoch."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kx.data.augment.operations import Batch, changes_words, chosen
from kx.data.augment.texts.words import pack, positions
from kx.data.random import fold_in, uniform
from kx.errors import ConfigError, DataError, first_line
from kx.extras import import_extra
from kx.paths import expanded
from kx.types import Fraction

_MOST = 16  # synonyms of a word that are used
_WORDNET = "wordnet:"


@changes_words
def replace_words(
    inputs: Any, targets: Any, seeds: tf.Tensor, *, tokens: Sequence[str], thesaurus: str,
    rate: Fraction = 0.1, probability: Fraction = 0.5,
) -> Batch:  # fmt: skip
    """Replaces words of texts by synonyms that the vocabulary has.

    Args:
        inputs: Token ids, shape `(batch, text_length)`, with padding (0) after each text.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        tokens: Word of each id.
        thesaurus: Path to a file whose lines are synonyms of each other, separated by spaces, tabs
            or commas; or `wordnet:LEXICON`, such as `wordnet:oewn:2024`.
        rate: Probability of a word with synonyms to be replaced. Defaults to 0.1.
        probability: Probability of each text to be changed. Defaults to 0.5.

    Returns:
        Token ids of the same shape, and the targets.

    Raises:
        ConfigError: If no word of the vocabulary has a synonym in it.
        DataError: If the thesaurus cannot be read.
        MissingExtraError: If `wn` is needed and not installed.

    Source: Wei & Zou 2019, "EDA: easy data augmentation techniques", section 2.
    """
    others, taken = _drawn(inputs, seeds, tokens, thesaurus, rate)
    changed = tf.where(taken, others, inputs)
    return tf.where(chosen(seeds, probability), changed, inputs), targets


@changes_words
def insert_words(
    inputs: Any, targets: Any, seeds: tf.Tensor, *, tokens: Sequence[str], thesaurus: str,
    rate: Fraction = 0.1, probability: Fraction = 0.5,
) -> Batch:  # fmt: skip
    """Inserts synonyms of words of a text at random places of it.

    The end of a text that has become longer than the shape is cut.

    Args:
        inputs: Token ids, shape `(batch, text_length)`, with padding (0) after each text.
        targets: Targets, returned unchanged.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        tokens: Word of each id.
        thesaurus: Path to a file whose lines are synonyms of each other, separated by spaces, tabs
            or commas; or `wordnet:LEXICON`, such as `wordnet:oewn:2024`.
        rate: Probability of a word with synonyms to have one inserted. Defaults to 0.1.
        probability: Probability of each text to be changed. Defaults to 0.5.

    Returns:
        Token ids of the same shape, and the targets.

    Raises:
        ConfigError: If no word of the vocabulary has a synonym in it.
        DataError: If the thesaurus cannot be read.
        MissingExtraError: If `wn` is needed and not installed.

    Source: Wei & Zou 2019, "EDA: easy data augmentation techniques", section 2.
    """
    length = inputs.shape[1]
    others, taken = _drawn(inputs, seeds, tokens, thesaurus, rate)
    num_words = tf.math.count_nonzero(inputs, axis=1, keepdims=True, dtype=tf.int32)
    places = tf.cast(positions(inputs), tf.float32)
    # Between two words, before the first one, or after the last one.
    gaps = tf.floor(uniform(fold_in(seeds, 2), length) * tf.cast(num_words + 1, tf.float32)) - 0.5
    kept = tf.concat([inputs != 0, taken], axis=1)
    keys = tf.where(kept, tf.concat([places, gaps], axis=1), float(2 * length))
    changed = pack(tf.concat([inputs, others], axis=1), keys, kept)[:, :length]
    return tf.where(chosen(seeds, probability), changed, inputs), targets


def _drawn(
    inputs: tf.Tensor, seeds: tf.Tensor, tokens: Sequence[str], thesaurus: str, rate: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a synonym of each word, and which of them are drawn."""
    table, counts = synonyms(tuple(tokens), thesaurus)
    count = tf.gather(tf.constant(counts), inputs)
    length = inputs.shape[1]
    which = tf.cast(uniform(fold_in(seeds, 0), length) * tf.cast(count, tf.float32), tf.int32)
    which = tf.minimum(which, tf.maximum(count - 1, 0))
    others = tf.gather_nd(tf.constant(table), tf.stack([inputs, which], axis=-1))
    return tf.cast(others, inputs.dtype), (uniform(fold_in(seeds, 1), length) < rate) & (count > 0)


def synonyms(tokens: tuple[str, ...], thesaurus: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the synonyms of each token that are tokens, too.

    Args:
        tokens: Word of each id; the first two are padding and unknown words.
        thesaurus: Path to a file, or `wordnet:LEXICON`.

    Returns:
        Ids of shape `(len(tokens), most)`, padded by 0, and the number of them for each token.

    Raises:
        ConfigError: If no token has a synonym.
        DataError: If the thesaurus cannot be read.
        MissingExtraError: If `wn` is needed and not installed.
    """
    try:  # a file that was edited since is read again
        edited = None if thesaurus.startswith(_WORDNET) else expanded(thesaurus).stat().st_mtime_ns
    except OSError as error:
        raise DataError(f"thesaurus={thesaurus} cannot be read: {error}.") from error
    return _table(tokens, thesaurus, edited)


@functools.lru_cache(maxsize=8)
def _table(
    tokens: tuple[str, ...], thesaurus: str, edited: int | None
) -> tuple[np.ndarray, np.ndarray]:
    del edited  # part of the key
    ids = {token: number for number, token in enumerate(tokens) if number > 1}
    found: dict[int, dict[int, None]] = {}  # as ordered sets
    groups = _of_wordnet(thesaurus, ids) if thesaurus.startswith(_WORDNET) else _of_file(thesaurus)
    for group in groups:
        known = [ids[word] for word in group if word in ids]
        for one in known:
            found.setdefault(one, {}).update(
                dict.fromkeys(other for other in known if other != one)
            )
    lists = {one: list(others)[:_MOST] for one, others in found.items() if others}
    if not lists:
        raise ConfigError(
            f"thesaurus={thesaurus}: no word of the vocabulary has a synonym in it. Is it of the"
            " language of the texts, and the tokenizer one of words?"
        )
    table = np.zeros((len(tokens), max(map(len, lists.values()))), "int32")
    for one, others in lists.items():
        table[one, : len(others)] = others
    return table, np.count_nonzero(table, axis=1).astype("int32")


def _of_file(path: str) -> Iterator[Sequence[str]]:
    try:
        text = expanded(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"thesaurus={path} cannot be read: {error}.") from error
    for line in text.splitlines():
        first, *rest = line.replace(",", " ").split() or [""]
        # Cilin's lines begin with a code: = are synonyms, # and @ are not.
        if first[-1:] in "#@" and len(first) == 8:
            continue
        yield rest if first.endswith("=") else [first, *rest]


def _of_wordnet(name: str, words: Mapping[str, int]) -> Iterator[Sequence[str]]:
    wn: Any = import_extra("wn", extra="synonyms", needed_by=f"thesaurus={name}")
    lexicon = name.removeprefix(_WORDNET)
    try:
        net = wn.Wordnet(lexicon)
    except wn.Error as error:
        raise DataError(
            f"thesaurus={name}: {first_line(error)}. Download it once: python -m wn download"
            f" {lexicon}"
        ) from error
    for word in words:
        for synset in net.synsets(word):
            yield [word, *(lemma.lower() for lemma in synset.lemmas())]
