"""Checks the contract of a tokenizer."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.examples import Preparation
from kx.contracts.specs import Spec
from kx.data.texts.host import run_host
from kx.errors import first_line
from kx.testing.contract import ContractError, require

TEXTS = ("a good film", "not good at all", "很好吃，送得快", "难吃")
ASKED = (*TEXTS, "", "   ", "unheard words: 未见过", "good " * 2000)


def check_tokenizer(
    tokenizer: Callable[[Sequence[str]], Preparation], texts: Sequence[str] = TEXTS
) -> None:
    """Checks that a tokenizer makes the ids that its spec describes, also of texts it never saw.

    Args:
        tokenizer: Function from the texts of a training split to a `kx.Preparation`.
        texts: Texts to learn from. Defaults to short English and Chinese texts.

    Raises:
        ContractError: If a part of the contract does not hold.

    Example:
    >>> from kx.data.tokenizers.words import words
    >>> check_tokenizer(words)
    """
    made, again = tokenizer(list(texts)), tokenizer(list(texts))
    require(isinstance(made, Preparation), f"expected a kx.Preparation. Received: {made!r}.")
    spec = made.inputs
    require(isinstance(spec, Spec), f"expected a Spec of the token ids. Received: {spec!r}.")
    assert isinstance(spec, Spec)
    asked = list(ASKED)
    if made.host is not None:
        node = json.loads(json.dumps(made.host))  # as a run records it
        require(node == dict(made.host), "expected a host step of plain values, as JSON has them.")
        asked = run_host(node, ASKED)
        require(len(asked) == len(ASKED), f"expected {len(ASKED)} texts of the host step.")
    found, same = (_prepared(one, asked) for one in (made, again))
    for text, ids in zip(ASKED, found, strict=True):
        require(
            ids.shape == spec.shape and ids.dtype == spec.dtype,
            f"expected {spec.dtype} {spec.shape} of {text[:40]!r}. Received: {ids.dtype}"
            f" {ids.shape}.",
        )
        size = spec.vocabulary_size
        require(
            size is None or (ids.min() >= 0 and ids.max() < size),
            f"expected ids from 0 to {size and size - 1} of {text[:40]!r}. Received:"
            f" {ids.min()} to {ids.max()}.",
        )
    require(
        all(map(np.array_equal, found, same)),
        "expected the same ids from the same texts at each call. Received: others.",
    )
    require(
        all(map(np.array_equal, found, _reloaded(made, asked))),
        "expected the same ids after the preparation was saved and loaded again.",
    )


def _prepared(made: Preparation, texts: Sequence[str]) -> list[np.ndarray]:
    dataset = tf.data.Dataset.from_tensor_slices(list(texts))
    try:  # in a graph, as a training prepares them
        return list(dataset.map(made.prepare).as_numpy_iterator())
    except Exception as error:  # errors in a traced function have no common base class
        reason = first_line(error)
        raise ContractError(f"`prepare` cannot run in TensorFlow's graph: {reason}") from error


def _reloaded(made: Preparation, texts: Sequence[str]) -> list[np.ndarray]:
    module: Any = tf.Module()
    module.assets = list(made.assets)
    module.prepare = tf.function(made.prepare, input_signature=[tf.TensorSpec([], tf.string)])
    with tempfile.TemporaryDirectory() as folder:
        try:
            tf.saved_model.save(module, str(Path(folder, "saved")))
        except (AssertionError, ValueError) as error:  # a table that is no asset
            raise ContractError(
                "the preparation cannot be saved: lookup tables belong in `assets`."
                f" {first_line(error)}"
            ) from error
        loaded = tf.saved_model.load(str(Path(folder, "saved")))
        return [loaded.prepare(tf.constant(text)).numpy() for text in texts]
