"""The contract of a data option, over every shipped one, and the sources' own promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import as_data, images_of, parts_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_masks import write_pairs

import kx
from kx.config import CONF_DIR, Composed, build, compose
from kx.contracts.fields import values_of
from kx.data import Data
from kx.data.fingerprint import fingerprint
from kx.data.sources.images.pixels import decode_image
from kx.data.sources.tables.embedded import decode_row, encode_rows
from kx.data.sources.text import text_csv as texts_of
from kx.data.split.choose import limited
from kx.errors import ConfigError, DataError
from kx.fit.batches import make_data, make_examples
from kx.testing import check_data

text_csv = as_data(texts_of.text_csv)
OPTIONS = sorted(path.stem for path in (CONF_DIR / "data").glob("*.yaml"))
Configured = Callable[..., Composed]
Make = Callable[..., Data]


@pytest.fixture
def configured(
    project: Path, tfds_folder: Path, texts: Path, pictures: Path, request: pytest.FixtureRequest
) -> Configured:
    """A function from an option, and more overrides, to its config, with data made for the test."""
    sets = ("cifar10", "cifar100", "mnist", "fashion_mnist")
    extra = {
        "tfds": ["data.name=mnist", f"data.data_dir={tfds_folder}"],
        "gymnasium": ["data.name=CartPole-v1"],
        "text_csv": [f"data.path={texts}", "data.text=review", "data.label=mood"],
        "image_folder": [f"data.root={pictures}", "data.image_size=[16,16]"],
        "imdb_reviews": [f"data.data_dir={tfds_folder}"],
        "sst2": [f"data.data_dir={tfds_folder}"],
        **{name: [f"data.data_dir={tfds_folder}"] for name in sets},
    }

    def composed(option: str, *words: str) -> Composed:
        if option == "arrays":
            path = project / "arrays.npz"
            np.savez(path, x_train=images_of(60, (8, 8)), y_train=np.arange(60) % 3)
            extra[option] = [f"data.path={path}"]
        elif option == "idx":
            extra[option] = [f"data.root={request.getfixturevalue('mnist_files')}"]
        elif option == "image_masks":
            if not (project / "scenes").exists():
                write_pairs(project / "scenes", 30)
            extra[option] = [f"data.root={project / 'scenes'}"]
        elif option == "text_folder":
            for number in range(60):
                file = project / "films" / ("good" if number % 2 else "bad") / f"{number}.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"text {number}")
            extra[option] = [f"data.root={project / 'films'}"]
        elif option == "jsonl":
            lines = [{"text": f"text {i}", "label": i % 2} for i in range(60)]
            (project / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
            extra[option] = [f"data.path={project / 'a.jsonl'}"]
        elif option == "cifar10_binary":
            extra[option] = [f"data.root={request.getfixturevalue('cifar_files')}"]
        return compose([f"data={option}", *extra.get(option, []), *words])

    return composed


@pytest.fixture
def make(configured: Configured) -> Make:
    """A function from an option, and more overrides, to its data."""
    return lambda option, *words: make_data(configured(option, *words).config)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_data_option_keeps_the_contract(configured: Configured, option: str) -> None:
    if option == "gymnasium":
        pytest.importorskip("gymnasium")
    job = configured(option)
    check_data(
        lambda: make_examples(job.config), lambda examples: build(job.config.split, examples)
    )
    data = make_data(job.config)
    assert {"train", "validation", "test"} <= set(data.splits)
    if data.environment is not None:
        assert data.fingerprint != make_data(configured(option, "seed=1").config).fingerprint
        return
    assert set(values_of(data.kind)) <= {"image", "row", "text", "array"} and data.source
    if option == "text_lines":  # it has an order, by which it is divided
        return
    other = configured(option, "split.seed=1")
    assert data.fingerprint != make_data(other.config).fingerprint


@pytest.mark.parametrize("option", ["digits", "cifar10", "wine"])
def test_limit_takes_a_fixed_balanced_part(make: Make, option: str) -> None:
    data = make(option, "split.limit=60", "split.validation_fraction=0.5")
    labels = [int(y) for part in ("train", "validation") for _, y in data.splits[part]]
    counts = np.bincount(labels)
    assert len(labels) == 60 and counts.max() - counts.min() <= 1


def test_validation_is_taken_from_train_and_the_splits_share_nothing(project: Path) -> None:
    labels = np.arange(500) % 5
    parts = parts_of(labels, validation_fraction=0.1, test_fraction=0.2)
    together = np.concatenate(list(parts.values()))
    assert sorted(together) == list(range(500))
    assert [len(parts[k]) for k in ("train", "validation", "test")] == [360, 40, 100]
    for part in parts.values():
        assert len(set(np.bincount(labels[part]))) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=12, max_size=80),
    st.integers(1, 80),
    st.integers(0, 3),
)
def test_limited_is_balanced_as_far_as_it_can_be(labels: list[int], limit: int, seed: int) -> None:
    given_labels = np.array(labels)
    chosen = limited(np.arange(len(labels)), given_labels, limit, seed)
    assert len(chosen) == min(limit, len(labels)) == len(set(chosen.tolist()))
    taken = np.bincount(given_labels[chosen], minlength=5)
    there = np.bincount(given_labels, minlength=5)
    short = taken < there  # a class that has more to give has no less than any other, but one
    if short.any():
        assert taken[short].min() >= taken.max() - 1


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(DataError, match="too few"):
        parts_of([0], test_fraction=0.5)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_format_of_any_size_is_decoded_to_one_shape(channels: int) -> None:
    import io

    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype="uint8")
    prepare = decode_image((16, 12, channels))
    for kind, mode in [
        ("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGBA"), ("PNG", "L"), ("PNG", "P"), ("GIF", "P"),
        ("BMP", "RGB"), ("WEBP", "RGB"), ("WEBP", "RGBA"),
    ]:  # fmt: skip
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, kind)
        image = prepare(tf.constant(buffer.getvalue()))
        assert image.shape == (16, 12, channels) and image.dtype == tf.uint8, (kind, mode)


def test_an_image_of_the_right_size_is_not_touched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype="uint8")
    encoded = tf.io.encode_png(pixels)
    np.testing.assert_array_equal(decode_image((16, 12, 3))(encoded), pixels)


def test_rows_read_back_to_the_same_numbers() -> None:
    values = np.random.default_rng(0).normal(scale=1e6, size=(50, 4)).astype("float32")
    values[0] = [0.1, 1e-30, -3.0, 1e30]
    read = [decode_row(4)(tf.constant(line)).numpy() for line in encode_rows(values)]
    np.testing.assert_array_equal(np.stack(read), values)


def test_several_labels_from_columns_or_from_one(texts: Path) -> None:
    columns = text_csv(str(texts), text="review", label=["funny", "sad"])
    assert columns.targets.shape == (2,) and columns.targets.class_names == ("funny", "sad")
    joined = text_csv(str(texts), text="review", label="topics", label_separator="|")
    assert joined.targets.class_names == ("acting", "plot")
    assert {tuple(y.numpy()) for _, y in joined.train} <= {(0.0, 1.0), (1.0, 1.0)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"path": "nowhere.csv"}, "no file"),
        ({"text": "reviev"}, "Did you mean 'review'"),
        ({"label": ["sentiment"]}, "columns of 0 and 1"),
        ({"label": "review"}, "column of the classes"),
    ],
)
def test_what_cannot_be_read_is_named(texts: Path, words: dict, said: str) -> None:
    arguments = {"path": str(texts), "text": "review", "label": "sentiment", **words}
    if words.get("label") == "review":  # a class for nearly every row
        lines = ["review,x"] + [f"text {i},word {i}" for i in range(200)]
        unique = texts.parent / "unique.csv"
        unique.write_text("\n".join(lines))
        arguments |= {"path": str(unique), "label": "x"}
    with pytest.raises(DataError, match=said):
        text_csv(**arguments)


def test_an_empty_label_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\ngood,1\nbad,\nfine,0\n")
    with pytest.raises(DataError, match="line 3"):
        text_csv(str(path))


def test_a_tfds_set_that_is_not_there_ends_at_once_with_the_ways_out(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket
    import time

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    begun = time.perf_counter()
    with pytest.raises(DataError) as caught:
        make_data(compose(["data=cifar10", f"data.data_dir={project}/none"]).config)
    assert time.perf_counter() - begun < 30
    message = str(caught.value)
    for word in ("no network", f"{project}/none", "data.data_dir=", "data=digits"):
        assert word in message


def test_an_unknown_tfds_set_is_named(project: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Did you mean 'cifar10'"):
        make_data(compose(["data=tfds", "data.name=cifar_10", f"data.data_dir={tmp_path}"]).config)


def test_fingerprints_see_each_part() -> None:
    assert fingerprint(np.zeros(2), "a") != fingerprint(np.zeros(2), "b")
    assert fingerprint([b"a", b"b"]) != fingerprint([b"b", b"a"])


def test_augmentation_of_what_is_no_image_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match="Expected images"):
        kx.train("data=wine", "augment=flip", quiet=True)
    assert not list(project.glob("runs/*"))


def test_several_labels_may_be_none(tmp_path: Path) -> None:
    path = tmp_path / "topics.csv"
    lines = [f"some words {i},{'' if i % 3 == 0 else 'a|b' if i % 2 else 'a'}" for i in range(40)]
    path.write_text("\n".join(["text,topics", *lines]))
    words = ["data=text_csv", f"data.path={path}", "data.text=text", "data.label=topics"]
    data = make_data(compose([*words, "data.label_separator='|'", "task=multilabel"]).config)
    sums = [int(targets.numpy().sum()) for _, targets in data.train]
    assert min(sums) == 0 and max(sums) == 2 and data.targets.class_names == ("a", "b")
    with pytest.raises(DataError, match="is empty"):
        make_data(compose(words).config)
    path.write_text("")
    with pytest.raises(DataError, match="Expected a header line"):
        make_data(compose(words).config)
