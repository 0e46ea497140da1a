"""Writes texts token by token with a model's scores, in TensorFlow's graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kx.contracts.fields import map_fields
from kx.data.random import uniform

Answer = Callable[[Any, Any], dict[str, Any]]
# From the tokens so far, shape (rows, length), to the raw scores of the next, (rows, vocabulary).
Next = Callable[[Any], Any]
_NEVER = -1e9
_UNKNOWN = 1


def as_graph(answer: Answer) -> Answer:
    """Returns an answer that is one graph of a model, where it would run operation by operation.

    Args:
        answer: Function `(model, inputs)` to predictions by name.
    """
    known: dict[Any, Any] = {}

    def in_graph(model: Any, inputs: Any) -> dict[str, Any]:
        if not tf.executing_eagerly() or keras.backend.backend() != "tensorflow":
            return answer(model, inputs)
        inputs = tf.convert_to_tensor(inputs)
        spec = tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype)
        if known.get("of") is not model or known["spec"] != spec:  # the last model is kept
            graph = tf.function(partial(answer, model), input_signature=[spec])
            known.update(of=model, spec=spec, graph=graph)
        found: dict[str, Any] = known["graph"](inputs)
        return found

    return in_graph


def ask(model: Any, inputs: Any) -> tf.Tensor:
    """Returns the scores of a model, whichever backend it is on.

    Args:
        model: Model.
        inputs: Tensor, or tensors by name.
    """
    if keras.backend.backend() != "tensorflow":
        inputs = map_fields(lambda one: keras.ops.convert_to_tensor(np.asarray(one)), inputs)
    return model(inputs, training=False)


@dataclass(frozen=True)
class Beams:
    """Holds how a beam search writes a text.

    Args:
        start: Token with which each text begins.
        end: Token that ends a text.
        max_length: Number of tokens of the longest text.
        num_beams: Number of texts that are kept at each token; 1 keeps the best alone (greedy).
        length_penalty: Exponent of the length by which the log-probability of a text is divided.
    """

    start: int
    end: int
    max_length: int
    num_beams: int
    length_penalty: float

    def search(self, next_scores: Next, batch: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the most probable text found for each example.

        Args:
            next_scores: Function from tokens of shape `(batch * num_beams, length)` to scores.
            batch: Number of examples.

        Returns:
            Token ids, shape `(batch, length)`, padded after the end; and the mean log-probability
            of their tokens, shape `(batch,)`.

        Source: Wu et al. 2016, "Google's neural machine translation system", section 7 (the
        penalty is here the length to a power).
        """
        beams = self.num_beams
        rows = batch * beams
        tokens = tf.fill([rows, 1], self.start)
        # At first all beams of an example are equal: one of them counts.
        first = tf.concat([tf.zeros([batch, 1]), tf.fill([batch, beams - 1], _NEVER)], axis=1)
        lengths, ended = tf.ones([batch, beams]), tf.zeros([batch, beams], tf.bool)

        def step(tokens: Any, total: Any, lengths: Any, ended: Any) -> tuple[Any, ...]:
            chances = self._chances(next_scores(tokens), tf.reshape(ended, [-1]))
            size = tf.shape(chances)[-1]
            each = total[:, :, None] + tf.reshape(chances, [batch, beams, size])
            total, places = tf.math.top_k(tf.reshape(each, [batch, beams * size]), beams)
            of_beam, token = places // size, places % size
            row = tf.reshape(of_beam + tf.range(batch)[:, None] * beams, [-1])
            tokens = tf.concat([tf.gather(tokens, row), tf.reshape(token, [-1, 1])], axis=1)
            ended = tf.gather(ended, of_beam, batch_dims=1)
            lengths = tf.gather(lengths, of_beam, batch_dims=1) + tf.cast(~ended, tf.float32)
            return tokens, total, lengths, ended | (token == self.end)

        shapes = [tf.TensorShape(shape) for shape in ([None, None], *[[None, beams]] * 3)]
        tokens, total, lengths, _ = tf.while_loop(
            lambda *state: tf.logical_and(
                tf.shape(state[0])[1] <= self.max_length, ~tf.reduce_all(state[3])
            ),
            step,
            (tokens, first, lengths, ended),
            shape_invariants=tuple(shapes),
        )
        written = tf.maximum(lengths - 1, 1)  # without the start
        best = tf.argmax(total / written**self.length_penalty, axis=1, output_type=tf.int32)
        chosen = tf.gather(tokens, best + tf.range(batch) * beams)
        return chosen, tf.gather(total / written, best, batch_dims=1)

    def _chances(self, scores: Any, ended: Any) -> tf.Tensor:
        """Returns the log-probability of each token; after the end, of padding alone."""
        scores = tf.cast(tf.convert_to_tensor(scores), tf.float32)
        size = tf.shape(scores)[-1]
        special = tf.constant([0, _UNKNOWN, self.start])
        never = tf.reduce_max(tf.one_hot(special, size), axis=0) * _NEVER
        chances = tf.nn.log_softmax(scores + never)
        padding = (1 - tf.one_hot(0, size)) * _NEVER
        return tf.where(ended[:, None], padding[None], chances)


