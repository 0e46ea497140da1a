"""Texts as parts of words, by a vocabulary of the training split (KerasHub)."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, Literal

import tensorflow as tf

from kx.contracts.examples import Preparation
from kx.data.tokenizers.lengths import to_length
from kx.data.tokenizers.punctuation import CLOSED_UP
from kx.errors import ConfigError, DataError, first_line
from kx.extras import import_extra
from kx.hub import OPERATIONS, import_keras_hub
from kx.types import Count, Percentile

_SPECIAL = ["[PAD]", "[UNK]"]  # 0 and 1, as in each tokenizer
_SPACE = "▁"  # SentencePiece's sign of a space


def wordpiece(
    texts: Sequence[str],
    *,
    max_tokens: Count = 8000,
    sequence_length: Count | None = None,
    length_percentile: Percentile = 99.0,
    lower: bool = True,
    strip_accents: bool = False,
) -> Preparation:
    """Learns the parts of words of texts: whole words that are frequent, and pieces of the others.

    Punctuation marks and Chinese characters are tokens of their own.

    Args:
        texts: Texts of the training split.
        max_tokens: Size of the vocabulary at most, padding and unknown included. Defaults to 8000.
        sequence_length: Number of tokens to which a text is cut or padded. Defaults to None: the
            length in which `length_percentile` of the texts fit, between 32 and 512.
        length_percentile: Percentage of the training texts that fit in the length if none is
            given. Defaults to 99.
        lower: Whether texts become lower case first. Defaults to True.
        strip_accents: Whether accents are removed first. Defaults to False.

    Returns:
        Preparation to int32 token ids of shape `(sequence_length,)`: 0 for padding, 1 for words
        with unknown characters.

    Raises:
        DataError: If no word is left of the texts.
        MissingExtraError: If KerasHub is not installed.

    Source: Wu et al. 2016, "Google's neural machine translation system", section 4.1.
    """
    hub = import_keras_hub("tokenizer=wordpiece")
    given = tf.data.Dataset.from_tensor_slices(_not_empty(texts))
    found = hub.tokenizers.compute_word_piece_vocabulary(
        given, max_tokens, lowercase=lower, strip_accents=strip_accents, reserved_tokens=_SPECIAL
    )
    layer = hub.tokenizers.WordPieceTokenizer(
        vocabulary=found, lowercase=lower, strip_accents=strip_accents, oov_token=_SPECIAL[1]
    )
    joined = {
        "tokens": ["", *found[1:]],
        "joiner": " ",
        "replacements": [[" ##", ""], *CLOSED_UP[True]],
    }
    return _by_layer(
        layer, texts, found, detokenize=joined, known=[found, lower, strip_accents],
        sequence_length=sequence_length, length_percentile=length_percentile,
    )  # fmt: skip


def sentencepiece(
    texts: Sequence[str],
    *,
    max_tokens: Count = 8000,
    algorithm: Literal["unigram", "bpe"] = "unigram",
    sequence_length: Count | None = None,
    length_percentile: Percentile = 99.0,
    lower: bool = False,
) -> Preparation:
    """Learns the parts of texts by SentencePiece, which needs no spaces between words.

    Args:
        texts: Texts of the training split.
        max_tokens: Size of the vocabulary at most, padding and unknown included. Defaults to 8000.
        algorithm: `"unigram"`, or `"bpe"` for byte-pair encoding. Defaults to `"unigram"`.
        sequence_length: Number of tokens to which a text is cut or padded. Defaults to None: the
            length in which `length_percentile` of the texts fit, between 32 and 512.
        length_percentile: Percentage of the training texts that fit in the length if none is
            given. Defaults to 99.
        lower: Whether texts become lower case first. Defaults to False.

    Returns:
        Preparation to int32 token ids of shape `(sequence_length,)`: 0 for padding, 1 for unknown
        characters.

    Raises:
        ConfigError: If the vocabulary has no place for each character of the texts.
        DataError: If no word is left of the texts.
        MissingExtraError: If KerasHub is not installed.

    Source: Kudo & Richardson 2018, "SentencePiece"; Kudo 2018, "Subword regularization", section
    3.2 (unigram).
    """
    hub = import_keras_hub("tokenizer=sentencepiece")
    trainer: Any = import_extra("sentencepiece", extra="hub", needed_by="tokenizer=sentencepiece")
    given = _not_empty(texts)
    model = io.BytesIO()
    try:
        trainer.SentencePieceTrainer.train(
            sentence_iterator=iter(given), model_writer=model, vocab_size=max_tokens,
            model_type=algorithm, normalization_rule_name="nmt_nfkc_cf" if lower else "nmt_nfkc",
            hard_vocab_limit=False, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1,
            max_sentence_length=1 << 20,  # bytes: a longer text teaches no pieces
            minloglevel=2,
        )  # fmt: skip
    except RuntimeError as error:
        raise ConfigError(
            f"tokenizer.max_tokens={max_tokens}: SentencePiece cannot learn this vocabulary."
            f" {first_line(error)}"
        ) from error
    layer = hub.tokenizers.SentencePieceTokenizer(proto=model.getvalue())
    found = list(map(str, layer.get_vocabulary()))
    # The first piece of a text begins with the sign of a space, which is none.
    joined = {"tokens": ["", *found[1:]], "replacements": [[f"^{_SPACE}", ""], [_SPACE, " "]]}
    return _by_layer(
        layer, texts, found, detokenize=joined, known=model.getvalue(),
        sequence_length=sequence_length, length_percentile=length_percentile,
    )  # fmt: skip


def _by_layer(
    layer: Callable[[tf.Tensor], tf.Tensor],
    texts: Sequence[str],
    tokens: Sequence[str],
    *,
    detokenize: dict[str, Any],
    known: Any,
    sequence_length: int | None,
    length_percentile: float,
) -> Preparation:
    made = to_length(
        layer, texts, sequence_length=sequence_length, length_percentile=length_percentile
    )
    return Preparation(
        made.prepare, made.spec(len(tokens), known), (layer,), issues=made.issues,
        detokenize=detokenize, modules=(OPERATIONS,),
    )  # fmt: skip


def _not_empty(texts: Sequence[str]) -> list[str]:
    found = [text for text in texts if text.strip()]
    if not found:
        raise DataError(
            "The vocabulary is empty: no token is left of the texts to train on. Are the texts in"
            " the column of data.text?"
        )
    return found
