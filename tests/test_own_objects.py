"""`kx.train` with own arrays, models, callbacks and optimizers: taken whole, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from conftest import as_data, few

import kx
import kx.config
from kx.data.sources.arrays.own import _as_trained, own_examples
from kx.errors import ConfigError, DataError
from kx.fit.own import optimizer_words

data_of = as_data(own_examples)

GENERATOR = np.random.default_rng(0)
CLASSES = np.arange(200) % 4
ROWS = (GENERATOR.normal(size=(200, 6)) + CLASSES[:, None]).astype("float32")
QUICK = {"epochs": 1, "quiet": True, "report": "none", "tracking": "none"}
DTYPES = {
    "bool": "int32", "int8": "int32", "int16": "int32", "int32": "int32", "int64": "int32",
    "uint8": "uint8", "uint16": "int32", "uint32": "int32", "uint64": "int32",
    "float16": "float32", "float32": "float32", "float64": "float32", "bfloat16": "float32",
}  # fmt: skip


def functional(units: int = 4, shape: tuple[int, ...] = (6,)) -> keras.Model:
    x = keras.Input(shape)
    return keras.Model(x, keras.layers.Dense(units)(keras.layers.Flatten()(x)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_dtype_keep_their_numbers(dtype: str) -> None:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    values = GENERATOR.integers(0, 2, (40, 3)).astype(kind)
    data = data_of({"train": (values, CLASSES[:40]), "validation": (values, CLASSES[:40])})
    assert data.inputs.dtype == DTYPES[dtype] == data.train.element_spec[0].dtype.name
    kept = np.stack([raw for raw, _ in data.train.as_numpy_iterator()])
    np.testing.assert_array_equal(kept.astype("float64"), values.astype("float64"))
    wide = "float16" if "float" in dtype else "int64"
    wanted = data_of((values, CLASSES[:40]), input_dtype=wide).inputs.dtype
    assert wanted == wide  # as the model takes them
    of_dataset = data_of(tf.data.Dataset.from_tensor_slices((values, CLASSES[:40])))
    assert of_dataset.inputs == data.inputs


@pytest.mark.parametrize("dtype", few(["uint8", "int64"], 1))
def test_a_run_on_whole_numbers_ends_and_answers(project: Path, dtype: str) -> None:
    pixels = (GENERATOR.integers(0, 60, (200, 4, 4, 1)) + 60 * CLASSES[:, None, None, None]).astype(
        dtype
    )
    x = keras.Input((4, 4, 1))
    scaled = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(x))
    model = keras.Model(x, keras.layers.Dense(4)(scaled))
    run = kx.train(model=model, data=(pixels, CLASSES), **{**QUICK, "epochs": 8})
    answers = run.predict([pixels[:8]])
    expected = model.predict(pixels[:8], verbose=0).argmax(axis=1)
    assert [answer["label"] for answer in answers] == [str(label) for label in expected]
    exported = run.export(project / "exports" / "own")
    served = tf.saved_model.load(str(exported / "saved_model")).signatures["serving_default"]
    got = served(inputs=tf.constant(pixels[:8], run.bundle().spec()["raw_dtype"]))["label"]
    assert [label.decode() for label in got.numpy()] == [answer["label"] for answer in answers]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((ROWS.astype(object), CLASSES), "expected numbers. Received: object"),
        ((ROWS.astype("complex64"), CLASSES), "Received: complex64"),
        ((ROWS.astype("U5"), CLASSES), "Received: <U5"),
        ((ROWS.astype("datetime64[s]"), CLASSES), "Received: datetime64"),
        ((np.where(ROWS > 1, np.nan, ROWS), CLASSES), "are NaN or infinite"),
        ((ROWS, CLASSES + 1), "no example to train on: 0"),
        ((ROWS, CLASSES - 1), "begin at 0"),
        ((ROWS, CLASSES[:5]), "as many targets as examples. Received: 200 and 5"),
        ((ROWS, CLASSES.astype(object)), "targets: expected numbers"),
        (([[1, 2], [3]], [0, 1]), "makes no array"),
        ((ROWS.astype("int64") + 2**40, CLASSES), "more than int32 holds"),
        ({"train": (ROWS, CLASSES), "test": (ROWS[:, :3], CLASSES)}, "those of test"),
        ({"train": (ROWS, CLASSES), "tset": (ROWS, CLASSES)}, "expected the splits"),
        ({"train": None, "test": (ROWS, CLASSES)}, "expected the splits"),
        ({"train": (ROWS, CLASSES), "test": (ROWS, CLASSES + 0.5)}, "those of test"),
    ],
)
def test_arrays_are_checked_as_those_of_files_are(data: object, said: str) -> None:
    with pytest.raises(DataError) as caught:
        data_of(data)
    assert said in str(caught.value)


def test_pictures_are_no_doubt_and_others_are() -> None:
    pictures = np.zeros((40, 4, 4, 1), "uint8")
    assert not data_of((pictures, CLASSES[:40])).issues
    [found] = data_of((np.zeros((40, 4, 4, 4), "uint8"), CLASSES[:40])).issues
    assert "4 channels" in found.reason


def test_the_form_of_targets_is_that_of_all_splits() -> None:
    hot = np.eye(4)[CLASSES]
    assert data_of((ROWS, hot)).targets.shape == ()
    several = data_of({"train": (ROWS, hot), "test": (ROWS, np.maximum(hot, hot[::-1]))})
    assert several.targets.shape == (4,) and several.targets.class_names is not None
    numbers = data_of({"train": (ROWS, hot), "validation": (ROWS, hot / 2)})
    assert numbers.targets.class_names is None
    [kept] = {float(y.numpy().sum()) for _, y in numbers.validation}  # type: ignore[union-attr]
    assert kept == 0.5


class Subclassed(keras.Model):
    def __init__(self, units: int = 4) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(units)

    def call(self, inputs):  # type: ignore[no-untyped-def]
        return self.dense(inputs)


class OwnStep(Subclassed):
    def train_step(self, data):  # type: ignore[no-untyped-def]
        found = super().train_step(data)
        return {**found, "twice": 2 * found["loss"]}


class OwnFunction(Subclassed):
    def make_train_function(self, force=False):  # type: ignore[no-untyped-def]
        super().make_train_function(force)
        step = self.train_function

        def twice(iterator):  # type: ignore[no-untyped-def]
            return {**(found := step(iterator)), "twice": 2 * found["loss"]}

        self.train_function = twice


class OwnLoss(keras.Model):
    def compute_loss(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        return 2 * super().compute_loss(*args, **kwargs)


def called(model: keras.Model) -> keras.Model:
    model(ROWS[:2])
    return model


def test_a_subclassed_model_that_was_called_is_trained(project: Path) -> None:
    model = called(Subclassed())
    run = kx.train(model=model, data=(ROWS, CLASSES), **QUICK)
    expected = int(model.predict(ROWS[:1], verbose=0).argmax())
    assert run.predict([ROWS[0]])[0]["label"] == str(expected)


def test_a_step_of_a_models_own_trains_it(project: Path) -> None:
    x = keras.Input((6,))
    own = OwnLoss(x, keras.layers.Dense(4)(x))
    plain = keras.models.clone_model(functional())
    plain.set_weights(own.get_weights())
    runs = [kx.train(model=m, data=(ROWS, CLASSES), **QUICK) for m in (own, plain)]
    losses = [run.history["train/loss"][0] for run in runs]
    assert losses[0] > 1.5 * losses[1]  # it was asked
    for kind in (OwnStep, OwnFunction):
        history = kx.train(model=called(kind()), data=(ROWS, CLASSES), **QUICK).history
        assert history["train/twice"] == pytest.approx([2 * history["train/loss"][0]])


def test_a_model_with_a_step_of_its_own_gets_whole_numbers_cast(project: Path) -> None:
    images = np.arange(1200).reshape(200, 6).astype("uint8")
    x = keras.Input((6,))
    scores = keras.layers.Dense(4)(x)
    plain = keras.Model(x, scores)
    own = OwnLoss(x, scores)
    before = plain.get_weights()
    losses = []
    for model in (own, plain):
        model.set_weights(before)
        run = kx.train(model=model, data=(images, CLASSES), **QUICK)
        losses.append(run.history["train/loss"][0])
    assert np.isfinite(losses).all() and losses[0] > 1.5 * losses[1]


@pytest.mark.parametrize(
    ("build", "targets", "words", "said"),
    [
        (
            lambda x: [keras.layers.Dense(4)(x), keras.layers.Dense(1)(x)],
            CLASSES,
            (),
            "several outputs",
        ),  # fmt: skip
        (lambda x: keras.layers.Dense(3)(x), CLASSES, (), "gives 3 scores"),
        (lambda x: keras.layers.Dense(4)(x), ROWS.reshape(200, 3, 2), (), "no task is shipped"),
        (lambda x: keras.layers.Dense(4)(x), ROWS.reshape(200, 3, 2), ("task=regression",), "(6,)"),
    ],
)
def test_what_does_not_fit_is_named(project: Path, build, targets, words, said: str) -> None:  # type: ignore[no-untyped-def]
    x = keras.Input((6,))
    with pytest.raises(ConfigError) as caught:
        kx.train(*words, model=keras.Model(x, build(x)), data=(ROWS, targets), **QUICK)
    assert said in str(caught.value) and not list(project.glob("runs/*"))


@pytest.mark.parametrize(
    "end",
    [
        keras.layers.Softmax(),
        keras.layers.Activation("softmax"),
        keras.ops.softmax,
        keras.layers.Dense(4, activation="sigmoid", name="end"),
        keras.Sequential([keras.Input((4,)), keras.layers.Softmax()]),
    ],
    ids=["layer", "activation", "operation", "dense", "nested"],
)
def test_probabilities_are_no_raw_scores(project: Path, end: Any) -> None:
    x = keras.Input((6,))
    model = keras.Model(x, end(keras.layers.Dense(4)(x)))
    with pytest.raises(ConfigError, match="ends in a (softmax|sigmoid)"):
        kx.train(model=model, data=(ROWS, CLASSES), **QUICK)


def test_the_kept_epoch_is_that_of_the_last_callback_that_restores_one(project: Path) -> None:
    own = keras.callbacks.EarlyStopping("loss", mode="max", patience=9, restore_best_weights=True)
    run = kx.train(
        "callbacks.early_stopping.monitor=loss", "callbacks.early_stopping.mode=min",
        model="linear", data=(ROWS, CLASSES), callbacks=[own], **{**QUICK, "epochs": 4},
    )  # fmt: skip
    assert run.metrics["best/epoch"] == own.best_epoch + 1 == 1 and run.chosen_by == "loss"


def test_own_callbacks_are_called_and_others_refused(project: Path) -> None:
    seen: list[int] = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    kx.train(model="linear", data=(ROWS, CLASSES), callbacks=[callback], **{**QUICK, "epochs": 3})
    assert seen == [0, 1, 2]
    with pytest.raises(ConfigError, match="Received: 3"):
        kx.train(model="linear", data=(ROWS, CLASSES), callbacks=[3], **QUICK)


def test_an_optimizer_becomes_words_of_the_config() -> None:
    optimizers = keras.optimizers
    words = optimizer_words(optimizers.SGD(0.02, momentum=0.9, nesterov=True))
    assert "optimizer=momentum" in words or "optimizer=sgd" in words
    assert {"optimizer.learning_rate=0.02", "optimizer.momentum=0.9"} <= set(words)
    node = kx.config.compose(optimizer_words(optimizers.Adam(3e-4, clipnorm=1.0))).config.optimizer
    assert (node.learning_rate, node.clipnorm, node.beta_2) == (3e-4, 1.0, 0.999)
    with pytest.raises(ConfigError, match="loss_scale_factor=1024"):
        optimizer_words(optimizers.Adam(loss_scale_factor=1024.0))
    schedule = optimizers.schedules.CosineDecay(0.1, 10)
    for given, said in (
        (optimizers.Adam(schedule), "schedule=cosine"),
        (optimizers.Ftrl(), "conf/optimizer/NAME.yaml"),
    ):
        with pytest.raises(ConfigError, match=said):
            optimizer_words(given)
    decayed = optimizers.AdamW()
    decayed.exclude_from_weight_decay(var_names=["bias"])
    with pytest.raises(ConfigError, match="exclude_from_weight_decay"):
        optimizer_words(decayed)
    used = optimizers.Adam()
    used.build([tf.Variable(1.0)])
    used.iterations.assign(5)
    with pytest.raises(ConfigError, match="trained before"):
        optimizer_words(used)


def test_numbers_that_become_infinite_are_refused() -> None:
    with pytest.raises(DataError, match="float16"):
        _as_trained(np.full((3, 2), 1e5, "float32"), "data", "float16")


def test_raw_examples_may_differ_in_length(project: Path) -> None:
    series = [np.arange(n, dtype="float32") for n in range(1, 41)]
    given = tf.data.Dataset.from_generator(
        lambda: ((one, len(one) % 2) for one in series),
        output_signature=(tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int32)),
    ).apply(tf.data.experimental.assert_cardinality(40))
    data = kx.Data(
        train=given, validation=given, test=given,
        inputs=kx.Spec((40,), "float32"),
        targets=kx.Spec((), "int32", class_names=("even", "odd")),
        prepare=lambda one: tf.ensure_shape(tf.pad(one, [[0, 40 - tf.shape(one)[0]]]), [40]),
    )  # fmt: skip
    run = kx.train(model="linear", data=data, **QUICK)
    answers = run.predict([series[3], series[7], series[3]])
    assert answers[0]["probabilities"] == answers[2]["probabilities"]


@pytest.mark.parametrize("word", ["data.normalize=none", "data=wine", "+data.x=1"])
def test_keys_of_a_data_option_are_refused_beside_own_examples(project: Path, word: str) -> None:
    with pytest.raises(ConfigError, match="is for a data option"):
        kx.train("model=linear", word, data=(ROWS, CLASSES), **QUICK)


def test_masked_values_are_refused() -> None:
    masked = np.ma.masked_array(CLASSES, mask=CLASSES == 3)
    with pytest.raises(DataError, match="a masked array"):
        data_of((ROWS, masked))
    data_of((ROWS, np.ma.masked_array(CLASSES, mask=False)))


def test_what_a_model_was_compiled_with_is_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = functional()
    model.compile(keras.optimizers.SGD(5.0), loss="mse")
    kx.train(model=model, data=(ROWS, CLASSES), **QUICK)
    assert "was compiled with is not used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.full((20, 8, 8, 1), 200, "int16"), ""),
        (
            np.arange(20 * 64, dtype="uint16").reshape(20, 8, 8, 1),
            "from 0 to 1279 are taken as numbers",
        ),
        (
            np.arange(20 * 64).reshape(20, 8, 8, 1) % 256 - 128,
            "from -128 to 127 are taken as numbers",
        ),
        (np.linspace(0, 255, 20 * 64, dtype="float32").reshape(20, 8, 8, 1), "from 0 to 255 go"),
        (np.linspace(0, 1, 20 * 64, dtype="float32").reshape(20, 8, 8, 1), ""),
        (np.arange(20 * 64).reshape(20, 8, 8, 1) % 2 == 0, ""),
    ],
)
def test_pixels_of_an_odd_range_are_told(pixels: np.ndarray, said: str) -> None:
    reasons = [issue.reason for issue in data_of((pixels, np.arange(20) % 2)).issues]
    assert any(said in reason for reason in reasons) if said else not reasons


@pytest.mark.parametrize(
    ("words", "keys", "said"),
    [
        ((["model=linear"],), {}, "one by one"),
        ((), {"model": functional(4, (5,))}, r"takes examples of shape \(5,\)"),
        ((), {"optimizer": keras.optimizers.SGD}, "an object, not a class"),
        ((), {"callbacks": [keras.callbacks.EarlyStopping("val_acc")]}, "'val_accuracy'"),
    ],
    ids=["list", "shape", "class", "metric"],
)
def test_mistakes_of_a_notebook_are_told(project: Path, words, keys, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=said):
        kx.train(*words, **{"model": "linear", "data": (ROWS, CLASSES), **keys, **QUICK})
    assert not list(project.glob("runs/*"))
