"""A language model: which token comes next."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from kx.contracts.answers import Answers
from kx.contracts.specs import Outputs, Spec, Specs
from kx.contracts.task import Task
from kx.data.texts.detokenize import Detokenizer
from kx.errors import ConfigError
from kx.tasks.text.decoding import Sampling, as_graph, ask
from kx.tasks.text.tokens import Perplexity, TokenAccuracy, TokenLoss, token_losses
from kx.types import Count, NonNegative, Share


def language_model(
    targets: Specs,
    inputs: Specs,
    facts: Mapping[str, Any],
    *,
    monitor: str = "val_perplexity",
    monitor_mode: str = "min",
    context_length: Count = 256,
    num_tokens: Count = 100,
    temperature: NonNegative = 0.8,
    top_p: Share = 0.95,
    seed: int = 0,
) -> Task:
    """Makes the task of predicting each token of a text from those before it.

    A text that is longer than the context is divided into several: in the validation and the test
    split all its tokens count but the first, and so in the training if nothing is drawn
    (`augment=window` draws one part). Its answers are tokens drawn one after the other, in the
    graph, so that an exported model writes on; the same text always has the same continuation.

    Args:
        targets: Spec of the targets, which are not used.
        inputs: Spec of a text's token ids.
        facts: Facts of the data: how token ids become texts.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_perplexity"`.
        monitor_mode: `"max"` or `"min"`. Defaults to `"min"`.
        context_length: Number of tokens that the model sees at once. Defaults to 256.
        num_tokens: Number of tokens that an answer has. Defaults to 100.
        temperature: What scores are divided by before a token is drawn; 0 takes the most probable
            one. Defaults to 0.8.
        top_p: Probability of the most probable tokens among which one is drawn. Defaults to 0.95.
        seed: Seed of the answers. Defaults to 0.

    Returns:
        Task whose models give scores of shape `(batch, length, vocabulary_size)`.

    Raises:
        ConfigError: If the inputs are no texts.

    Source: Radford et al. 2019; Holtzman et al. 2020, section 3.1 (`top_p`).
    """
    node = facts.get("detokenize", {}).get("")
    if not isinstance(inputs, Spec) or inputs.vocabulary_size is None or node is None:
        raise ConfigError(
            "task=language_model expects texts whose token ids can become a text again:"
            " data=text_lines with tokenizer=characters, or tokenizer=words without ngrams."
        )
    context = min(context_length, inputs.shape[0] - 1)
    if context < 1:
        raise ConfigError(
            f"task=language_model: a text has {inputs.shape[0]} token. Expected 2 or more:"
            " tokenizer.sequence_length."
        )
    sampling = Sampling(num_tokens, context, temperature, top_p, seed)
    texts = Detokenizer.read(node)
    answer = as_graph(partial(_answer, sampling, texts))
    return Task(
        outputs=Outputs(inputs.vocabulary_size, axes=(None,), along=""),
        inputs=replace(inputs, shape=(context,)),
        encode=partial(encode, context),
        loss=TokenLoss(),
        metrics=lambda: [Perplexity(), TokenAccuracy()],
        decode=lambda scores: {"tokens": tf.argmax(scores, axis=-1, output_type=tf.int32)},
        answer=answer,
        generates=True,
        report=partial(_report, answer, texts),
        monitor=monitor,
        monitor_mode=monitor_mode,
    )


def encode(context_length: int, inputs: Any, targets: Any) -> tuple[Any, Any]:
    """Returns the tokens of parts of texts, and the token that follows each one.

    Args:
        context_length: Number of tokens of a part.
        inputs: Token ids, shape `(batch, length)`.
        targets: Not used.

    Returns:
        Two tensors of shape `(batch * parts, context_length)`. The last part of a text ends in
        padding where its length is no multiple.
    """
    length: int = inputs.shape[1]
    num_parts = max(1, -(-(length - 1) // context_length))
    missing = num_parts * context_length - (length - 1)
    shape = [-1, context_length]
    before = tf.pad(inputs[:, :-1], [[0, 0], [0, missing]])
    after = tf.pad(inputs[:, 1:], [[0, 0], [0, missing]])
    return tf.reshape(before, shape), tf.reshape(after, shape)


def _answer(
    sampling: Sampling, texts: Detokenizer, model: keras.Model, inputs: Any
) -> dict[str, tf.Tensor]:
    """Returns how each text continues."""

    def next_scores(tokens: Any, last: Any) -> Any:
        scores = tf.convert_to_tensor(ask(model, tokens))
        return tf.gather(scores, last, batch_dims=1)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are using a softmax")  # of a text of one token
        tokens = sampling.draw(next_scores, tf.convert_to_tensor(inputs))
    return {"continuation": texts(tokens)}


def _report(answer: Any, texts: Detokenizer, answers: Answers, options: Any) -> Any:
    from kx.report.texts.language import language_findings

    return language_findings(answers, answer, texts, token_losses, options)
