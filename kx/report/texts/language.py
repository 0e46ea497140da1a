"""Report on a language model: the cross entropy of texts, and how it writes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kx.contracts.answers import Answers
from kx.contracts.findings import Findings, ReportOptions, bootstrap

_SAMPLES = 6
_PROMPT = 64  # tokens of a text that a sample continues


def language_findings(
    answers: Answers,
    answer: Callable[[keras.Model, Any], Mapping[str, Any]],
    texts: Callable[[Any], Any],
    losses: Callable[[Any, Any], Any],
    options: ReportOptions,
) -> Findings:
    """Returns the findings on the next tokens of texts.

    Args:
        answers: Answers of a model, which has no scores but is asked.
        answer: Function from the model and a batch of prepared texts to their continuations.
        texts: Detokenizer.
        losses: Function from token ids and scores to the cross entropy of each token.
        options: Options of the report.
    """
    sums, counts = _sums(answers, losses)

    def statistics(indices: np.ndarray) -> dict[str, float]:
        mean = float(sums[indices].sum() / max(counts[indices].sum(), 1))
        return {
            "nats_per_token": mean,
            "bits_per_token": mean / math.log(2),
            "perplexity": math.exp(min(mean, 700.0)),
        }

    everything = np.arange(len(sums))
    return Findings(
        statistics(everything),
        intervals=bootstrap(statistics, len(sums), options),
        tables={"Samples": _samples(answers, answer, texts)},
        statistics=statistics,
    )


def _sums(answers: Answers, losses: Callable[[Any, Any], Any]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cross entropy of each part of a text, and the number of its tokens."""
    sums, counts = [], []
    for tokens, following, *_ in answers.encoded:
        scores = answers.model.predict_on_batch(np.asarray(tokens))
        sums.append(np.asarray(losses(np.asarray(following), scores)).sum(axis=1))
        counts.append((np.asarray(following) != 0).sum(axis=1))
    return np.concatenate(sums).astype("float64"), np.concatenate(counts)


def _samples(
    answers: Answers,
    answer: Callable[[keras.Model, Any], Mapping[str, Any]],
    texts: Callable[[Any], Any],
) -> list[dict[str, str]]:
    """Returns some texts, and how the model continues them."""
    inputs = np.asarray(answers.inputs)
    begun = inputs[np.linspace(0, len(inputs) - 1, min(_SAMPLES, len(inputs))).astype(int)].copy()
    begun[:, min(_PROMPT, max(1, begun.shape[1] // 2)) :] = 0

    written = np.asarray(answer(answers.model, begun)["continuation"])
    shown = texts(tf.constant(begun)).numpy()
    return [
        {"text": prompt.decode(errors="replace"), "continuation": one.decode(errors="replace")}
        for prompt, one in zip(shown, written, strict=True)
    ]