@dataclass(frozen=True)
class Sampling:
    """Holds how tokens are drawn after a text.

    The same text always has the same continuation: it is drawn by a hash of its tokens.

    Args:
        num_tokens: Number of tokens that are written.
        context_length: Number of tokens that the model sees at once.
        temperature: What scores are divided by; 0 takes the most probable token.
        top_p: Probability of the most probable tokens among which one is drawn.
        seed: Seed.
    """

    num_tokens: int
    context_length: int
    temperature: float
    top_p: float
    seed: int

    def draw(self, next_scores: Callable[[Any, Any], Any], prompts: tf.Tensor) -> tf.Tensor:
        """Returns the tokens that follow each prompt, shape `(batch, num_tokens)`.

        Args:
            next_scores: Function from tokens, shape `(batch, length)`, and the place of the last
                one of each row to the scores of the next, shape `(batch, vocabulary)`.
            prompts: Token ids, shape `(batch, length)`, with padding (0) after each text.

        Source: Holtzman et al. 2020, "The curious case of neural text degeneration", section 3.1.
        """
        held = tf.math.count_nonzero(prompts, axis=1, dtype=tf.int32)
        size, batch = self.context_length, tf.shape(prompts)[0]
        first = tf.maximum(held, 1)  # an empty text: written from padding on
        hashes = tf.reduce_sum(
            tf.cast(prompts, tf.int64) * (tf.range(tf.shape(prompts)[1], dtype=tf.int64) + 7),
            axis=1,
        )
        tokens = tf.pad(prompts, [[0, 0], [0, self.num_tokens + 1]])
        tokens = tokens[:, : tf.reduce_max(first) + self.num_tokens]

        def step(number: Any, tokens: Any) -> tuple[Any, Any]:
            last = first + number - 1
            start = tf.maximum(last - size + 1, 0)
            window = start[:, None] + tf.range(tf.minimum(size, tf.reduce_max(last) + 1))[None]
            seen = tf.gather(tokens, window, batch_dims=1)
            scores = next_scores(seen, last - start)
            token = self._drawn(scores, hashes, number)
            here = tf.range(tf.shape(tokens)[1])[None] == (last + 1)[:, None]
            return number + 1, tf.where(here, token[:, None], tokens)

        _, tokens = tf.while_loop(
            lambda number, _: number < self.num_tokens,
            step,
            (tf.constant(0), tokens),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None])),
        )
        places = first[:, None] + tf.range(self.num_tokens)[None]
        return tf.reshape(tf.gather(tokens, places, batch_dims=1), [batch, self.num_tokens])

    def _drawn(self, scores: Any, hashes: tf.Tensor, number: Any) -> tf.Tensor:
        """Returns a token of each row."""
        scores = tf.cast(tf.convert_to_tensor(scores), tf.float32)
        never = tf.reduce_max(tf.one_hot([0, _UNKNOWN], tf.shape(scores)[-1]), axis=0) * _NEVER
        scores += never
        if not self.temperature:
            return tf.argmax(scores, axis=-1, output_type=tf.int32)
        chances, order = tf.math.top_k(
            tf.nn.softmax(scores / self.temperature), tf.shape(scores)[1]
        )
        sums = tf.cumsum(chances, axis=-1)
        kept = chances * tf.cast(sums - chances < self.top_p, tf.float32)
        seeds = tf.stack(
            [tf.fill(tf.shape(hashes), tf.cast(number, tf.int64) + self.seed * 1_000_003), hashes],
            1,
        )
        drawn = uniform(seeds, 1) * tf.reduce_sum(kept, axis=-1, keepdims=True)
        place = tf.reduce_sum(tf.cast(tf.cumsum(kept, axis=-1) <= drawn, tf.int32), axis=-1)
        place = tf.minimum(place, tf.math.count_nonzero(kept, axis=-1, dtype=tf.int32) - 1)
        return tf.gather(order, place, batch_dims=1)
