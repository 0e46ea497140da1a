"""Augmentations: against Keras's layers and Pillow, pixel by pixel; stateless; targets that mix."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import needs_shared
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

import kx
from kx.config import CONF_DIR, compose
from kx.contracts.specs import Spec
from kx.data import augment
from kx.data.augment import chain, geometry, mixing, pixels, policy
from kx.data.augment.checks import check_fits, check_range
from kx.data.random import example_seeds, uniform
from kx.errors import ConfigError
from kx.testing import check_augment

OF_TEXTS = (
    "window", "delete_words", "swap_words", "replace_words", "insert_words", "shuffle_sentences",
)  # fmt: skip
OPTIONS = sorted(
    p.stem for p in (CONF_DIR / "augment").glob("*.yaml") if p.stem not in ("none", *OF_TEXTS)
)
WITH_THESAURUS = ("replace_words", "insert_words")
GENERATOR = np.random.default_rng(0)
SHAPE = (16, 20, 3)


def smooth_images(count: int = 6) -> np.ndarray:
    """Images with structure, of all values, each with colours of its own."""
    coarse = GENERATOR.uniform(0, 255, (count, 4, 5, 3))
    return np.clip(tf.image.resize(coarse, SHAPE[:2], "bicubic"), 0, 255).astype("uint8")


IMAGES = smooth_images()
CLASSES = Spec((), "int32", class_names=("a", "b", "c"))
SEEDS = example_seeds(3, tf.constant(1), tf.range(len(IMAGES)))


def one_hot(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return inputs, tf.one_hot(labels, 3)


def built(option: str, *words: str):  # type: ignore[no-untyped-def]
    return chain(compose([f"augment={option}", *words]).config.augment)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    ("dtype", "channels"),
    [
        ("uint8", 3), ("float32", 1), pytest.param("uint8", 1, marks=pytest.mark.slow),
        pytest.param("float32", 3, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_an_augmentation_keeps_the_contract(option: str, dtype: str, channels: int) -> None:
    run = built(option)
    check_augment(run, (*SHAPE[:2], channels), dtype=dtype, mixes=option in ("mixup", "cutmix"))
    images = tf.cast(IMAGES[..., :channels], dtype)
    targets = tf.one_hot(tf.range(len(IMAGES)) % 3, 3)
    changed, _ = run(images, targets, SEEDS)
    if dtype == "uint8" and channels == 3:
        # In a graph XLA fuses it, whose sums may round the other way in their last bit.
        in_graph = tf.function(run)
        again, _ = in_graph(images, targets, SEEDS)
        differences = np.abs(np.asarray(again, int) - np.asarray(changed, int))
        assert differences.max() <= 1 or option in ("randaugment", "trivial")
        assert np.mean(differences > 0) < 0.01
    other, _ = run(images, targets, example_seeds(4, tf.constant(1), tf.range(len(IMAGES))))
    if option not in ("autocontrast", "grayscale", "light", "color") or channels == 3:
        assert option == "autocontrast" or not np.array_equal(other, changed)


@pytest.mark.parametrize("option", OF_TEXTS)
def test_an_augmentation_of_texts_keeps_the_contract(option: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("w3 w4 w5 w9")
    words = [f"augment.{option}.thesaurus={tmp_path}/words.txt"] * (option in WITH_THESAURUS)
    made = built(option, "task=language_model", "task.context_length=8", *words)
    tokens = ["", "[UNK]", ".", *(f"w{number}" for number in range(3, 21))]
    text = Spec((20,), "int32", vocabulary_size=21, kind="tokens")
    check_augment(made.of(text, CLASSES, tokens={"": tokens}), (20,), texts=True)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_large_batch_is_changed_in_about_as_many_ways_as_there_are_images(option: str) -> None:
    if option == "autocontrast":
        return
    images = tf.repeat(tf.constant(IMAGES[:1]), 64, axis=0)
    if option in ("mixup", "cutmix"):
        images = tf.constant(np.tile(IMAGES, (11, 1, 1, 1))[:64])
    changed, _ = built(option)(images, (), example_seeds(0, tf.constant(0), tf.range(64)))
    ways = len({image.tobytes() for image in changed.numpy()})
    assert ways >= {"flip": 2, "grayscale": 2}.get(option, 8)


# --- as Keras does


def keras_of(layer: keras.layers.Layer, images: np.ndarray, transformation: object) -> np.ndarray:
    """What a layer of Keras makes of images, for a transformation that is given."""
    return np.asarray(layer.transform_images(tf.cast(images, tf.float32), transformation))


def test_colours_change_as_in_keras() -> None:
    images = tf.cast(IMAGES, tf.float32)
    column = np.linspace(-0.4, 0.4, len(IMAGES)).astype("float32")[:, None, None, None]
    bright = keras.layers.RandomBrightness(0.5)
    np.testing.assert_allclose(
        np.clip(images + column * 255, 0, 255),
        keras_of(bright, IMAGES, {"rgb_delta": column * 255}), atol=1e-3,
    )  # fmt: skip
    contrast = keras.layers.RandomContrast(0.5)
    np.testing.assert_allclose(
        pixels.adjust_contrast(images, 1 + column),
        keras_of(contrast, IMAGES, {"contrast_factor": 1 + column}), atol=1e-2,
    )  # fmt: skip
    hue = keras.layers.RandomHue(0.5)
    turned = keras_of(hue, IMAGES, {"factor": column[:, 0, 0, 0]})
    np.testing.assert_allclose(pixels.turn_hue(images, column), turned, atol=0.05)
    np.testing.assert_allclose(
        pixels.gray(images)[..., 0],
        keras_of(keras.layers.RandomGrayscale(1.0), IMAGES, True)[..., 0], atol=0.3,
    )  # fmt: skip
    stretched, _ = augment.autocontrast(images, (), SEEDS)
    np.testing.assert_allclose(
        stretched, keras_of(keras.layers.AutoContrast(), IMAGES, None), atol=1e-2
    )


def test_a_chain_of_colours_is_brightness_contrast_saturation_hue() -> None:
    draws = uniform(SEEDS, 4, -1.0, 1.0).numpy()[:, :, None, None]
    images = np.clip(IMAGES + draws[:, :1] * 51, 0, 255)
    images = pixels.adjust_contrast(tf.cast(images, tf.float32), 1 + draws[:, 1:2] * 0.2)
    gray = pixels.gray(images)
    images = tf.clip_by_value(gray + (images - gray) * (1 + draws[:, 2:3] * 0.2), 0, 255)
    images = pixels.turn_hue(images, draws[:, 3:] * 0.05)
    changed, _ = augment.color(tf.cast(IMAGES, tf.float32), (), SEEDS)
    np.testing.assert_allclose(changed, images, atol=1e-3)


def test_geometry_is_that_of_keras() -> None:
    """Keras turns about the same centre; what comes in from outside is compared within."""
    images = tf.cast(IMAGES, tf.float32)
    for part in (-0.08, 0.03, 0.25):  # of a whole turn
        angle = tf.fill((len(IMAGES),), part * 2 * np.pi)
        sine, cosine = tf.sin(angle), tf.cos(angle)
        ours = geometry.affine(images, cosine, -sine, sine, cosine)
        layer = keras.layers.RandomRotation((part, part), fill_mode="constant")
        np.testing.assert_allclose(ours, layer(images, training=True), atol=0.05)
    factor = tf.fill((len(IMAGES),), 1.2)
    nothing = tf.zeros_like(factor)
    ours = geometry.affine(images, factor, nothing, nothing, factor)
    layer = keras.layers.RandomZoom((0.2, 0.2), (0.2, 0.2), fill_mode="constant")
    np.testing.assert_allclose(ours, layer(images, training=True), atol=0.05)
    down = np.array([3, -2, 0, 1, 4, -5], "float32")
    one, nothing = tf.ones(len(down)), tf.zeros(len(down))
    moved = geometry.affine(images, one, nothing, nothing, one, down=-down, right=nothing)
    for image, whole, rows in zip(moved.numpy(), IMAGES, down.astype(int), strict=True):
        expected = np.zeros_like(whole)
        if rows >= 0:
            expected[rows:] = whole[: len(whole) - rows]
        else:
            expected[:rows] = whole[-rows:]
        np.testing.assert_array_equal(image, expected)


def test_each_image_is_turned_and_zoomed_by_its_own_draw_as_in_keras() -> None:
    images = tf.cast(IMAGES, tf.float32)
    turned, _ = augment.rotate(images, (), SEEDS, max_degrees=40.0)
    zoomed, _ = augment.zoom(images, (), SEEDS, max_fraction=0.3)
    turns = uniform(SEEDS, 1, -40 / 360, 40 / 360).numpy()[:, 0]
    zooms = 1 / uniform(SEEDS, 1, 0.7, 1.3).numpy()[:, 0] - 1
    assert np.ptp(turns) > 0.05 and np.ptp(zooms) > 0.1
    for i, (turn, zoom) in enumerate(zip(turns, zooms, strict=True)):
        layer = keras.layers.RandomRotation((turn, turn), fill_mode="constant")
        expected = layer(images[i : i + 1], training=True)
        np.testing.assert_allclose(turned[i : i + 1], expected, atol=0.05)
        layer = keras.layers.RandomZoom((zoom, zoom), (zoom, zoom), fill_mode="constant")
        expected = layer(images[i : i + 1], training=True)
        np.testing.assert_allclose(zoomed[i : i + 1], expected, atol=0.05)


def test_float_images_of_another_range_are_refused(tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(size=(40, 8, 8, 3)).astype("float32")
    np.savez(tmp_path / "small.npz", x_train=images, y_train=np.arange(40) % 2)
    words = ["data=arrays", f"data.path={tmp_path / 'small.npz'}", "model=linear", "epochs=1"]
    with pytest.raises(ConfigError, match="augment=color counts pixels from 0 to 255"):
        kx.train(*words, "augment=[flip,color]", "tracking=none", "batch_size=8", quiet=True)


def test_a_users_own_augmentation_may_count_pixels_as_it_likes() -> None:
    light = tf.random.stateless_uniform((4, 8, 8, 3), (0, 0))
    check_range({"color": {"_target_": "mine.color"}}, light)
    with pytest.raises(ConfigError, match="counts pixels from 0 to 255"):
        check_range({"mine": {"_target_": "kx.data.augment.color"}}, light)
    with pytest.raises(ConfigError, match="from -"):
        check_range({"mine": {"_target_": "kx.data.augment.color"}}, light * 9 - 4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("shear.x_fraction=nan", "0 or more"),
        ("rotate.max_degrees=inf", "0 or more"),
        ("resized_crop.min_area_fraction=0", "more than 0, at most 1"),
        ("resized_crop.max_aspect_ratio=0", "at least 1"),
        ("color.contrast=2", "between 0 and 1"),
        ("color.hue=3", "between 0 and 0.5"),
        ("blur.min_sigma=0", "greater than 0"),
        ("randaugment.max_magnitude=0", "greater than 0"),
        ("randaugment.num_operations=0", "a whole number, at least 1"),
    ],
)
def test_arguments_without_meaning_are_refused(words: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["data=digits", f"augment={words.partition('.')[0]}", f"augment.{words}"])
    assert words in str(caught.value) and said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("erase", {"min_area_fraction": 0.9}, "at most max_area_fraction=0.33. Received: 0.9"),
        ("blur", {"min_sigma": 2.0}, "at most max_sigma=1. Received: 2"),
        ("randaugment", {"magnitude": 50.0}, "at most max_magnitude=30. Received: 50"),
        ("crop_flip", {"padding": 400}, "at most the image's side=28. Received: 400"),
        ("blur", {"kernel_size": 4}, "expected an odd number: 4"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(
    name: str, options: dict[str, float], said: str
) -> None:
    changed = chain({name: {"_target_": f"kx.data.augment.{name}", **options}})
    assert changed is not None
    with pytest.raises(ConfigError, match=f"^augment.{name}") as caught:
        check_fits(changed, Spec((28, 28, 3), "uint8"), CLASSES, one_hot)
    assert said in str(caught.value)


def test_images_without_channels_are_refused() -> None:
    flip = chain({"flip": {"_target_": "kx.data.augment.flip"}})
    assert flip is not None
    check_fits(flip, Spec((28, 28, 1), "float32"), CLASSES, one_hot)
    with pytest.raises(ConfigError, match="Expected images .height, width, channels."):
        check_fits(flip, Spec((28, 28), "float32"), CLASSES, one_hot)


def test_what_is_no_measurement_is_not_mixed() -> None:
    tokens = tf.ones((2, 5), tf.int32)
    with pytest.raises(ConfigError, match="Received: int32"):
        augment.mixup(tokens, tf.eye(2), SEEDS[:2])


def test_shear_moves_each_row_by_its_distance_from_the_centre() -> None:
    picture = np.zeros((1, 9, 9, 1), "float32")
    picture[0, :, 4] = 1  # an upright line
    sheared = geometry.affine(tf.constant(picture), *map(tf.constant, ([1.0], [1.0], [0.0], [1.0])))
    np.testing.assert_allclose(sheared[0, :, :, 0], np.eye(9)[::-1], atol=1e-5)


def test_a_resized_crop_is_the_part_that_it_takes() -> None:
    images = tf.cast(IMAGES, tf.float32)
    changed, _ = augment.resized_crop(images, (), SEEDS)
    draws = uniform(SEEDS, 4).numpy()
    area, aspect = 0.25 + draws[:, 0] * 0.75, np.exp((2 * draws[:, 1] - 1) * np.log(4 / 3))
    tall, wide = np.minimum(np.sqrt(area / aspect), 1), np.minimum(np.sqrt(area * aspect), 1)
    y = draws[:, 2] * (1 - tall)
    x = draws[:, 3] * (1 - wide)
    height, width = SHAPE[:2]
    # Pixel centres: the same part, as TensorFlow's own operation takes it.
    rows = (y[:, None] + (np.arange(height) + 0.5) / height * tall[:, None]) * height - 0.5
    columns = (x[:, None] + (np.arange(width) + 0.5) / width * wide[:, None]) * width - 0.5
    for number in range(len(IMAGES)):
        grid = np.stack(np.meshgrid(rows[number], columns[number], indexing="ij"))
        from scipy.ndimage import map_coordinates

        for channel in range(3):
            expected = map_coordinates(
                IMAGES[number, ..., channel].astype("float64"), grid, order=1, mode="nearest"
            )
            np.testing.assert_allclose(changed[number, ..., channel], expected, atol=0.05)


def test_blur_is_keras_within_the_edges() -> None:
    images = tf.cast(IMAGES, tf.float32)
    ours = pixels.gaussian_blur(images, tf.fill((len(IMAGES), 1), 1.3), 5).numpy()
    theirs = keras.ops.image.gaussian_blur(images, (5, 5), (1.3, 1.3), "channels_last")
    np.testing.assert_allclose(ours[:, 2:-2, 2:-2], np.asarray(theirs)[:, 2:-2, 2:-2], atol=0.02)
    flat = tf.fill((1, *SHAPE), 77.0)
    np.testing.assert_allclose(pixels.gaussian_blur(flat, tf.constant([[2.0]]), 7), flat, atol=1e-3)
    with pytest.raises(ConfigError, match="odd"):
        augment.blur(images, (), SEEDS, kernel_size=4)


def test_mixing_is_keras_with_the_neighbour() -> None:
    images = tf.cast(IMAGES, tf.float32)
    targets = tf.one_hot(tf.range(len(IMAGES)), len(IMAGES))
    weight = mixing.beta(uniform(SEEDS, 1)[:, 0], 0.2)
    order = np.roll(np.arange(len(IMAGES)), 1)
    transformation = {"mix_weight": weight, "permutation_order": order}
    layer = keras.layers.MixUp(0.2)
    changed, mixed = augment.mixup(images, targets, SEEDS)
    np.testing.assert_allclose(changed, keras_of(layer, IMAGES, transformation), atol=1e-3)
    np.testing.assert_allclose(mixed, layer.transform_labels(targets, transformation), atol=1e-6)


def test_cutmix_mixes_targets_by_the_pixels() -> None:
    images = np.zeros((6, 10, 10, 1), "float32")
    images[:] = np.arange(6)[:, None, None, None]
    targets = tf.one_hot(tf.range(6), 6)
    changed, mixed = augment.cutmix(tf.constant(images), targets, SEEDS)
    for number in range(6):
        share = float(np.mean(changed[number] == (number - 1) % 6))
        assert float(mixed[number, number]) == pytest.approx(1 - share, abs=1e-6)
        assert float(mixed[number, (number - 1) % 6]) == pytest.approx(share, abs=1e-6)
        rows, columns = np.nonzero(changed[number, ..., 0].numpy() != number)
        if len(rows):  # one whole rectangle
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    with pytest.raises(ConfigError, match="soft targets"):
        augment.mixup(tf.constant(images), tf.range(6), SEEDS)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_the_proportions_are_of_the_beta_distribution(alpha: float) -> None:
    from scipy.stats import beta, kstest

    draws = mixing.beta(uniform(example_seeds(0, tf.constant(0), tf.range(5000)), 1)[:, 0], alpha)
    assert kstest(draws.numpy(), beta(alpha, alpha).cdf).pvalue > 0.001


def test_erasing_is_one_rectangle_of_the_area_that_is_asked_for() -> None:
    images = tf.fill((400, 30, 40, 1), 7.0)
    seeds = example_seeds(0, tf.constant(0), tf.range(400))
    changed, _ = augment.erase(images, (), seeds, fill_value=200.0, probability=0.5)
    holes = changed.numpy()[..., 0] == 200
    shares = holes.mean(axis=(1, 2))
    assert 0.4 < np.mean(shares > 0) < 0.6
    assert 0.01 < shares[shares > 0].min() and shares.max() < 0.36
    for hole in holes[shares > 0]:
        rows, columns = np.nonzero(hole)
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    noisy, _ = augment.erase(images, (), seeds, probability=1.0)
    values = noisy.numpy()[noisy.numpy() != 7]
    assert len(np.unique(values)) > 200 and 120 < values.mean() < 135


def test_light_goes_along_imagenets_colours() -> None:
    images = tf.fill((2000, 4, 4, 3), 128.0)
    seeds = example_seeds(0, tf.constant(0), tf.range(2000))
    changed, _ = augment.light(images, (), seeds)
    added = changed.numpy()[:, 0, 0] - 128
    assert np.ptp(changed.numpy(), axis=(1, 2)).max() == 0  # one colour an image
    eigenvalues = np.linalg.eigvalsh(np.cov(added.T)) ** 0.5
    np.testing.assert_allclose(eigenvalues[::-1], 0.1 * np.array([55.46, 4.794, 1.148]), rtol=0.06)


# --- as Pillow does


def pillow(name: str, level: float, sign: float, image: Image.Image) -> Image.Image:
    factor = 1 + 0.9 * level * sign
    if name == "posterize":
        return ImageOps.posterize(image, 8 - round(level * 4))
    if name == "solarize":
        return ImageOps.solarize(image, round(256 * (1 - level)))
    if name in ("autocontrast", "equalize"):
        return getattr(ImageOps, name)(image)
    enhance = {"brightness": "Brightness", "contrast": "Contrast", "color": "Color",
               "sharpness": "Sharpness"}  # fmt: skip
    return getattr(ImageEnhance, enhance[name])(image).enhance(factor)


@pytest.mark.parametrize(
    "name",
    ["brightness", "contrast", "posterize", "solarize", "autocontrast", "equalize", "color",
     "sharpness"],
)  # fmt: skip
@pytest.mark.parametrize(("level", "sign"), [(0.3, 1.0), (0.75, -1.0), (1.0, 1.0)])
def test_each_change_of_randaugment_is_pillows(name: str, level: float, sign: float) -> None:
    chosen = tf.fill((len(IMAGES),), policy.OPERATIONS.index(name))
    changed = policy.change(
        tf.constant(IMAGES), chosen, tf.fill((len(IMAGES),), level),
        tf.fill((len(IMAGES),), sign), policy._RANDAUGMENT,
    )  # fmt: skip
    for image, ours in zip(IMAGES, changed.numpy(), strict=True):
        theirs = np.asarray(pillow(name, level, sign, Image.fromarray(image)))
        assert np.abs(ours.astype(int) - theirs).max() <= 2, name
        assert name == "identity" or not np.array_equal(ours, image) or level < 0.5


def moved_by_pillow(image: Image.Image, kind: str, amount: float) -> np.ndarray:
    """Moves a picture about its centre: by degrees, by a slope, or by pixels."""
    width, height = image.size
    if kind == "rotate":
        return np.asarray(image.rotate(amount, Image.Resampling.BILINEAR))
    slope_x, slope_y = (amount if kind == f"shear_{axis}" else 0.0 for axis in "xy")
    right, down = (amount if kind == f"translate_{axis}" else 0.0 for axis in "xy")
    matrix = (1, slope_x, right - slope_x * height / 2, slope_y, 1, down - slope_y * width / 2)
    affine = Image.Transform.AFFINE
    return np.asarray(image.transform(image.size, affine, matrix, Image.Resampling.BILINEAR))


# The papers' largest ones: degrees, slope, and pixels of a side of 20.
LARGEST = {
    "randaugment": {"rotate": 30, "shear_x": 0.3, "shear_y": 0.3, "translate_x": 150 / 331 * 20},
    "trivial": {"rotate": 135, "shear_x": 0.99, "shear_y": 0.99, "translate_x": 20},
}


@pytest.mark.parametrize("kind", ["rotate", "shear_x", "shear_y", "translate_x"])
@pytest.mark.parametrize("option", ["randaugment", "trivial"])
@pytest.mark.parametrize(("level", "sign"), [(0.3, 1.0), (0.5, -1.0)])
def test_what_the_policies_move_goes_as_far_as_in_the_papers(
    kind: str, option: str, level: float, sign: float
) -> None:
    ranges = {"randaugment": policy._RANDAUGMENT, "trivial": policy._TRIVIAL}[option]
    count = len(IMAGES)
    changed = policy.change(
        tf.constant(IMAGES), tf.fill((count,), policy.OPERATIONS.index(kind)),
        tf.fill((count,), level), tf.fill((count,), sign), ranges,
    )  # fmt: skip
    amount = sign * level * LARGEST[option][kind]
    for image, ours in zip(IMAGES, changed.numpy(), strict=True):
        theirs = moved_by_pillow(Image.fromarray(image), kind, amount).astype(int)
        shown = (theirs > 0).all(-1) & (ours > 0).all(-1)  # not the edge, which each blends its way
        assert shown.mean() > 0.2 and ((theirs == 0).all(-1) == (ours == 0).all(-1)).mean() > 0.9
        assert np.median(np.abs(ours - theirs)[shown]) <= 1


def test_what_is_not_chosen_changes_nothing() -> None:
    nothing = tf.zeros((len(IMAGES),), tf.int32)
    same = policy.change(
        tf.constant(IMAGES), nothing, tf.ones((len(IMAGES),)), tf.ones((len(IMAGES),)),
        policy._TRIVIAL,
    )  # fmt: skip
    np.testing.assert_array_equal(same, IMAGES)
    still, _ = augment.randaugment(tf.constant(IMAGES), (), SEEDS, magnitude=0.0)
    kept = [np.abs(a.astype(int) - b).max() for a, b in zip(still.numpy(), IMAGES, strict=True)]
    assert sum(difference == 0 for difference in kept) >= 3  # all but autocontrast and equalize


def test_smooth_is_pillows() -> None:
    smooth = policy._smooth(tf.cast(IMAGES, tf.float32)).numpy()
    for image, ours in zip(IMAGES, smooth, strict=True):
        theirs = np.asarray(Image.fromarray(image).filter(ImageFilter.SMOOTH))
        np.testing.assert_allclose(ours, theirs, atol=1)


# --- in a training


def test_soft_targets_train_and_metrics_count_right(project: object) -> None:
    words = ["data=digits", "split.limit=400", "model=linear", "epochs=4", "report=none",
             "tracking=none", "optimizer.learning_rate=0.01"]  # fmt: skip
    run = kx.train(*words, "augment=[translate,mixup,cutmix]", quiet=True)
    assert run.history["train/loss"][-1] < run.history["train/loss"][0]
    assert run.metrics["test/accuracy"] > 0.3
    again = kx.train(*words, "augment=[translate,mixup,cutmix]", quiet=True)
    assert again.history == {**again.history, **{
        name: values for name, values in run.history.items()
        if name.startswith(("train/", "val/"))
    }}  # fmt: skip


def test_real_flowers_look_as_they_should() -> None:
    """All options on a photograph: what is left of it is the same picture."""
    path = next((needs_shared("flowers300") / "roses").glob("*.jpg"))
    image = tf.image.resize(tf.io.decode_jpeg(path.read_bytes()), (96, 96))
    images = tf.repeat(tf.cast(image, tf.uint8)[None], 8, axis=0)
    seeds = example_seeds(0, tf.constant(0), tf.range(8))
    first = images[0].numpy().astype("float64")
    for option in OPTIONS:
        changed, _ = built(option)(images, (), seeds)
        # Of the profile of the rows and columns: a mirror image keeps the first of them.
        found = [
            np.corrcoef(one.mean(axis=(1, 2)), first.mean(axis=(1, 2)))[0, 1]
            for one in changed.numpy() if one.std() > 0
        ]  # fmt: skip
        assert np.median(np.abs(found)) > 0.5, option
