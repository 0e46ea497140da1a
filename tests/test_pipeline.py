"""The pipeline: what is fed, in which order, and that it is the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kx.data import Data, Spec
from kx.data import augment as augmentations
from kx.data.batches import eval_batches, train_batches
from kx.data.random import example_seeds, fold_in, uniform
from kx.data.store import example_bytes, fits_in_memory, store
from kx.errors import ConfigError, DataError

SHAPE = (6, 5, 3)


def data_of(count: int) -> Data:
    pixels = np.random.default_rng(0).integers(0, 256, (count, *SHAPE), dtype="uint8")
    dataset = tf.data.Dataset.from_tensor_slices((pixels, np.arange(count, dtype="int32")))
    return Data(dataset, dataset, dataset, Spec(SHAPE, "uint8"), Spec((), "int32"))


def same(inputs: Any, targets: Any) -> tuple[Any, Any]:
    return inputs, targets


def labels_of(dataset: tf.data.Dataset) -> list[list[int]]:
    return [y.tolist() for _, y in dataset.as_numpy_iterator()]


@pytest.fixture(params=["memory", "disk"])
def stored(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    return store(data_of(23), ["train"], tmp_path / "cache", request.param)["train"]


def test_each_epoch_has_each_example_once_in_a_new_order(stored) -> None:  # type: ignore[no-untyped-def]
    stream = train_batches(
        stored, batch_size=5, epochs=3, seed=0, encode=same, drop_remainder=False
    )
    batches = labels_of(stream)
    assert [len(b) for b in batches] == [5, 5, 5, 5, 3] * 3
    epochs = [sum(batches[i : i + 5], []) for i in (0, 5, 10)]
    assert all(sorted(epoch) == list(range(23)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != list(range(23))


def test_the_last_partial_batch_of_training_is_dropped(stored) -> None:  # type: ignore[no-untyped-def]
    batches = labels_of(train_batches(stored, batch_size=5, epochs=2, seed=0, encode=same))
    assert [len(b) for b in batches] == [5] * 8


def test_order_is_a_function_of_seed_and_epoch(stored) -> None:  # type: ignore[no-untyped-def]
    def order(**arguments: int) -> list[list[int]]:
        words = {"epochs": 3, "seed": 1, **arguments}
        return labels_of(train_batches(stored, batch_size=5, encode=same, **words))

    assert order() == order()
    assert order() != order(seed=2)
    assert order(first_epoch=1) == order()[4:]


def test_steps_per_epoch_takes_the_first_batches_of_each_epoch(stored) -> None:  # type: ignore[no-untyped-def]
    whole = labels_of(train_batches(stored, batch_size=5, epochs=2, seed=0, encode=same))
    few = train_batches(stored, batch_size=5, epochs=2, seed=0, encode=same, steps_per_epoch=2)
    assert labels_of(few) == whole[:2] + whole[4:6]


def test_evaluation_counts_each_example_once_in_order(stored) -> None:  # type: ignore[no-untyped-def]
    batches = labels_of(eval_batches(stored, batch_size=5, encode=same))
    assert sum(batches, []) == list(range(23)) and len(batches[-1]) == 3


def test_memory_and_disk_hold_the_same_examples(tmp_path: Path) -> None:
    data = data_of(23)
    in_memory = store(data, ["train"], tmp_path, "memory")["train"]
    on_disk = store(data, ["train"], tmp_path, "disk")["train"]
    a = list(eval_batches(in_memory, batch_size=23, encode=same).as_numpy_iterator())
    b = list(eval_batches(on_disk, batch_size=23, encode=same).as_numpy_iterator())
    np.testing.assert_array_equal(a[0][0], b[0][0])
    assert list(tmp_path.iterdir()), "nothing was written to the cache folder"


def test_a_batch_larger_than_the_split_is_refused(stored) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="batch_size=24"):
        train_batches(stored, batch_size=24, epochs=1, seed=0, encode=same)


def test_cache_is_chosen_by_the_measured_memory() -> None:
    assert example_bytes(data_of(1)) == 6 * 5 * 3 + 4
    assert fits_in_memory(1) and not fits_in_memory(10**15)


def test_an_example_that_cannot_be_prepared_is_a_data_error() -> None:
    data = data_of(4)
    data.train = tf.data.Dataset.from_tensor_slices((["no image"] * 4, [0, 1, 2, 3]))
    data.prepare = lambda raw: tf.io.decode_png(raw)
    with pytest.raises(DataError, match="example 0 cannot be prepared"):
        store(data, ["train"])


def test_what_is_on_disk_asks_its_source_no_more(tmp_path: Path) -> None:
    """A file of pictures may go while it is trained on those of a large folder."""
    data, asked = data_of(23), []

    def watched(inputs: tf.Tensor) -> tf.Tensor:
        tf.py_function(lambda: asked.append(1), [], [])
        return inputs

    data.prepare = watched
    stored = store(data, ["train"], tmp_path, "disk")["train"]
    assert len(asked) == 23
    batches = train_batches(stored, batch_size=5, epochs=2, seed=0, encode=same)
    assert len(list(batches)) == 8 and len(asked) == 23


def test_augmentation_is_of_training_alone_and_the_same_again(stored) -> None:  # type: ignore[no-untyped-def]
    chain = augmentations.chain(
        {"crop_flip": {"_target_": "kx.data.augment.crop_flip", "padding": 2}}
    )

    def epoch(number: int, seed: int = 0) -> dict[int, bytes]:
        stream = train_batches(
            stored, batch_size=7, epochs=number + 1, first_epoch=number, seed=seed, encode=same,
            augment=chain, drop_remainder=False,
        )  # fmt: skip
        return {
            int(label): image.tobytes()
            for images, labels in stream.as_numpy_iterator()
            for image, label in zip(images, labels, strict=True)
        }

    first = epoch(0)
    assert first == epoch(0)
    for other in (epoch(1), epoch(0, seed=1)):
        assert sum(first[i] == other[i] for i in range(23)) < 8


# --- random numbers and augmentations


def seeds(count: int, epoch: int = 0) -> tf.Tensor:
    return example_seeds(0, tf.constant(epoch), tf.range(count))


def test_random_numbers_are_uniform_independent_and_keyed_by_example() -> None:
    draws = uniform(seeds(20_000), 2).numpy()
    assert draws.min() >= 0 and draws.max() < 1
    np.testing.assert_allclose(draws.mean(axis=0), 0.5, atol=0.01)
    np.testing.assert_allclose(draws.std(axis=0), 12**-0.5, atol=0.01)
    histogram = np.histogram(draws, bins=20)[0] / draws.size
    np.testing.assert_allclose(histogram, 1 / 20, atol=0.005)
    following = uniform(seeds(20_000, epoch=1), 2).numpy()
    folded = uniform(fold_in(seeds(20_000), 0), 2).numpy()
    for other in (following[:, 0], draws[:, 1], folded[:, 0], np.roll(draws[:, 0], 1)):
        assert abs(np.corrcoef(draws[:, 0], other)[0, 1]) < 0.03
    np.testing.assert_array_equal(uniform(seeds(20_000)[500:600], 2), draws[500:600])


IMAGES = tf.constant(np.random.default_rng(1).integers(1, 256, (64, 8, 8, 3), dtype="uint8"))


@pytest.mark.parametrize("name", ["flip", "crop_flip", "translate", "rotate", "zoom"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_an_augmentation_keeps_the_contract(name: str, dtype: str) -> None:
    """The harness: shape and type kept, stateless, each example by its own seed."""
    function = getattr(augmentations, name)
    images = tf.cast(IMAGES, dtype)
    targets = tf.range(64)
    changed, passed = function(images, targets, seeds(64))
    assert changed.shape == images.shape and changed.dtype == images.dtype
    np.testing.assert_array_equal(passed, targets)
    assert not np.array_equal(changed, images)
    np.testing.assert_array_equal(function(images, targets, seeds(64))[0], changed)
    part, _ = function(images[10:20], targets[10:20], seeds(64)[10:20])
    np.testing.assert_allclose(part, changed[10:20])


def test_flip_mirrors_about_half_of_the_images() -> None:
    changed, _ = augmentations.flip(IMAGES, None, seeds(64))
    mirrored = [np.array_equal(c, i[:, ::-1]) for c, i in zip(changed, IMAGES, strict=True)]
    kept = [np.array_equal(c, i) for c, i in zip(changed, IMAGES, strict=True)]
    assert all(m or k for m, k in zip(mirrored, kept, strict=True))
    assert 15 < sum(mirrored) < 49
    np.testing.assert_array_equal(
        augmentations.flip(IMAGES, None, seeds(64), probability=0.0)[0], IMAGES
    )


def test_crop_flip_is_a_crop_of_the_padded_image() -> None:
    changed, _ = augmentations.crop_flip(IMAGES, None, seeds(64), padding=2, probability=0.0)
    padded = np.pad(IMAGES, [(0, 0), (2, 2), (2, 2), (0, 0)])
    offsets = set()
    for image, around in zip(changed.numpy(), padded, strict=True):
        found = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.array_equal(image, around[i : i + 8, j : j + 8])
        ]
        assert found
        offsets.add(found[0])
    assert len(offsets) > 12  # of 25


def test_translate_shifts_and_fills() -> None:
    changed, _ = augmentations.translate(
        IMAGES, None, seeds(64), height_fraction=0.25, width_fraction=0.0, fill_value=0
    )
    rows_filled = (changed.numpy() == 0).all(axis=(2, 3)).sum(axis=1)
    assert set(rows_filled) == {0, 1, 2}


def test_no_rotation_and_no_zoom_change_nothing() -> None:
    np.testing.assert_array_equal(
        augmentations.rotate(IMAGES, None, seeds(64), max_degrees=0.0)[0], IMAGES
    )
    np.testing.assert_array_equal(
        augmentations.zoom(IMAGES, None, seeds(64), max_fraction=0.0)[0], IMAGES
    )


def test_entries_of_a_chain_draw_independent_numbers() -> None:
    node = {"_target_": "kx.data.augment.flip"}
    chain = augmentations.chain({"a": node, "b": node, "gone": None})
    assert chain is not None
    twice, _ = chain(IMAGES, tf.range(64), seeds(64))
    changed = [not np.array_equal(t, i) for t, i in zip(twice, IMAGES, strict=True)]
    assert 15 < sum(changed) < 49  # one stream for both would undo every flip
    assert augmentations.chain({}) is None


@pytest.mark.parametrize("cache", ["memory", "disk"])
@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda image: tf.cast(image, tf.float32) / 255, "float32 after `prepare`"),
        (lambda image: image[:, :, :1], "1\\) after `prepare`"),
    ],
)
def test_what_a_spec_would_cut_off_is_refused(
    tmp_path: Path, cache: str, prepare: Any, said: str
) -> None:
    data = data_of(5)
    data.prepare = prepare
    with pytest.raises(DataError, match=said):
        store(data, ["train"], tmp_path / "cache", cache)


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_examples_have_the_dtypes_of_their_specs(tmp_path: Path, cache: str) -> None:
    data = data_of(5)
    data.inputs, data.targets = Spec(SHAPE, "float32"), Spec((), "int64")
    [stored] = store(data, ["train"], tmp_path / "cache", cache).values()
    inputs, targets = next(iter(eval_batches(stored, batch_size=5, encode=same)))
    assert (inputs.dtype, targets.dtype) == (tf.float32, tf.int64)
