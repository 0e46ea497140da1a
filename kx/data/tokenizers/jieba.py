"""Words of Chinese texts, as jieba finds them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from kx.contracts.examples import Preparation
from kx.data.tokenizers.words import vectorized
from kx.errors import DataError
from kx.extras import import_extra
from kx.paths import expanded
from kx.types import Count, Percentile, Standardization


def jieba(
    texts: Sequence[str],
    *,
    max_tokens: Count = 20000,
    sequence_length: Count | None = None,
    length_percentile: Percentile = 99.0,
    ngrams: Count | None = None,
    standardize: Standardization | None = "lower",
    dictionary: str | None = None,
    stop_words: str | None = None,
    hmm: bool = True,
    vectors: str | None = None,
    freeze_vectors: bool = False,
) -> Preparation:
    """Learns the words of Chinese texts, which jieba separates.

    jieba runs in Python, before TensorFlow's graph: an exported model takes texts whose words are
    separated by spaces. `kx predict` and `Run.predict` separate them, as in the training.

    Args:
        texts: Texts of the training split.
        max_tokens: Size of the vocabulary, padding and unknown included. Defaults to 20000.
        sequence_length: Number of tokens to which a text is cut or padded. Defaults to None: the
            length in which `length_percentile` of the texts fit, between 32 and 512.
        length_percentile: Percentage of the training texts that fit in the length if none is
            given. Defaults to 99.
        ngrams: Number of neighbouring words of which tokens are made: 2 adds each pair after the
            single words. Defaults to None: single words.
        standardize: As in `keras.layers.TextVectorization`, after jieba. Defaults to `"lower"`.
        dictionary: Path to a file of further words, a line each: the word, and after spaces its
            frequency and its part of speech, if known. Defaults to None.
        stop_words: Path to a file of words that are left out, a line each. Defaults to None.
        hmm: Whether a hidden Markov model finds words that are not in the dictionary. Defaults to
            True.
        vectors: Path to a text file of word vectors (GloVe, word2vec, fastText), with which the
            embedding of a model begins. Defaults to None: it begins at random.
        freeze_vectors: Whether these embeddings stay as they are in the training. Defaults to
            False.

    Returns:
        Preparation to int32 token ids of shape `(sequence_length,)`: 0 for padding, 1 for unknown
        words.

    Raises:
        ConfigError: If the vocabulary has no place for a word.
        DataError: If no word is left of the texts, or a file cannot be read.
        MissingExtraError: If rjieba is not installed.
    """
    host = {
        "_target_": f"{__name__}.segment",
        "hmm": hmm,
        "words": [_entry(line) for line in _lines(dictionary, "tokenizer.dictionary")],
        "stop_words": _lines(stop_words, "tokenizer.stop_words"),
    }
    separated = segment(texts, hmm=hmm, words=host["words"], stop_words=host["stop_words"])  # type: ignore[arg-type]
    return vectorized(
        separated, "whitespace", max_tokens=max_tokens, sequence_length=sequence_length,
        length_percentile=length_percentile, ngrams=ngrams, standardize=standardize, host=host,
        vectors=vectors, freeze_vectors=freeze_vectors,
    )  # fmt: skip


def segment(
    texts: Sequence[str],
    *,
    hmm: bool = True,
    words: Sequence[Sequence[Any]] = (),
    stop_words: Sequence[str] = (),
) -> list[str]:
    """Returns texts whose words are separated by spaces.

    Args:
        texts: Texts.
        hmm: Whether a hidden Markov model finds words that are not in the dictionary. Defaults to
            True.
        words: Further words, each with its frequency and its part of speech, or None. Defaults to
            none.
        stop_words: Words that are left out. Defaults to none.

    Raises:
        MissingExtraError: If rjieba is not installed.

    Example:
    >>> segment(["我来到北京清华大学"])
    ['我 来到 北京 清华大学']
    """
    cutter, left_out = _cutter(tuple(map(tuple, words))), set(stop_words)
    return [
        " ".join(
            word for word in cutter.cut(text, hmm) if not word.isspace() and word not in left_out
        )
        for text in texts
    ]


@functools.lru_cache(maxsize=8)
def _cutter(words: tuple[tuple[Any, ...], ...]) -> Any:
    rjieba: Any = import_extra("rjieba", extra="chinese", needed_by="tokenizer=jieba")
    if not words:
        return rjieba
    cutter = rjieba.Jieba()
    for word, frequency, tag in words:
        cutter.add_word(word, frequency, tag)
    return cutter


def _lines(path: str | None, key: str) -> list[str]:
    if path is None:
        return []
    try:
        text = expanded(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{key}={path} cannot be read: {error}.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _entry(line: str) -> list[Any]:
    """Returns the word, the frequency and the part of speech of a line of a dictionary."""
    word, *rest = line.split()
    frequency = int(rest.pop(0)) if rest and rest[0].isdigit() else None
    tag = rest.pop(0) if rest else None
    if rest:
        raise DataError(
            "tokenizer.dictionary: expected a line for each word: the word, its frequency (a whole"
            f" number) and its part of speech. Received: {line[:100]!r}."
        )
    return [word, frequency, tag]
