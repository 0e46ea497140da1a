"""Masks and boxes move with their images: pixel by pixel and box by box, against slow versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kx.contracts.specs import Data, Spec
from kx.data.augment import chain, check_fits
from kx.data.augment.operations import matrices_of
from kx.data.batches import train_batches
from kx.data.random import example_seeds, fold_in
from kx.data.store import store
from kx.errors import ConfigError

COUNT, HEIGHT, WIDTH, NUM_BOXES = 24, 12, 17, 5
IMAGE = Spec((HEIGHT, WIDTH, 1), "uint8", kind="image")
MASK = Spec((HEIGHT, WIDTH), "int32", class_names=tuple("abcdefg"), kind="mask", padding_value=6)
BOXES = Spec((NUM_BOXES, 4), "float32", kind="boxes", padding_value=-1)
LABELS = Spec((NUM_BOXES,), "int32", padding_value=-1)
SEEDS = example_seeds(3, tf.constant(1, tf.int64), tf.range(COUNT))
MOVING = {
    "flip": {}, "crop_flip": {"padding": 3}, "translate": {"height_fraction": 0.3},
    "rotate": {"max_degrees": 40.0}, "zoom": {"max_fraction": 0.4},
    "shear": {"x_fraction": 0.5, "y_fraction": 0.2}, "resized_crop": {"min_area_fraction": 0.3},
}  # fmt: skip
EXACT = ("flip", "crop_flip", "translate")  # whole pixels: images move as masks do
MASKS = np.random.default_rng(0).integers(0, 6, (COUNT, HEIGHT, WIDTH)).astype("int32")


def same(inputs: Any, targets: Any) -> tuple[Any, Any]:
    return inputs, targets


def moved(name: str, images: Any, targets: Any, specs: Any) -> Any:
    augment = chain({name: {"_target_": f"kx.data.augment.{name}", **MOVING[name]}})
    assert augment is not None
    check_fits(augment, IMAGE, specs, same)
    inputs, truth = tf.function(augment.of(IMAGE, specs).before_encoding)(images, targets, SEEDS)
    matrices = matrices_of(augment.functions[0])
    assert matrices is not None
    return inputs.numpy(), truth, matrices((HEIGHT, WIDTH), fold_in(SEEDS, 0)).numpy()


def slow_mask(mask: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    found = np.full_like(mask, 6)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            column, row = np.round(matrix @ [x, y, 1.0]).astype(int)
            if 0 <= row < HEIGHT and 0 <= column < WIDTH:
                found[y, x] = mask[row, column]
    return found


@pytest.mark.parametrize("name", MOVING)
def test_masks_move_pixel_by_pixel(name: str) -> None:
    images = tf.constant(MASKS[..., None].astype("uint8"))
    inputs, masks, matrices = moved(name, images, tf.constant(MASKS), MASK)
    expected = np.stack([slow_mask(*pair) for pair in zip(MASKS, matrices, strict=True)])
    share = np.mean(masks.numpy() == expected)
    assert share == 1.0 if name in EXACT else share > 0.995  # of places between two pixels
    if name in EXACT:  # outside, images are filled with 0, and masks with their padding
        inside = expected != 6
        np.testing.assert_array_equal(inputs[..., 0][inside], expected[inside])


@pytest.mark.parametrize("name", [name for name in MOVING if name not in EXACT])
def test_images_move_as_the_matrices_say(name: str) -> None:
    """A smooth image, bilinear, is at each pixel what the matrix points at."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ramp = (40 + 8 * x + 5 * y).astype("float32")
    images = tf.constant(np.broadcast_to(ramp, (COUNT, HEIGHT, WIDTH))[..., None].astype("uint8"))
    inputs, _, matrices = moved(name, images, tf.constant(MASKS), MASK)
    places = np.stack([x, y, np.ones_like(x)], axis=-1).astype("float32")
    for image, matrix in zip(inputs[..., 0], matrices, strict=True):
        at = places @ matrix.T
        inside = (at >= 0).all(-1) & (at[..., 0] <= WIDTH - 1) & (at[..., 1] <= HEIGHT - 1)
        expected = 40 + 8 * at[..., 0] + 5 * at[..., 1]
        assert np.abs(image[inside] - expected[inside]).max() <= 1.0


