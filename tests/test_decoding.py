"""Texts that are written token by token, compared with slow and obvious versions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax

from kx.tasks.text.decoding import Beams, Sampling
from kx.tasks.text.language_model import encode
from kx.tasks.text.tokens import Perplexity, TokenAccuracy, TokenLoss

SIZE, START, END = 6, 4, 5  # ids: padding, unknown, two words, start, end
GENERATOR = np.random.default_rng(1)
CHAIN = GENERATOR.normal(size=(3, SIZE, SIZE)).astype("float32")  # of three examples


def beams(num_beams: int, length_penalty: float = 1.0, max_length: int = 4) -> Beams:
    return Beams(START, END, max_length, num_beams, length_penalty)


def after_last(num_beams: int) -> Any:
    """Scores that depend on the example and on the last token."""
    chains = tf.repeat(tf.constant(CHAIN), num_beams, axis=0)
    return lambda tokens: tf.gather(chains, tokens[:, -1], batch_dims=1)


def chances(example: int, last: int) -> np.ndarray:
    scores = CHAIN[example, last].astype("float64")
    scores[[0, 1, START]] = -1e9
    return log_softmax(scores)


def best_of_all(example: int, penalty: float, max_length: int = 4) -> tuple[list[int], float]:
    """The best text of all: those that end, and those of the full length."""
    found = []
    for length in range(1, max_length + 1):
        for text in itertools.product((2, 3, END), repeat=length):
            ended = text[-1] == END
            if END in text[:-1] or not (ended or length == max_length):
                continue
            pairs = zip((START, *text), text, strict=False)
            total = sum(chances(example, last)[token] for last, token in pairs)
            found.append((total / length**penalty, list(text), total / length))
    _, text, mean = max(found)
    return text, mean


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_beams_that_keep_all_find_the_best_text(penalty: float) -> None:
    tokens, mean = beams(100, penalty).search(after_last(100), 3)
    for example in range(3):
        text, expected = best_of_all(example, penalty)
        written = [one for one in tokens[example, 1:].numpy().tolist() if one]
        assert written == text
        np.testing.assert_allclose(mean[example], expected, rtol=1e-5)


@pytest.mark.parametrize("graph", [True, False])
def test_one_beam_takes_the_most_probable_token_each_time(graph: bool) -> None:
    search = lambda: beams(1).search(after_last(1), 3)  # noqa: E731
    tokens, _ = tf.function(search)() if graph else search()
    for example in range(3):
        text, last = [], START
        while last != END and len(text) < 4:
            last = int(np.argmax(chances(example, last)))
            text.append(last)
        assert [one for one in tokens[example, 1:].numpy().tolist() if one] == text


def test_more_beams_never_find_a_less_probable_text() -> None:
    def total(num_beams: int) -> np.ndarray:
        tokens, mean = beams(num_beams, 0.0).search(after_last(num_beams), 3)
        return mean.numpy() * np.count_nonzero(tokens.numpy()[:, 1:], axis=1)

    assert (total(100) >= total(1) - 1e-5).all()


def sampling(**options: Any) -> Sampling:
    plain = {"num_tokens": 5, "context_length": 4, "temperature": 1.0, "top_p": 1.0, "seed": 0}
    return Sampling(**{**plain, **options})


def of_sum(tokens: Any, last: Any) -> tf.Tensor:
    """Scores that depend on all tokens that the model sees, up to the last one."""
    place = tf.range(tf.shape(tokens)[1])[None]
    seen = tf.reduce_sum(tf.where(place <= last[:, None], tokens, 0), axis=1)
    return tf.gather(tf.constant(TABLE), seen % len(TABLE))


TABLE = GENERATOR.normal(size=(11, SIZE)).astype("float32")
PROMPTS = tf.constant([[2, 3, 3, 2, 4, 2], [3, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])


def slowly(prompt: list[int], context: int, count: int) -> list[int]:
    """The most probable continuation, one token at a time."""
    text = [one for one in prompt if one] or [0]
    written = []
    for _ in range(count):
        scores = TABLE[sum(text[-context:]) % len(TABLE)].copy()
        scores[[0, 1]] = -1e9
        written.append(int(np.argmax(scores)))
        text.append(written[-1])
    return written


@pytest.mark.parametrize("context", [1, 4, 20])
def test_the_coldest_sample_is_the_most_probable_of_what_is_seen(context: int) -> None:
    drawn = sampling(temperature=0.0, context_length=context).draw(of_sum, PROMPTS).numpy()
    for prompt, tokens in zip(PROMPTS.numpy().tolist(), drawn.tolist(), strict=True):
        assert tokens == slowly(prompt, context, 5)


def test_a_text_has_one_continuation_in_whatever_batch_and_another_seed_another() -> None:
    together = sampling(num_tokens=20).draw(of_sum, PROMPTS).numpy()
    alone = sampling(num_tokens=20).draw(of_sum, PROMPTS[1:2]).numpy()
    shorter = sampling(num_tokens=20).draw(of_sum, PROMPTS[1:2, :3]).numpy()
    np.testing.assert_array_equal(together[1:2], alone)
    np.testing.assert_array_equal(alone, shorter)  # padding does not count
    other = sampling(num_tokens=20, seed=1).draw(of_sum, PROMPTS).numpy()
    assert (other != together).any()
    assert together.min() > 1


def test_tokens_are_drawn_by_their_probability_among_the_most_probable() -> None:
    prompts = tf.constant(np.arange(4000)[:, None] % 4000 + 1, tf.int32)
    scores = np.array([5.0, 5.0, 0.0, 1.0, 2.0, -1.0], "float32")

    def same(tokens: Any, last: Any) -> tf.Tensor:
        return tf.tile(tf.constant(scores)[None], [tf.shape(tokens)[0], 1])

    def shares(**options: Any) -> np.ndarray:
        drawn = sampling(num_tokens=1, **options).draw(same, prompts).numpy()[:, 0]
        return np.bincount(drawn, minlength=SIZE) / len(drawn)

    possible = np.where(np.arange(SIZE) < 2, -np.inf, scores)
    np.testing.assert_allclose(shares(), softmax(possible), atol=0.03)
    np.testing.assert_allclose(shares(temperature=2.0), softmax(possible / 2), atol=0.03)
    # The most probable has 64 %, and the next one 24 %.
    assert shares(top_p=0.5)[4] == 1.0
    found = shares(top_p=0.8)
    assert found[[3, 4]].sum() == 1.0 and found[4] == pytest.approx(0.731, abs=0.03)


TRUTH = np.array([[2, 3, 5, 0], [5, 0, 0, 0], [0, 0, 0, 0]])
SCORES = GENERATOR.normal(size=(3, 4, SIZE)).astype("float32")


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_and_metrics_are_of_all_tokens_but_padding(smoothing: float) -> None:
    likely = log_softmax(SCORES, axis=-1)
    even = np.full(SIZE, smoothing / SIZE)
    losses = [
        -(((1 - smoothing) * np.eye(SIZE)[token] + even) * likely[row, place]).sum()
        for (row, place), token in np.ndenumerate(TRUTH)
        if token
    ]
    np.testing.assert_allclose(TokenLoss(smoothing)(TRUTH, SCORES), np.mean(losses), rtol=1e-5)
    nats = [-likely[row, place, token] for (row, place), token in np.ndenumerate(TRUTH) if token]
    right = [
        SCORES[row, place].argmax() == token
        for (row, place), token in np.ndenumerate(TRUTH)
        if token
    ]
    perplexity, accuracy = Perplexity(), TokenAccuracy()
    for row in range(3):  # texts of other lengths count by their tokens
        perplexity.update_state(TRUTH[row : row + 1], SCORES[row : row + 1])
        accuracy.update_state(TRUTH[row : row + 1], SCORES[row : row + 1])
    np.testing.assert_allclose(perplexity.result(), np.exp(np.mean(nats)), rtol=1e-5)
    np.testing.assert_allclose(accuracy.result(), np.mean(right), rtol=1e-6)


@pytest.mark.parametrize(("length", "context"), [(9, 4), (10, 4), (5, 4), (2, 4), (3, 1)])
def test_each_token_but_the_first_is_predicted_once(length: int, context: int) -> None:
    texts = tf.constant(np.arange(1, 2 * length + 1).reshape(2, length), tf.int32)
    before, after = encode(context, texts, {})
    assert before.shape[1] == after.shape[1] == context
    predicted = after.numpy()[after.numpy() > 0]
    np.testing.assert_array_equal(np.sort(predicted), np.sort(texts.numpy()[:, 1:].ravel()))
    seen = before.numpy()
    np.testing.assert_array_equal(seen[after.numpy() > 0] + 1, predicted)
