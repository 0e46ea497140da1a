"""Which examples come in an epoch, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from test_resume import compared

import kx
from kx.config import compose
from kx.contracts.specs import Outputs
from kx.data.samplers import Sampled, balanced, by_length, episodes, in_order, shuffle
from kx.errors import ConfigError
from kx.tracking.records import identity
from kx.training import train

QUICK = ["data=digits", "split.limit=200", "model=linear", "report=none", "augment=none"]


def seeds(epoch: int, seed: int = 0) -> tf.Tensor:
    return tf.constant([seed, epoch], tf.int64)


def split_of(classes: list[int] | np.ndarray, batch_size: int = 4) -> Sampled:
    found = np.asarray(classes)
    names = [str(number) for number in range(found.max() + 1)]
    return Sampled(len(found), found, names, batch_size, np.arange(len(found)) % 5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=40), st.integers(0, 5))
def test_balanced_gives_each_class_equally_often(labels: list[int], epoch: int) -> None:
    split = split_of(labels)
    indices = np.asarray(balanced(split)(seeds(epoch)))
    num_classes = len(set(labels))
    counts = np.bincount(np.asarray(labels)[indices])
    assert len(set(counts[counts > 0])) == 1 and (counts > 0).sum() == num_classes
    assert len(labels) <= len(indices) < len(labels) + num_classes
    # An example comes again only after each other one of its class.
    for number in set(labels):
        members = np.flatnonzero(np.asarray(labels) == number)
        times = np.bincount(indices, minlength=len(labels))[members]
        assert times.max() - times.min() <= 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=90),
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_by_length_gives_each_example_once_and_sorts_within_windows(
    lengths: list[int], batch_size: int, window: int, epoch: int
) -> None:
    counts = np.array(lengths)
    split = Sampled(len(counts), None, None, batch_size, counts)
    indices = np.asarray(by_length(split, window=window)(seeds(epoch)))
    assert sorted(indices.tolist()) == list(range(len(counts)))
    whole = len(counts) // batch_size
    batches = counts[indices[: whole * batch_size]].reshape(whole, batch_size)
    # Of all ways to form batches within one window, sorted ones have the least padding.
    if window >= whole:
        spread = sorted((batch.min(), batch.max()) for batch in batches)
        assert all(one[1] <= other[0] for one, other in zip(spread, spread[1:], strict=False))


def test_by_length_leaves_little_padding_and_mixes_long_and_short_batches() -> None:
    counts = np.random.default_rng(0).integers(1, 100, 6400)
    split = Sampled(6400, None, None, 32, counts)
    batches = counts[np.asarray(by_length(split)(seeds(0)))].reshape(-1, 32)
    assert batches.sum() > 0.95 * 32 * batches.max(axis=1).sum()
    shuffled = counts[np.asarray(shuffle(split)(seeds(0)))].reshape(-1, 32)
    assert shuffled.sum() < 0.6 * 32 * shuffled.max(axis=1).sum()
    halves = batches[:100].mean(), batches[100:].mean()
    assert abs(halves[0] - halves[1]) < 20, "an epoch does not begin with the short ones"


def test_by_length_wants_texts(project: Path) -> None:
    with pytest.raises(ConfigError, match="by_length expects texts"):
        kx.train("data=wine", "model=linear", "sampler=by_length", quiet=True)
    words = ["data=reviews", "data.num_examples=300", "model=fasttext", "epochs=2", "report=none"]
    run = kx.train(*words, "sampler=by_length", "tracking=none", quiet=True)
    assert len(run.history["train/loss"]) == 2


@pytest.mark.parametrize("make", [shuffle, balanced, by_length])
def test_an_order_is_a_function_of_seed_and_epoch(make: Any) -> None:
    sampler = make(split_of(np.arange(60) % 3))
    orders = {
        (seed, epoch): tuple(np.asarray(sampler(seeds(epoch, seed))).tolist())
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(set(orders.values())) == 4
    assert tuple(np.asarray(sampler(seeds(1))).tolist()) == orders[0, 1]


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 4), st.integers(1, 2), st.integers(1, 3), st.integers(0, 50))
def test_an_episode_has_different_examples_of_a_few_classes(
    num_classes: int, num_shots: int, num_queries: int, epoch: int
) -> None:
    labels = np.repeat(np.arange(5), [5, 6, 7, 8, 9])
    each = num_shots + num_queries
    sampler = episodes(
        split_of(labels, num_classes * each), num_classes=num_classes, num_shots=num_shots,
        num_queries=num_queries, num_episodes=6,
    )  # fmt: skip
    found = np.asarray(sampler(seeds(epoch)))
    assert found.shape == (6, num_classes * each)
    for row in found:
        assert len(set(row)) == len(row)
        of_class = labels[row].reshape(num_classes, each)
        assert (of_class == of_class[:, :1]).all() and len(set(of_class[:, 0])) == num_classes
    assert not np.array_equal(found[0], found[1])


def test_in_order_is_the_order_of_the_split() -> None:
    assert np.asarray(in_order(split_of([0, 1, 0]))(seeds(3))).tolist() == [0, 1, 2]


def test_the_default_order_and_the_identity_of_a_run_are_as_before(project: Path) -> None:
    job = compose(QUICK)
    with_sampler = identity(job)
    assert identity(compose([*QUICK, "sampler=balanced"])) != with_sampler
    job.config.sampler = {"_target_": "kx.data.samplers.shuffle"}
    assert identity(job) == with_sampler
    order = np.asarray(shuffle(Sampled(50, None, None, 4))(seeds(2, 7)))
    wanted = tf.random.experimental.stateless_shuffle(
        tf.range(50), seed=tf.constant([7, 2], tf.int64)
    )
    np.testing.assert_array_equal(order, wanted)


@pytest.mark.slow
def test_a_run_with_a_sampler_continues_to_the_same_numbers(project: Path) -> None:
    words = [*QUICK, "sampler=balanced", "epochs=3", "tracking=none"]
    straight = kx.train(*words, quiet=True)
    train(compose([*words, "seed=0"]), stop_after=1, evaluate=False, quiet=True)
    again = kx.train(*words, "resume=auto", quiet=True)
    assert compared(again.history) == compared(straight.history)
    assert (
        straight.history["train/loss"]
        != kx.train(*words[:-3], *words[-2:], quiet=True).history["train/loss"]
    )


def alternate_classes(split: Sampled, *, share: float = 0.5) -> Any:
    """A sampler of a project: some of the examples, the same in each epoch."""
    count = int(share * split.num_examples)
    return lambda seeds: tf.range(count)


def beyond(split: Sampled) -> Any:
    return lambda seeds: tf.range(split.num_examples + 1)


def floats(split: Sampled) -> Any:
    return lambda seeds: tf.zeros([4])


def test_a_sampler_of_a_project_decides_how_long_an_epoch_is(project: Path) -> None:
    words = [*QUICK, "sampler._target_=test_samplers.alternate_classes", "+sampler.share=0.25"]
    run = kx.train(*words, "epochs=1", "batch_size=10", quiet=True)
    whole = kx.train(*QUICK, "epochs=1", "batch_size=10", quiet=True)
    rate = "examples_per_second"
    seconds = [one.history[rate][0] * one.history["epoch_seconds"][0] for one in (run, whole)]
    assert run.config["sampler"]["share"] == 0.25 and seconds[0] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sampler._target_=test_samplers.beyond"], "expected indices from 0 to"),
        (["sampler._target_=test_samplers.floats"], "Received: float32"),
        (["sampler=balanced", "data=diabetes"], "one class for each example"),
        (["sampler=balanced", "data.cache=disk"], "data.cache=memory"),
        (["sampler=episodes"], "Set batch_size=30"),
        (["sampler=episodes", "sampler.num_classes=11", "batch_size=66"], "has 10 classes"),
        (["sampler=episodes", "sampler.num_shots=90", "batch_size=475"], "The smallest one has"),
        (["sampler=balanced", "data=grid_world"], "sampler=shuffle"),
    ],
)
def test_a_sampler_that_does_not_fit_is_refused(project: Path, words: list[str], said: str) -> None:
    base = QUICK if not any(word.startswith("data=") for word in words) else ["report=none"]
    model = ["model=linear"] if "data=diabetes" in words else []
    with pytest.raises(ConfigError, match=said):
        kx.train(*base, *model, "epochs=1", *words, quiet=True)


# --- a project that learns from episodes: prototypical networks (Snell et al. 2017)

NUM_CLASSES, NUM_SHOTS, NUM_QUERIES = 4, 2, 3


class Prototypes(keras.Model):
    """Learns a map in which a query is nearest to the mean of the shots of its class."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model
        self.hits = keras.metrics.Mean(name="hits")
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.model(inputs, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        if not training:  # validation has no episodes
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        ops, each = keras.ops, NUM_SHOTS + NUM_QUERIES
        of_class = ops.reshape(y_pred, (NUM_CLASSES, each, -1))
        means = ops.mean(of_class[:, :NUM_SHOTS], axis=1)
        queries = ops.reshape(of_class[:, NUM_SHOTS:], (NUM_CLASSES * NUM_QUERIES, -1))
        gaps = ops.sum((queries[:, None] - means[None]) ** 2, axis=-1)
        truth = ops.repeat(ops.arange(NUM_CLASSES), NUM_QUERIES)
        self.hits.update_state(ops.cast(ops.argmin(gaps, axis=-1) == truth, "float32"))
        return ops.mean(keras.losses.sparse_categorical_crossentropy(truth, -gaps, True))


def prototypical(targets: Any, *, monitor: str | None = None, monitor_mode: str = "min") -> kx.Task:
    from kx.tasks.prediction.classification import classification

    task = classification(targets)
    task.monitor, task.monitor_mode = monitor, monitor_mode
    task.learner, task.learner_metrics = Prototypes, ["hits"]
    return task


@pytest.mark.usefixtures("graphs")
def test_a_project_learns_from_episodes(project: Path) -> None:
    folder = project / "conf" / "task"
    folder.mkdir(parents=True)
    (folder / "prototypical.yaml").write_text(
        "# Of a test.\n_target_: test_samplers.prototypical\nmonitor: null\nmonitor_mode: min\n"
    )
    run = kx.train(
        "data=digits", "split.limit=600", "model=mlp", "model.hidden_units=[32]", "report=none",
        "task=prototypical", "sampler=episodes", f"sampler.num_classes={NUM_CLASSES}",
        f"sampler.num_shots={NUM_SHOTS}", f"sampler.num_queries={NUM_QUERIES}", "batch_size=20",
        "sampler.num_episodes=60", "epochs=6", "optimizer.learning_rate=1e-2", quiet=True,
    )  # fmt: skip
    hits = run.history["train/hits"]
    assert hits[-1] > max(0.6, hits[0])  # by chance it would be a quarter
    assert Outputs(10, run.task().outputs.class_names).units == run.model().output_shape[-1]
