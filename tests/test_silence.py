"""What would train, keep or judge something other than was meant, without a word."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import as_data

import kx
from kx.callbacks import Checkpoint, EarlyStopping
from kx.cli import main
from kx.config import compose
from kx.data import Spec
from kx.data.augment import chain, check_fits
from kx.data.sources.tables.embedded import table
from kx.data.store import store
from kx.errors import ConfigError, RunNotFoundError
from kx.export.export import _difference
from kx.fit.adapt import adapt
from kx.fit.batches import _drops_remainder
from kx.fit.keep_state import capture, restore_variables
from kx.metric_modes import better
from kx.tracking.state import load, save

IMAGES = Spec((8, 8, 3), "uint8")


def same(inputs: Any, targets: Any) -> tuple[Any, Any]:
    return inputs, targets


# --- columns and classes of which there is nothing to learn


def test_a_column_that_is_constant_to_train_on_is_told_and_left_out() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200, 5)) + [0, 0, 1700, 0, 0]
    values[:, 1], values[:, 3] = 0.1, 5e8
    values[:, 4] = 0
    data = as_data(table)(
        values, generator.integers(0, 2, 200), column_names=list("abcde"), class_names=["n", "y"],
        name="t", source="s", validation_fraction=0.2, test_fraction=0.2,
    )  # fmt: skip
    [finding] = adapt(data, store(data, ["train"])["train"])
    assert finding.file == "columns b, d, e" and "constant in the training split" in finding.reason
    rare = np.array([[0.5, 1.0, 1700.0, 6e8, 1.0]], "float32")
    out = np.asarray(data.normalize(rare))[0]
    assert out[[1, 3, 4]].tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert np.abs(out[[0, 2]]).max() < 5 and out[0] != 0  # the others as Keras has them


def test_a_constant_column_of_arrays_costs_no_score(project: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 4)).astype("float32")
    x[:, 2] = 0
    y = (x[:, 0] > 0).astype("int64")
    rare = x[:60].copy()
    rare[::10, 2] = 1
    np.savez("rare.npz", x_train=x, y_train=y, x_test=rare, y_test=y[:60])
    run = kx.train("data=arrays", "data.path=rare.npz", "model=mlp", epochs=8, quiet=True,
                   tracking="none", report="none")  # fmt: skip
    assert run.metrics["test/loss"] < 1


def test_a_class_without_an_example_to_validate_by_is_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"words {i},{'pos' if i in (3, 90) else 'neg'}" for i in range(100)]
    Path("rare.csv").write_text("\n".join(["text,label", *lines]))
    words = ["data=text_csv", "data.path=rare.csv", "tokenizer.sequence_length=4", "model.units=4"]
    kx.train(*words, "task=binary", epochs=1, tracking="none", report="none")
    said = capsys.readouterr().out
    assert "1 of 2 classes have no validation example: pos" in said


# --- targets that an augmentation would leave behind


@pytest.mark.parametrize(
    "name", ["flip", "crop_flip", "translate", "rotate", "zoom", "shear", "resized_crop",
             "randaugment", "trivial", "mixup", "cutmix"],
)  # fmt: skip
def test_what_moves_pixels_is_refused_where_targets_are_masks(name: str) -> None:
    augment = chain({name: {"_target_": f"kx.data.augment.{name}"}})
    assert augment is not None
    with pytest.raises(ConfigError, match="would leave as it is"):
        check_fits(augment, IMAGES, Spec((8, 8), "int32"), same)
    check_fits(augment, IMAGES, Spec((), "float32"), lambda x, y: (x, y[:, None]))


def masks() -> kx.Data:
    """Pictures whose targets are as large as they are."""
    pixels = np.arange(40 * 8 * 8 * 3, dtype="uint8").reshape(40, 8, 8, 3)
    split = tf.data.Dataset.from_tensor_slices((pixels, (pixels[..., 0] > 99).astype("int32")))
    classes = Spec((8, 8), "int32", class_names=("ground", "thing"))
    return kx.Data(split, split, split, inputs=IMAGES, targets=classes)


def test_pictures_with_masks_are_shown(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "conf" / "data").mkdir(parents=True)
    (project / "conf" / "data" / "masks.yaml").write_text(f"_target_: {__name__}.masks\n")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    for augment in ("none", "color"):
        assert main(["data", "show", "data=masks", f"augment={augment}", "--out", "m.png"]) == 0
        assert "targets     int32 (8, 8)" in capsys.readouterr().out and Path("m.png").is_file()
    assert main(["data", "show", "data=masks", "augment=flip"]) == 1
    assert "would leave as it is" in capsys.readouterr().err


def halve(images: tf.Tensor, targets: tf.Tensor, seeds: tf.Tensor) -> tuple:
    return images, targets / 2


def sum_up(images: tf.Tensor, targets: tf.Tensor, seeds: tf.Tensor) -> tuple:
    return images, tf.reduce_sum(targets)


def test_an_augmentation_may_change_targets_of_the_datas_own_form() -> None:
    for color in ("color", "blur", "erase"):
        augment = chain({color: {"_target_": f"kx.data.augment.{color}"}})
        assert augment is not None
        check_fits(augment, IMAGES, Spec((8, 8), "int32"), same)
    augment = chain({"halve": {"_target_": f"{__name__}.halve"}})
    assert augment is not None
    check_fits(augment, IMAGES, Spec((4,), "float32"), same)
    augment = chain({"sum": {"_target_": f"{__name__}.sum_up"}})
    assert augment is not None
    with pytest.raises(ConfigError, match="it would make"):
        check_fits(augment, IMAGES, Spec((4,), "float32"), same)


# --- the epoch that is kept


@pytest.mark.parametrize("kind", [EarlyStopping, Checkpoint])
def test_of_equal_scores_that_of_the_lower_loss_is_the_best(kind: type, tmp_path: Path) -> None:
    x = keras.Input((1,))
    model = keras.Model(x, keras.layers.Dense(1)(x))
    options = {"monitor": "val_accuracy", "mode": "max"}
    if kind is EarlyStopping:
        callback = EarlyStopping(**options, patience=2, restore_best_weights=True)
    else:
        path = str(tmp_path / "best.weights.h5")
        callback = Checkpoint(path, **options, save_best_only=True, save_weights_only=True)
    callback.set_model(model)
    callback.on_train_begin()
    best = []
    for epoch, (score, loss) in enumerate(
        [(0.8, 1.0), (0.9, 0.9), (0.9, 0.5), (0.9, 0.7), (0.7, 0.1), (0.9, 0.4), (0.8, 0.3)]
    ):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        callback.on_epoch_end(epoch, {"val_accuracy": score, "val_loss": loss})
        best.append(callback.best_loss)
    assert best == [1.0, 0.9, 0.5, 0.5, 0.5, 0.4, 0.4] and callback.best == 0.9
    if kind is EarlyStopping:
        assert callback.best_epoch == 5 and callback.wait == 1  # patience begins anew
    else:
        model.load_weights(path)
        assert model.get_weights()[0].item() == 5


def test_one_key_chooses_the_epoch_and_what_runs_are_compared_by(project: Path) -> None:
    for words, metric, mode in (
        ([], "val_accuracy", "max"),
        (["data=diabetes"], "val_mae", "min"),
        (["task.monitor=val_loss"], "val_loss", "min"),
        (["task.monitor=val_dice_gap", "task.monitor_mode=min"], "val_dice_gap", "min"),
        (["task.monitor=val_loss", "task.monitor_mode=max"], "val_loss", "max"),
    ):
        config = compose(words).config
        for entry in (config.callbacks.early_stopping, config.callbacks.checkpoint_best):
            assert (entry.monitor, entry.mode) == (metric, mode)
        assert (config.task.monitor, config.task.monitor_mode) == (metric, mode)
    alone = compose(["callbacks.early_stopping.monitor=val_loss"]).config
    assert alone.callbacks.early_stopping.mode == "min" and alone.task.monitor_mode == "max"
    run = kx.train("data=wine", "model=linear", "epochs=6", quiet=True, tracking="none")
    scores = list(zip(run.history["val/accuracy"], run.history["val/loss"], strict=True))
    best = max(range(6), key=lambda epoch: (scores[epoch][0], -scores[epoch][1]))
    assert run.metrics["best/epoch"] == best + 1


# --- the last batch of an epoch


@pytest.mark.parametrize(
    ("words", "drops"),
    [
        ([], False),
        (["strategy=one_device"], False),
        (["data.drop_remainder=true"], True),
        (["strategy=mirrored"], True),
        (["strategy=multi_worker"], True),
        (["backend=jax"], True),
        (["jit_compile=true", "deterministic=false"], True),
        (["backend=jax", "data.drop_remainder=false"], False),
    ],
)
def test_the_last_batch_is_kept_where_it_costs_nothing(
    project: Path, words: list[str], drops: bool
) -> None:
    assert _drops_remainder(compose(words).config) == drops


def test_weights_of_classes_are_those_of_the_whole_split(project: Path) -> None:
    words = ["data=wine", "model=linear", "overfit_batches=1", "task.class_weights=balanced"]
    assert kx.train(*words, epochs=1, tracking="none", report="none", quiet=True).history


def test_a_set_smaller_than_a_batch_is_trained_on_whole(project: Path) -> None:
    words = ["data=wine", "model=linear", "batch_size=512", "tracking=none", "report=none"]
    run = kx.train(*words, epochs=2, quiet=True)
    assert len(run.history["train/loss"]) == 2
    with pytest.raises(ConfigError, match="larger than the training split"):
        kx.train(*words, "data.drop_remainder=true", epochs=2, quiet=True)


# --- going on


def test_an_optimizer_that_steps_a_part_of_the_variables_goes_on(tmp_path: Path) -> None:
    def build() -> keras.Model:
        x = keras.Input((3,))
        model = keras.Model(x, keras.layers.Dense(1)(keras.layers.Dense(4)(x)))
        model.compile(keras.optimizers.Adam(0.1), "mse")
        model.optimizer.build(model.trainable_variables[2:])  # the last layer alone
        return model

    model = build()
    for variable in model.optimizer.variables[2:]:
        variable.assign(np.full(variable.shape, 0.5))
    path = save(tmp_path, capture(model, [], 1, 2))
    again = build()
    again.compile(keras.optimizers.Adam(0.1), "mse")
    restore_variables(again, load(path))
    for variable, other in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(variable, other)


def test_a_run_is_loaded_with_the_modules_of_its_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [item for item in sys.path if item != str(project)])
    with pytest.raises(RunNotFoundError):
        kx.load_run("nothing")
    assert str(project) in sys.path


# --- an export


@pytest.mark.parametrize(
    ("got", "expected", "difference"),
    [
        (np.array([b"a", b"bc"]), np.array([b"a", b"bc"], object), 0.0),
        (np.array([b"a", b"b"]), np.array([b"a", b"bc"], object), float("inf")),
        (np.array([1, 2]), np.array([1, 2]), 0.0),
        (np.array([1, 3]), np.array([1, 2]), float("inf")),
        (np.array([1.0, np.nan]), np.array([1.5, np.nan]), 0.5 / 1.5),
        (np.zeros((2, 1)), np.zeros((1, 2)), float("inf")),
        (np.zeros((0,)), np.zeros((0,)), 0.0),
    ],
)
def test_answers_of_any_kind_are_compared(got, expected, difference: float) -> None:  # type: ignore[no-untyped-def]
    assert _difference(got, expected) == pytest.approx(difference)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("val_loss", "min"), ("val_accuracy", "max"), ("val_binary_crossentropy", "min"),
        ("val_kl_divergence", "min"), ("val_logcosh", "min"), ("val_poisson", "min"),
        ("val_brier", "min"), ("val_nll", "min"), ("val_msle", "min"), ("val_wer", "min"),
        ("val_f1_macro", "max"), ("val_my_own", "unknown"), ("val_auc_cancer", "unknown"),
        ("val_precision_tower", "unknown"),
    ],
)  # fmt: skip
def test_the_direction_of_a_metric_is_known_or_asked_for(name: str, mode: str) -> None:
    assert better(name) == mode
    words = ["data=wine", f"task.monitor={name}"]
    config = compose(words).config
    assert config.task.monitor_mode == config.callbacks.early_stopping.mode == mode


def test_reserved_names_and_the_projects_folder_are_refused(project: Path) -> None:
    for word, said in (("tracking.run_name=latest", "names another run"), ("run_dir=.", "is the")):
        with pytest.raises(ConfigError, match=said):
            kx.train("data=wine", "model=linear", "epochs=1", word, quiet=True)
    assert not (project / "checkpoints").exists()


def test_a_metric_whose_direction_nobody_knows_is_asked_for(project: Path) -> None:
    (project / "mine.py").write_text(
        "import keras, kx.tasks.prediction.classification as c\n\ndef task(targets, **keys):\n"
        "    made = c.classification(targets, **keys)\n"
        "    metrics = made.metrics\n"
        "    made.metrics = lambda: [*metrics(), keras.metrics.MeanAbsoluteError(name='gain')]\n"
        "    return made\n"
    )
    words = ["data=wine", "model=linear", "epochs=1", "report=none", "task._target_=mine.task"]
    with pytest.raises(ConfigError, match=r"'val_gain'.*task\.monitor_mode=max"):
        kx.train(*words, "task.monitor=val_gain", quiet=True)
    with pytest.raises(ConfigError, match="Did you mean"):  # first, whether there is one
        kx.train(*words, "task.monitor=val_gian", quiet=True)
    run = kx.train(*words, "task.monitor=val_gain", "task.monitor_mode=max", quiet=True)
    assert run.chosen_by == "val_gain"


def test_training_examples_are_not_reported_as_others(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=wine", "model=linear", "overfit_batches=1", "epochs=1", "run_eagerly=true"]
    run = kx.train(*words, "report.splits=[validation]", quiet=True)
    assert not any(name.startswith("report_validation/") for name in run.metrics)
    assert "no report of validation: overfit_batches" in capsys.readouterr().out
