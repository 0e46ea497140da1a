"""Segmentation: images with masks, the loss, the scores, the report."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kx
from kx.cli import main
from kx.contracts.answers import Answers
from kx.contracts.findings import ReportOptions
from kx.contracts.specs import Outputs, Spec
from kx.data.sources.images.masks.image_masks import image_masks
from kx.data.split.divided import divided
from kx.data.split.rules import stratified
from kx.data.store import store
from kx.errors import ConfigError, DataError
from kx.models.images.unet import unet
from kx.tasks.images.segmentation import MeanIoU, PixelAccuracy, PixelLoss, segmentation
from kx.testing import check_model, check_task

CLASSES = ("ground", "red", "blue")
SMALL = ["model.filters=4", "model.num_levels=2", "batch_size=8"]


def write_pairs(folder: Path, count: int, *, palette: bool = False, void: bool = False) -> None:
    """Writes images with a red and a blue rectangle, and masks of them."""
    generator = np.random.default_rng(count)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        height, width = 24, 30
        pixels = generator.integers(0, 60, (height, width, 3)).astype("uint8")
        mask = np.zeros((height, width), "uint8")
        for place, channel in ((1, 0), (2, 2)):
            top, left = generator.integers(0, 14, 2)
            pixels[top : top + 9, left : left + 9, channel] = 240
            mask[top : top + 9, left : left + 9] = place
        if void:
            mask[:2] = 255
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        image = Image.fromarray(mask)
        if palette:  # red for class 0: as grey values, the classes would be others
            image = Image.fromarray(mask, mode="P")
            image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, *[7] * 759])
        image.save(folder / "masks" / f"{number}.png")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "scenes", 30)
    return tmp_path / "scenes"


def test_the_parts_keep_their_contracts() -> None:
    mask = Spec((12, 10), "int32", class_names=CLASSES, kind="mask", padding_value=3)
    check_task(segmentation, mask, num_examples=12)
    image = Spec((12, 10, 3), "float32")  # not divisible by 8
    check_model(
        lambda inputs, outputs: unet(inputs, outputs, filters=2, num_levels=3),
        image, Outputs(3, axes=(12, 10)), unused=0.9,
    )  # fmt: skip


@pytest.mark.parametrize("palette", [False, True])
def test_a_mask_follows_its_image_to_another_size(tmp_path: Path, palette: bool) -> None:
    write_pairs(tmp_path / "scenes", 12, palette=palette)
    given = image_masks(str(tmp_path / "scenes"), image_size=(12, 15), class_names=list(CLASSES))
    data = divided(given, stratified(given))
    [stored] = store(data, ["train"]).values()
    assert stored.inputs.shape[1:] == (12, 15, 3) and stored.targets.shape[1:] == (12, 15)
    images, masks = stored.inputs.numpy(), stored.targets.numpy()
    assert set(np.unique(masks)) == {0, 1, 2}
    inside = keras.ops.convert_to_numpy(masks == 2)
    assert images[..., 2][inside].mean() > 200 > 100 > images[..., 2][masks == 0].mean()


def test_classes_are_found_named_and_255_is_ignored(tmp_path: Path) -> None:
    write_pairs(tmp_path / "scenes", 6, void=True)
    found = image_masks(str(tmp_path / "scenes")).target_spec
    assert isinstance(found, Spec)
    assert (found.class_names, found.padding_value) == (("0", "1", "2"), 255)
    write_pairs(tmp_path / "others", 6)
    named = image_masks(
        str(tmp_path / "others"), class_names=[*CLASSES, "cat"], ignored_class="ground"
    )
    assert named.target_spec.padding_value == 0  # type: ignore[union-attr]


def test_splits_of_the_folder_are_kept(tmp_path: Path) -> None:
    for part, count in (("train", 8), ("val", 4), ("test", 5)):
        write_pairs(tmp_path / "scenes" / part, count)
    given = image_masks(str(tmp_path / "scenes"))
    parts = stratified(given)
    assert {name: len(places) for name, places in parts.items()} == {
        "train": 8, "validation": 4, "test": 5,
    }  # fmt: skip
    assert given.example_name is not None and given.example_name(8) == "val/images/0.png"


def break_size(folder: Path) -> None:
    Image.new("L", (5, 5)).save(folder / "masks" / "3.png")


def break_colours(folder: Path) -> None:
    Image.new("RGB", (30, 24)).save(folder / "masks" / "3.png")


def break_name(folder: Path) -> None:
    (folder / "masks" / "3.png").rename(folder / "masks" / "x.png")


def break_file(folder: Path) -> None:
    (folder / "masks" / "3.png").write_bytes(b"no image")


@pytest.mark.parametrize(
    ("broken", "options", "said"),
    [
        (break_size, {}, "3.png is 5x5, and its image 30x24"),
        (break_colours, {}, "mode RGB"),
        (break_name, {}, "2 names are in one of both folders alone"),
        (break_file, {}, "3.png cannot be read"),
        (None, {"class_names": ["a", "b"]}, "the masks have the class 2"),
        (None, {"ignored_class": "cat"}, "no class of this name"),
        (None, {"ignored_class": 9}, "no mask has it. Classes: 0, 1, 2"),
    ],
)
def test_masks_that_do_not_fit_are_refused(pairs: Path, broken, options, said: str) -> None:  # type: ignore[no-untyped-def]
    if broken is not None:
        broken(pairs)
    with pytest.raises((DataError, ConfigError), match=said):
        image_masks(str(pairs), **options)


def test_a_folder_without_masks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images/ and masks/"):
        image_masks(str(tmp_path))


# --- loss and scores against slow versions

GENERATOR = np.random.default_rng(0)
TRUTH = GENERATOR.integers(0, 4, (6, 5, 7)).astype("int32")  # 3 is ignored
SCORES = GENERATOR.normal(size=(6, 5, 7, 3)).astype("float32")


def slow_iou(truth: np.ndarray, answer: np.ndarray) -> float:
    found = []
    for place in range(3):
        counted = truth != 3
        a, b = (truth == place) & counted, (answer == place) & counted
        if (a | b).any():
            found.append((a & b).sum() / (a | b).sum())
    return float(np.mean(found))


def test_scores_are_those_of_a_slow_version_and_of_the_report() -> None:
    answer = SCORES.argmax(axis=-1)
    iou, accuracy = MeanIoU(3, ignored_class=3), PixelAccuracy(ignored_class=3)
    for part in (slice(0, 4), slice(4, 6)):
        for metric in (iou, accuracy):
            metric.update_state(TRUTH[part], SCORES[part])
    right = float((answer == TRUTH)[TRUTH != 3].mean())
    assert float(iou.result()) == pytest.approx(slow_iou(TRUTH, answer), rel=1e-6)
    assert float(accuracy.result()) == pytest.approx(right, rel=1e-6)
    task = segmentation(Spec((5, 7), "int32", class_names=CLASSES, kind="mask", padding_value=3))
    findings = task.report(Answers(TRUTH, SCORES), ReportOptions(num_bootstrap_samples=50))
    assert findings.metrics["mean_iou"] == pytest.approx(slow_iou(TRUTH, answer))
    assert findings.metrics["pixel_accuracy"] == pytest.approx(right)
    each = [slow_iou(*pair) for pair in zip(TRUTH, answer, strict=True)]
    assert findings.worst.tolist() == np.argsort(each, kind="stable").tolist()
    low, high = findings.intervals["mean_iou"]
    assert low <= findings.metrics["mean_iou"] <= high
    assert [row["class"] for row in findings.tables["Classes"]] == list(CLASSES)


def test_a_class_without_pixels_counts_in_no_mean() -> None:
    iou = MeanIoU(5)
    iou.update_state(np.zeros((1, 2, 2), "int32"), np.eye(5)[np.zeros((1, 2, 2), int)])
    assert float(iou.result()) == 1.0


@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
def test_the_loss_is_that_of_a_slow_version(dice_weight: float) -> None:
    weights = [1.0, 2.0, 0.5]
    loss = PixelLoss(dice_weight, ignored_class=3, class_weights=weights, reduction="none")
    found = keras.ops.convert_to_numpy(loss(TRUTH, SCORES))
    chances = np.exp(SCORES) / np.exp(SCORES).sum(axis=-1, keepdims=True)
    for truth, chance, value in zip(TRUTH, chances, found, strict=True):
        entropy, total, dices = 0.0, 0.0, []
        for y, x in np.argwhere(truth != 3):
            entropy -= weights[truth[y, x]] * np.log(chance[y, x, truth[y, x]])
            total += weights[truth[y, x]]
        for place in range(3):
            p, t = chance[truth != 3][:, place], (truth[truth != 3] == place).astype(float)
            dices.append((2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
        assert value == pytest.approx(
            entropy / total + dice_weight * (1 - np.mean(dices)), rel=1e-4
        )


def test_ignored_pixels_change_no_loss_and_no_score() -> None:
    other = np.where((TRUTH == 3)[..., None], SCORES[:, ::-1], SCORES)
    loss = PixelLoss(ignored_class=3)
    assert float(loss(TRUTH, SCORES)) == pytest.approx(float(loss(TRUTH, other)), rel=1e-6)
    nothing = np.full((2, 5, 7), 3, "int32")
    assert np.isfinite(float(loss(nothing, SCORES[:2])))


@pytest.mark.slow
def test_a_run_on_masks_is_reported_asked_exported_and_evaluated(
    project: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "data=image_masks", f"data.root={pairs}", "data.image_size=[24,30]",
        "data.class_names=[ground,red,blue]", "augment=[flip,translate]", *SMALL, "epochs=25",
        "optimizer.learning_rate=0.02", "batch_size=4", "report.num_bootstrap_samples=20",
    ]  # fmt: skip
    run = kx.train(*words, quiet=True)
    assert run.metrics["test/mean_iou"] > 0.5
    assert run.metrics["test/pixel_accuracy"] == pytest.approx(run.metrics["test/accuracy"])
    for name in ("overlays", "confusion", "worst"):
        assert run.artifact(f"report/test/{name}.png").is_file()
    image = pairs / "images" / "0.png"
    [answer] = run.predict([image])
    assert np.shape(answer["mask"]) == (24, 30) and set(answer["shares"]) == set(CLASSES)
    folder = run.export(tmp_path / "exported")
    served = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    found = served(inputs=tf.constant([image.read_bytes()]))["mask"].numpy()[0]
    np.testing.assert_array_equal(found, answer["mask"])
    assert main(["evaluate", run.id]) == 0 and "mean_iou" in capsys.readouterr().out
    assert main(["evaluate", run.id, "--tta", "flip"]) == 1
    assert "moved back" in capsys.readouterr().err
    assert main(["predict", run.id, str(image), "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert told["mask"] == answer["mask"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=digits", "task=segmentation"], "expects a mask"),
        (["data=digits", "model=unet"], "model=unet gives scores at each pixel"),
        (["data=digit_scenes", "model=cnn"], "must give 11 scores"),
        (["data=digit_scenes", "augment=mixup"], "would leave as it is"),
        (["data=digit_scenes", "task=classification"], "expects one class for each example"),
    ],
)
def test_parts_that_do_not_fit_masks_are_refused(
    project: Path, words: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        kx.train(*words, "epochs=1", "tracking=none", quiet=True)


def test_the_scores_are_compiled_by_xla() -> None:
    iou, plain = MeanIoU(3, ignored_class=3), MeanIoU(3, ignored_class=3)
    tf.function(iou.update_state, jit_compile=True)(tf.constant(TRUTH), tf.constant(SCORES))
    plain.update_state(TRUTH, SCORES)
    np.testing.assert_array_equal(iou.confusion, plain.confusion)


def test_own_examples_with_masks_choose_segmentation(project: Path) -> None:
    from kx.api import _fitting_task
    from kx.data.sources.images.masks.digit_scenes import digit_scenes

    assert _fitting_task(digit_scenes(num_scenes=3), None) == "segmentation"


def test_folds_of_masks_have_a_table_of_positions_alone() -> None:
    from kx.evaluation.folds import _columns

    assert _columns({"targets": TRUTH, "positions": np.arange(6)}, CLASSES) == {}


def test_masks_of_black_and_white_have_two_classes(tmp_path: Path) -> None:
    """255 is ignored by default, and no class would be left besides 0."""
    from PIL import Image

    white = np.zeros((8, 8), "uint8")
    white[:, 4:] = 255
    for name, mask in (("both", white), ("void", np.where(white, 255, 1).astype("uint8"))):
        for part, pixels in (("images", white), ("masks", mask)):
            (tmp_path / name / part).mkdir(parents=True)
            for number in range(4):
                Image.fromarray(pixels).save(tmp_path / name / part / f"{number}.png")
    found = image_masks(str(tmp_path / "both"), image_size=(8, 8))
    assert found.target_spec.class_names == ("0", "255")
    assert "255 is the class 255" in " ".join(issue.reason for issue in found.issues)
    made = found.prepare_target(tf.constant(found.inputs[0]), tf.constant(found.targets[0]))
    np.testing.assert_array_equal(made, white // 255)
    # As `kx evaluate` gives the names of the training: the same two, also where all is white.
    again = image_masks(str(tmp_path / "both"), image_size=(8, 8), class_names=["0", "255"])
    made = again.prepare_target(tf.constant(again.inputs[0]), tf.constant(again.targets[0]))
    np.testing.assert_array_equal(made, white // 255)
    void = image_masks(str(tmp_path / "both"), image_size=(8, 8), class_names=["0", "1", "2"])
    assert void.target_spec.padding_value == 255
    made = void.prepare_target(tf.constant(void.inputs[0]), tf.constant(void.targets[0]))
    np.testing.assert_array_equal(made, white)
    with pytest.raises(DataError, match=r"0 and 255 alone, and data\.class_names two names"):
        image_masks(str(tmp_path / "both"), image_size=(8, 8), class_names=["no", "yes"])
    with pytest.raises(DataError, match="all pixels of the masks have one class, 0, besides the"):
        image_masks(str(tmp_path / "both"), image_size=(8, 8), ignored_class=255)