def slow_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The smallest upright box around the moved corners, clipped; -1 where none is left."""
    found = np.full_like(boxes, -1)
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    for number, (x_min, y_min, x_max, y_max) in enumerate(boxes):
        if x_min < 0:
            continue
        corners = [(x, y) for x in (x_min, x_max) for y in (y_min, y_max)]
        at = np.array([(back @ [x - 0.5, y - 0.5, 1])[:2] + 0.5 for x, y in corners])
        low, high = at.min(axis=0), at.max(axis=0)
        low, high = np.clip(low, 0, [WIDTH, HEIGHT]), np.clip(high, 0, [WIDTH, HEIGHT])
        if (high > low).all():
            found[number] = [*low, *high]
    return found


def some_boxes() -> np.ndarray:
    generator = np.random.default_rng(1)
    low = generator.uniform(0, [WIDTH - 4, HEIGHT - 4], (COUNT, NUM_BOXES, 2))
    boxes = np.concatenate([low, low + generator.uniform(1, 4, low.shape)], axis=-1)
    boxes[:, -1] = -1  # padding
    boxes[:, 0] = [0.0, 0.0, 1.0, 1.0]  # in a corner, which a shift moves out
    return boxes.astype("float32")


@pytest.mark.parametrize("name", MOVING)
def test_boxes_move_box_by_box_and_one_that_leaves_clears_its_row(name: str) -> None:
    boxes = some_boxes()
    labels = np.tile(np.arange(NUM_BOXES), (COUNT, 1)).astype("int32")
    labels[:, -1] = -1
    specs = {"boxes": BOXES, "classes": LABELS, "count": Spec((), "int32")}
    count = tf.range(COUNT)
    images = tf.zeros((COUNT, HEIGHT, WIDTH, 1), tf.uint8)
    targets = {"boxes": tf.constant(boxes), "classes": tf.constant(labels), "count": count}
    _, truth, matrices = moved(name, images, targets, specs)
    expected = np.stack([slow_boxes(*pair) for pair in zip(boxes, matrices, strict=True)])
    np.testing.assert_allclose(truth["boxes"], expected, atol=1e-3)
    gone = (expected == -1).all(axis=-1)
    np.testing.assert_array_equal(truth["classes"], np.where(gone, -1, labels))
    np.testing.assert_array_equal(truth["count"], count)
    if name in ("crop_flip", "translate"):
        assert gone[:, 0].any() and not gone[:, 0].all()


def test_a_box_covers_the_pixels_that_it_covered() -> None:
    """The pixels of a moved image lie in its moved box."""
    images = np.zeros((COUNT, HEIGHT, WIDTH, 1), "uint8")
    boxes = np.full((COUNT, NUM_BOXES, 4), -1, "float32")
    images[:, 3:6, 4:9] = 255
    boxes[:, 0] = [4, 3, 9, 6]
    for name in EXACT:
        inputs, truth, _ = moved(name, tf.constant(images), tf.constant(boxes), BOXES)
        for image, (x_min, y_min, x_max, y_max) in zip(
            inputs[..., 0], truth.numpy()[:, 0], strict=True
        ):
            rows, columns = np.nonzero(image)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose([x_min, y_min, x_max, y_max], found, atol=1e-4)


@pytest.mark.parametrize("name", ["randaugment", "trivial", "mixup", "cutmix"])
def test_what_would_leave_a_mask_behind_is_refused(name: str) -> None:
    augment = chain({name: {"_target_": f"kx.data.augment.{name}"}})
    assert augment is not None
    with pytest.raises(ConfigError, match="would leave as it is"):
        check_fits(augment, IMAGE, MASK, same)


def test_an_augmentation_after_one_that_mixes_is_refused_beside_masks() -> None:
    entries = {name: {"_target_": f"kx.data.augment.{name}"} for name in ("mixup", "flip")}
    augment = chain(entries)
    assert augment is not None
    with pytest.raises(ConfigError, match=r"augment=\[mixup,flip\]"):
        check_fits(augment, IMAGE, MASK, same)


def test_colours_leave_masks_alone_and_change_images_among_fields() -> None:
    augment = chain({"color": {"_target_": "kx.data.augment.color"}})
    assert augment is not None
    fields = {
        "image": Spec((HEIGHT, WIDTH, 3), "uint8", kind="image"),
        "row": Spec((2,), "float32"),
    }
    check_fits(augment, fields, MASK, same)
    inputs = {
        "image": tf.cast(tf.random.uniform((COUNT, HEIGHT, WIDTH, 3), 0, 255), tf.uint8),
        "row": tf.ones((COUNT, 2)),
    }
    changed, masks = augment.of(fields, MASK).before_encoding(inputs, tf.constant(MASKS), SEEDS)
    np.testing.assert_array_equal(masks, MASKS)
    np.testing.assert_array_equal(changed["row"], inputs["row"])
    assert not np.array_equal(changed["image"], inputs["image"])


def test_a_mask_of_another_size_is_not_moved_by_the_matrices_of_the_image() -> None:
    augment = chain({"flip": {"_target_": "kx.data.augment.flip"}})
    assert augment is not None
    small = Spec((HEIGHT // 2, WIDTH // 2), "int32", class_names=("a", "b"), kind="mask")
    with pytest.raises(ConfigError, match="would leave as it is"):
        check_fits(augment, IMAGE, small, same)


def test_numbers_that_are_not_padded_are_not_cleared_with_the_boxes() -> None:
    sizes = np.random.default_rng(2).normal(size=(COUNT, NUM_BOXES)).astype("float32")
    specs = {"boxes": BOXES, "size": Spec((NUM_BOXES,), "float32")}
    targets = {"boxes": tf.constant(some_boxes()), "size": tf.constant(sizes)}
    images = tf.zeros((COUNT, HEIGHT, WIDTH, 1), tf.uint8)
    _, truth, _ = moved("translate", images, targets, specs)
    np.testing.assert_array_equal(truth["size"], sizes)


def test_a_mask_among_the_inputs_moves_once_or_is_refused() -> None:
    fields = {"image": IMAGE, "mask": MASK}
    images, masks = tf.constant(MASKS[..., None].astype("uint8")), tf.constant(MASKS)
    flip = chain({"flip": {"_target_": "kx.data.augment.flip"}})
    policy = chain({"trivial": {"_target_": "kx.data.augment.trivial"}})
    assert flip is not None and policy is not None
    number = Spec((), "int32")
    moved_fields, _ = flip.of(fields, number).before_encoding(
        {"image": images, "mask": masks}, (), SEEDS
    )
    np.testing.assert_array_equal(moved_fields["image"][..., 0], moved_fields["mask"])
    with pytest.raises(ConfigError, match="leave as it is: mask"):
        check_fits(policy, fields, number, same)
    alone = Spec((HEIGHT, WIDTH, 1), "uint8", kind="mask")  # the image of a model itself
    once, _ = flip.of(alone, number).before_encoding(images, (), SEEDS)
    np.testing.assert_array_equal(once, moved_fields["image"])


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_masks_move_with_their_images_in_the_stream_of_a_training(
    tmp_path: Path, cache: str
) -> None:
    images, masks = MASKS[..., None].astype("uint8"), MASKS
    split = tf.data.Dataset.from_tensor_slices((images, masks))
    data = Data(split, None, None, IMAGE, MASK)
    [stored] = store(data, ["train"], tmp_path / "cache", cache).values()
    augment = chain({"flip": {"_target_": "kx.data.augment.flip"}})
    assert augment is not None
    stream = train_batches(
        stored, batch_size=8, epochs=2, seed=0, encode=same, augment=augment.of(IMAGE, MASK)
    )
    given = {mask.tobytes() for mask in masks}
    num_moved = 0
    for inputs, targets in stream.as_numpy_iterator():
        np.testing.assert_array_equal(inputs[..., 0], targets)
        num_moved += sum(mask.tobytes() not in given for mask in targets)
    assert 0 < num_moved < 2 * COUNT
