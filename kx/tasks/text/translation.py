"""Translation: a text for each text."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from kx.contracts.answers import Answers
from kx.contracts.specs import Outputs, Spec, Specs
from kx.contracts.task import Task
from kx.data.texts.detokenize import Detokenizer
from kx.errors import ConfigError, MissingExtraError
from kx.tasks.text.decoding import Beams, as_graph, ask
from kx.tasks.text.tokens import Perplexity, TokenAccuracy, TokenLoss
from kx.types import Count, Fraction, NonNegative


def translation(
    targets: Specs,
    inputs: Specs,
    facts: Mapping[str, Any],
    *,
    monitor: str = "val_perplexity",
    monitor_mode: str = "min",
    label_smoothing: Fraction = 0.1,
    num_beams: Count = 4,
    length_penalty: NonNegative = 1.0,
    max_length: Count | None = None,
) -> Task:
    """Makes the task of writing a text for a text: a translation, a summary, an answer.

    The model learns each token from the source and from the true tokens before it (teacher
    forcing). Its answers are written by a beam search, in the graph, so that an exported model
    takes texts and gives texts.

    Args:
        targets: Spec of the target's token ids, which begin with a start and stop with an end.
        inputs: Spec of the source's token ids.
        facts: Facts of the data: how token ids become texts.
        monitor: Metric by which epochs and runs are compared. Defaults to `"val_perplexity"`.
        monitor_mode: `"max"` or `"min"`. Defaults to `"min"`.
        label_smoothing: Share of the probability that the loss spreads evenly over the vocabulary.
            Defaults to 0.1.
        num_beams: Number of texts that the beam search keeps; 1 is a greedy search. Defaults to 4.
        length_penalty: Exponent of the length by which the log-probability of a text is divided.
            Defaults to 1.
        max_length: Number of tokens of the longest answer. Defaults to None: of the targets'
            length.

    Returns:
        Task whose models take `source` and `target`, the tokens before each one, and give scores
        of shape `(batch, target_length, vocabulary_size)`.

    Raises:
        ConfigError: If inputs and targets are no texts.
        MissingExtraError: If sacreBLEU is not installed.

    Source: Sutskever et al. 2014, "Sequence to sequence learning with neural networks"; Papineni
    et al. 2002 (BLEU) and Popović 2015 (chrF), as sacreBLEU computes them (Post 2018).
    """
    known = facts.get("detokenize", {})
    node = known.get("target")
    if not isinstance(inputs, Spec) or not isinstance(targets, Spec) or node is None:
        raise ConfigError(
            "task=translation expects a text for each text: data=text_pairs, or a data function"
            " whose input_spec and target_spec are kx.Spec((), 'string', kind='text')."
        )
    if importlib.util.find_spec("sacrebleu") is None:
        raise MissingExtraError(
            "task=translation measures BLEU and chrF with sacreBLEU; it is not installed:"
            ' pip install "kx[translation]"'
        )
    texts = Detokenizer.read(node)
    assert targets.vocabulary_size is not None
    length = targets.shape[0] - 1  # of the tokens before each one, and of those that follow
    if max_length is not None and max_length > length:
        raise ConfigError(
            f"task.max_length: expected {length} or less, the tokens of the longest target"
            f" (tokenizer.target.sequence_length). Received: {max_length}."
        )
    beams = Beams(texts.start, texts.end, max_length or length, num_beams, length_penalty)
    answer = as_graph(partial(_answer, beams, texts))
    return Task(
        outputs=Outputs(targets.vocabulary_size, axes=(None,), along="target"),
        inputs={
            "source": inputs,
            "target": Spec(
                (length,), targets.dtype, vocabulary_size=targets.vocabulary_size,
                kind="tokens", padding_value=0,
            ),
        },
        encode=partial(encode, texts.end),
        loss=TokenLoss(label_smoothing),
        metrics=lambda: [Perplexity(), TokenAccuracy()],
        decode=lambda scores: {"tokens": tf.argmax(scores, axis=-1, output_type=tf.int32)},
        answer=answer,
        generates=True,
        report=partial(_report, answer, texts, known.get("")),
        monitor=monitor,
        monitor_mode=monitor_mode,
    )  # fmt: skip


def encode(end: int, inputs: Any, targets: Any) -> tuple[Any, Any]:
    """Returns what the model takes, and the token that follows each one.

    Args:
        end: Token that ends a text: no token follows it, and so the model does not get it.
        inputs: Token ids of the sources, shape `(batch, source_length)`.
        targets: Token ids of the targets, with their start, shape `(batch, length)`.
    """
    before = tf.where(targets[:, :-1] == end, 0, targets[:, :-1])
    return {"source": inputs, "target": before}, targets[:, 1:]


def _answer(
    beams: Beams, texts: Detokenizer, model: keras.Model, inputs: Any
) -> dict[str, tf.Tensor]:
    """Returns the translation of each source, and its confidence: the mean of its tokens'."""
    batch = tf.shape(inputs)[0]
    source = tf.repeat(inputs, beams.num_beams, axis=0)
    names = {layer.name for layer in getattr(model, "layers", ())}
    if {"encoder", "decoder"} <= names:  # the source is read once
        decoder = model.get_layer("decoder")
        read = ask(model.get_layer("encoder"), source)

        def next_scores(tokens: Any) -> Any:
            given = {"source": source, "target": tokens, **read}
            return ask(decoder, given)[:, -1]
    else:

        def next_scores(tokens: Any) -> Any:
            return ask(model, {"source": source, "target": tokens})[:, -1]

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are using a softmax")  # of the first token alone
        tokens, chance = beams.search(next_scores, batch)
    return {"translation": texts(tokens), "confidence": tf.exp(chance)}


def _report(answer: Any, texts: Detokenizer, source: Any, answers: Answers, options: Any) -> Any:
    from kx.report.texts.translations import translation_findings

    return translation_findings(
        answers, answer, texts, source and Detokenizer.read(source), options
    )
