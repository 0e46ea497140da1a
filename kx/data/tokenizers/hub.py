"""The tokenizer of a pretrained model (KerasHub)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from kx.contracts.examples import Preparation
from kx.data.tokenizers.lengths import to_length
from kx.errors import ConfigError
from kx.hub import OPERATIONS, import_keras_hub, load_preset
from kx.types import Count, Percentile


def keras_hub(
    texts: Sequence[str],
    *,
    preset: str | None = None,
    sequence_length: Count | None = None,
    length_percentile: Percentile = 99.0,
) -> Preparation:
    """Takes the tokenizer of a pretrained model.

    Args:
        texts: Texts of the training split, for the length alone.
        preset: Name of a preset of KerasHub, or a path to a folder of one. Defaults to None, which
            the config replaces by that of `model=keras_hub`.
        sequence_length: Number of tokens to which a text is cut or padded, with the token that
            begins it and the one that ends it. Defaults to None: the length in which
            `length_percentile` of the texts fit, between 32 and 512.
        length_percentile: Percentage of the training texts that fit in the length if none is
            given. Defaults to 99.

    Returns:
        Preparation to int32 token ids of shape `(sequence_length,)`, with the preset's own padding.

    Raises:
        ConfigError: If no preset is given, there is no such one, or it cannot be downloaded.
        MissingExtraError: If KerasHub is not installed.
    """
    if preset is None:
        raise ConfigError(
            "tokenizer=keras_hub needs a preset: tokenizer.preset=bert_base_en_uncased …, or"
            " model=keras_hub model.preset=…, whose tokenizer it takes."
        )
    hub = import_keras_hub("tokenizer=keras_hub")
    layer = load_preset(hub.tokenizers.Tokenizer, preset, "tokenizer.preset")
    ends: Any = (getattr(layer, "start_token_id", None), getattr(layer, "end_token_id", None))
    if sequence_length is not None and sequence_length < 3:
        raise ConfigError(
            "tokenizer.sequence_length: expected 3 or more: a token, and those that begin and end a"
            f" text. Received: {sequence_length}."
        )
    made = to_length(
        lambda text: tf.cast(layer(text), tf.int32),
        texts, sequence_length=sequence_length, length_percentile=length_percentile,
        ends=None if None in ends else ends, padding=layer.pad_token_id or 0,
    )  # fmt: skip
    words = list(map(str, layer.get_vocabulary()))
    return Preparation(
        made.prepare, made.spec(len(words), words), (layer,), issues=made.issues,
        modules=(OPERATIONS,),
    )  # fmt: skip
