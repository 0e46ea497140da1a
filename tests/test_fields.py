"""Examples, targets and outputs of several fields by name, and weights of examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY

import kx
from kx.cli import main
from kx.contracts.answers import Answers
from kx.contracts.findings import Findings
from kx.contracts.specs import Outputs, Spec
from kx.contracts.task import Task, encode_targets
from kx.data import Examples
from kx.data.batches import eval_batches, train_batches
from kx.data.split.divided import divided
from kx.data.split.rules import stratified
from kx.data.store import store
from kx.errors import ConfigError, DataError
from kx.models.tables.dense import linear
from kx.testing import check_data, check_model, check_task

COUNT = 60
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(COUNT, 4)).astype("float32")
SIDES = np.where(ROWS[:, 0] > 0, "right", "left")
KINDS = Spec((), "int32", class_names=("low", "high"))


def examples(**changed: Any) -> Examples:
    """Rows of numbers and a word, of which a class and a number are to be found."""
    targets = {
        "kind": (ROWS[:, 0] > 0).astype("int32"),
        "sum": ROWS.sum(axis=1, keepdims=True),
    }
    words = ["left", "right"]

    def prepare(raw: Any) -> Any:
        side = tf.argmax(tf.stack([raw["side"] == word for word in words]), output_type=tf.int32)
        return {"row": raw["row"], "side": side[None]}

    values = {
        "inputs": {"row": ROWS, "side": SIDES.tolist()},
        "targets": targets,
        "input_spec": {
            "row": Spec((4,), "float32"),
            "side": Spec((1,), "int32", vocabulary_size=2, kind="tokens"),
        },
        "target_spec": {"kind": KINDS, "sum": Spec((1,), "float32", column_names=("sum",))},
        "prepare": prepare,
        "normalize": {"row": keras.layers.Normalization()},
        "kind": {"row": "array", "side": "text"},
        "name": "two",
        **changed,
    }
    return Examples(**values)


def two_heads(inputs: Any, outputs: Any, *, units: int = 8) -> keras.Model:
    xs = {
        name: keras.Input(spec.shape, dtype=spec.dtype, name=name) for name, spec in inputs.items()
    }
    side = keras.layers.Flatten()(keras.layers.Embedding(2, 3)(xs["side"]))
    h = keras.layers.Dense(units, activation="relu")(keras.layers.Concatenate()([xs["row"], side]))
    ys = {name: keras.layers.Dense(output.units, name=name)(h) for name, output in outputs.items()}
    return keras.Model(xs, ys, name="two_heads")


def both(targets: Any, *, monitor: str = "val_loss", monitor_mode: str = "min") -> Task:
    def report(answers: Answers, options: Any) -> Findings:
        found = answers.scores["kind"].argmax(axis=-1) == answers.targets["kind"]
        gaps = np.abs(answers.scores["sum"] - answers.targets["sum"])

        def statistics(indices: np.ndarray) -> dict[str, float]:
            return {"right": float(found[indices].mean()), "gap": float(gaps[indices].mean())}

        return Findings(statistics(np.arange(len(found))), statistics=statistics)

    return Task(
        outputs={"kind": Outputs(2, targets["kind"].class_names), "sum": Outputs(1)},
        encode=encode_targets(lambda y: y),
        loss={
            "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "sum": keras.losses.MeanSquaredError(),
        },
        metrics=lambda: {
            "kind": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            "sum": [keras.metrics.MeanAbsoluteError(name="mae")],
        },
        decode=lambda scores: {
            "label": tf.gather(tf.constant(["low", "high"]), tf.argmax(scores["kind"], axis=-1)),
            "sum": scores["sum"][:, 0],
        },
        report=report,
        monitor=monitor,
        monitor_mode=monitor_mode,
    )


@pytest.fixture
def mine(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose options are the functions above."""
    for group, name, function in (
        ("data", "two", "examples"), ("model", "two_heads", "two_heads"), ("task", "both", "both"),
    ):  # fmt: skip
        (project / "conf" / group).mkdir(parents=True)
        text = f"_target_: test_fields.{function}\n"
        text += "monitor: val_loss\nmonitor_mode: min\n" if group == "task" else ""
        (project / "conf" / group / f"{name}.yaml").write_text(text)
    monkeypatch.syspath_prepend(str(REPOSITORY / "tests"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "tests"))  # of the process that reloads
    return project


def curves(run: kx.Run) -> dict[str, list[float]]:
    return {name: values for name, values in run.history.items() if "/" in name}


MINE = ["data=two", "model=two_heads", "task=both", "batch_size=8"]


def test_the_parts_keep_their_contracts() -> None:
    from kx.models.multimodal.fusion import fusion

    check_data(examples)
    check_task(both, examples().target_spec)
    fields = {"image": Spec((16, 16, 3), "float32"), "age": Spec((2,), "float32")}
    check_model(fusion, fields)
    check_model(fusion, {**fields, "text": Spec((5,), "int32", vocabulary_size=9)})


def test_several_inputs_and_outputs_are_trained_judged_exported_and_asked(
    mine: Path, tmp_path: Path
) -> None:
    run = kx.train(*MINE, "epochs=3", quiet=True)
    assert {"val/kind_accuracy", "val/sum_mae", "train/loss"} <= set(run.history)
    assert {"test/right", "test/gap", "test/kind_accuracy", "test/sum_loss"} <= set(run.metrics)
    assert run.metrics["test/right"] == pytest.approx(run.metrics["test/kind_accuracy"])
    assert run.metrics["test/gap"] == pytest.approx(run.metrics["test/sum_mae"], rel=1e-5)
    loaded = kx.load_run(run.id)
    asked = [{"row": ROWS[i].tolist(), "side": str(SIDES[i])} for i in range(5)]
    answers = loaded.predict(asked)
    assert [set(one) for one in answers] == [{"input", "label", "sum"}] * 5
    folder = loaded.export(tmp_path / "exported")
    serve = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    found = serve(row=tf.constant(ROWS[:5]), side=tf.constant(SIDES[:5].tolist()))
    assert [label.decode() for label in found["label"].numpy()] == [a["label"] for a in answers]
    np.testing.assert_allclose(found["sum"], [one["sum"] for one in answers], rtol=1e-5)
    again = kx.train(*MINE, "epochs=3", quiet=True)
    assert curves(again) == curves(run)


@pytest.mark.slow
def test_a_run_of_fields_is_resumed_to_the_same_numbers(mine: Path) -> None:
    whole = kx.train(*MINE, "epochs=4", "tracking=none", quiet=True)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kx.train(*MINE, "epochs=4", "tracking=none", "report=none", callbacks=[Stop()], quiet=True)
    resumed = kx.train(*MINE, "epochs=4", "tracking=none", "report=none", "resume=auto", quiet=True)
    assert curves(resumed) == curves(whole)


def pairs_of(batches: tf.data.Dataset) -> list[Any]:
    return [keras.tree.flatten(batch) for batch in batches.as_numpy_iterator()]


def test_memory_and_disk_give_the_same_fields(tmp_path: Path) -> None:
    data = divided(examples(), stratified(examples()))

    def encode(inputs: Any, targets: Any) -> Any:
        return inputs, targets

    found = {}
    for cache in ("memory", "disk"):
        [stored] = store(data, ["train"], tmp_path / cache, cache).values()
        found[cache] = pairs_of(eval_batches(stored, batch_size=7, encode=encode))
    for one, other in zip(found["memory"], found["disk"], strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_weights_of_examples_reach_the_loss_also_those_of_the_task(tmp_path: Path) -> None:
    weights = np.arange(COUNT) % 3 + 0.5
    given = examples(weights=weights)
    data = divided(given, {"train": np.arange(COUNT)})

    def encode(inputs: Any, targets: Any) -> Any:
        return inputs, targets, tf.where(targets["kind"] == 1, 2.0, 1.0)

    for cache in ("memory", "disk"):
        [stored] = store(data, ["train"], tmp_path / cache, cache).values()
        expected = weights * np.where(ROWS[:, 0] > 0, 2.0, 1.0)
        batches = eval_batches(stored, batch_size=7, encode=encode)
        got = np.concatenate([weight for _, _, weight in batches.as_numpy_iterator()])
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        stream = train_batches(
            stored, batch_size=6, epochs=1, seed=0, encode=encode,
            weigh=lambda targets: tf.fill(tf.shape(targets["kind"]), 10.0),
        )  # fmt: skip
        for inputs, _, weight in stream.as_numpy_iterator():
            places = [int(np.flatnonzero((ROWS == row).all(axis=1))[0]) for row in inputs["row"]]
            np.testing.assert_allclose(weight, 10 * expected[places], rtol=1e-6)


def test_a_weighted_training_is_that_of_keras(project: Path) -> None:
    weights = np.linspace(0.1, 2.0, COUNT)
    targets = (ROWS[:, 0] > 0).astype("int32")
    data = Examples(ROWS, targets, Spec((4,), "float32"), KINDS, weights=weights, name="weighted")
    words = ["model=linear", "epochs=1", "batch_size=60", "tracking=none", "report=none"]
    run = kx.train(
        *words, "split.validation_fraction=0", "split.test_fraction=0", "callbacks=none",
        "task.monitor=loss", data=data, quiet=True,
    )  # fmt: skip
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.set_weights(linear(Spec((4,), "float32"), Outputs(2)).get_weights())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
    keras.utils.set_random_seed(0)
    start = linear(Spec((4,), "float32"), Outputs(2))
    expected = float(np.mean(weights * keras.ops.convert_to_numpy(loss(targets, start(ROWS)))))
    assert run.history["train/loss"][0] == pytest.approx(expected, rel=1e-4)


def test_questions_are_asked_by_name_by_json_and_by_a_table(
    at_home: Path, trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kx.data.sources.multimodal.shapes import drawn_questions

    run = trained("fields")
    images, _ = drawn_questions(2)
    for place, name in enumerate(images):
        (tmp_path / f"{place}.png").write_bytes(images[name])
    image, question = str(tmp_path / "0.png"), "is there a Circle?"
    [direct] = run.predict([{"image": image, "question": question}])

    def asked(*words: str) -> Any:
        capsys.readouterr()
        assert main(["predict", run.id, *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    [answer] = asked(f"image={image}", f"question={question}")
    assert answer["probabilities"] == direct["probabilities"] and len(answer) == 4
    [of_json] = asked(json.dumps({"question": question, "image": image}))
    table, lines = tmp_path / "asked.csv", tmp_path / "asked.jsonl"
    table.write_text(f'question,image\n"{question}",0.png\nwhat shape is it?,1.png\n')
    lines.write_text(json.dumps({"image": image, "question": question}) + "\n")
    first, second = asked(str(table))
    [of_lines] = asked(str(lines))
    for other in (of_json, first, of_lines):
        assert other["label"] == answer["label"]
        assert other["confidence"] == pytest.approx(answer["confidence"], rel=1e-5)
    assert second["input"].endswith("asked.csv:3")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("image=none.png", "there is no 'question'. Given: image."),
        ("why?", "takes the fields image, question"),
        ("no.csv", "There is no file no.csv"),
        ('{"image": 3}', "there is no 'question'"),
        ("{1}", "this is no JSON"),
    ],
)
def test_a_question_that_cannot_be_read_is_told(
    at_home: Path, trained: Any, word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", trained("fields").id, word]) == 1
    assert said in capsys.readouterr().err


def test_questions_on_one_image_stay_in_one_split() -> None:
    from kx.data.sources.multimodal.easy_vqa import easy_vqa

    given = easy_vqa(num_images=40)
    parts = stratified(given)
    of = [set(given.contents[positions]) for positions in parts.values()]  # type: ignore[index]
    assert sum(map(len, of)) == len(set().union(*of)) == 40


# --- what does not fit is refused


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"encode": lambda targets: targets}, "inputs, targets"),
        ({"report": lambda targets, scores, options: None}, "answers, options"),
    ],
)
def test_a_task_of_an_earlier_version_is_refused(changed: Any, said: str) -> None:
    from dataclasses import replace

    with pytest.raises(ConfigError, match=said):
        replace(both(examples().target_spec), **changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"inputs": {"row": ROWS, "side": SIDES[:5].tolist()}}, "60 side"),
        (
            {"targets": {"kind": np.zeros(COUNT, "int32")}},
            "expected targets of the fields kind, sum",
        ),
        ({"weights": np.ones(3)}, "60 weights"),
        ({"weights": -np.ones(COUNT)}, "0 or more"),
        ({"weights": np.full(COUNT, np.nan)}, "0 or more"),
    ],
)
def test_fields_that_do_not_fit_are_refused(changed: Any, said: str) -> None:
    from kx.data.split.checks import check_examples

    with pytest.raises(DataError, match=said):
        given = examples(**changed)
        check_examples(given)
        store(divided(given, stratified(given)), ["train"])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            lambda i, o: keras.Model(
                x := keras.Input((4,), name="row"), keras.layers.Dense(2)(x), name="one"
            ),
            "The data has the fields row, side",
        ),
    ],
)
def test_a_model_of_other_fields_is_refused(project: Path, model: Any, said: str) -> None:
    from kx.fit.model.checks import check_scores

    data = divided(examples(), stratified(examples()))
    task = both(data.targets)
    built = model(data.inputs, task.outputs)
    with pytest.raises(ConfigError, match=said):
        check_scores(built, task, data)


def test_augmentations_of_images_need_an_image(project: Path) -> None:
    with pytest.raises(ConfigError, match="no field of the examples is one"):
        from kx.data.augment import chain, check_fits

        flip = chain({"flip": {"_target_": "kx.data.augment.flip"}})
        assert flip is not None
        check_fits(flip, examples().input_spec, KINDS, lambda x, y: (x, y))


# --- targets that would train on something else


def points(**changed: Any) -> Examples:
    values = {
        "inputs": ROWS, "targets": ROWS.sum(axis=1), "input_spec": Spec((4,), "float32"),
        "target_spec": Spec((), "float32"), **changed,
    }  # fmt: skip
    return Examples(**values)


def test_numbers_are_learned_on_their_scale_also_without_names(project: Path) -> None:
    given = points(targets=1000 + 50 * ROWS[:, 0])
    data = divided(given, stratified(given))
    assert data.targets.mean[0] == pytest.approx(1000, abs=60)  # type: ignore[union-attr,index]
    words = ["model=linear", "epochs=40", "optimizer.learning_rate=0.1", "tracking=none"]
    run = kx.train(*words, data=given, quiet=True)
    assert run.metrics["test/r2"] > 0.9


NAMES = ("no", "yes")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"target_spec": Spec((), "int32")}, "cannot hold"),
        ({"targets": np.full(COUNT, 10**10), "target_spec": Spec((), "int32")}, "cannot hold"),
        ({"targets": np.full(COUNT, -1), "target_spec": Spec((), "int32", NAMES)}, "example 0"),
        ({"targets": ["yes"] * COUNT, "target_spec": Spec((), "int32", NAMES)}, "class indices"),
        ({"targets": np.full(COUNT, 0.5), "target_spec": Spec((), "int32", NAMES)}, "0.5"),
        ({"targets": np.zeros((COUNT, 1)), "target_spec": Spec((), "int32", NAMES)}, "shape"),
        ({"inputs": np.where(ROWS > 2, np.nan, ROWS)}, "NaN or infinite"),
        ({"targets": np.full(COUNT, np.inf)}, "NaN or infinite"),
    ],
)  # fmt: skip
def test_targets_and_inputs_that_mean_nothing_are_refused(
    project: Path, changed: Any, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        kx.train("model=linear", "epochs=1", "tracking=none", data=points(**changed), quiet=True)


def test_classes_may_be_whole_floats(project: Path) -> None:
    spec = Spec((), "int32", class_names=NAMES)
    given = points(targets=(ROWS[:, 0] > 0).astype("float64"), target_spec=spec)
    run = kx.train("model=linear", "epochs=1", "tracking=none", data=given, quiet=True)
    assert "test/accuracy" in run.metrics


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (list(range(90)), "gave 90 values"),
        (list(range(30)), "gave 30 values"),
        (None, "gave nothing"),
        (["a", None] * (COUNT // 2), "have no group"),
        (["a", ""] * (COUNT // 2), "have no group"),
        (["a", "b"] * (COUNT // 2), r"too few groups \(2\)"),
    ],
)
def test_columns_that_do_not_fit_are_refused(column: Any, said: str) -> None:
    from kx.data.split.rules import group

    with pytest.raises(DataError, match=said):
        group(points(columns=lambda name: column), column="of")


def other_monitor(targets: Any) -> Task:
    from dataclasses import replace

    return replace(both(targets), monitor="val_kind_accuracy", monitor_mode="max")


def test_a_task_whose_config_knows_no_monitor_is_refused(mine: Path) -> None:
    (mine / "conf" / "task" / "other.yaml").write_text("_target_: test_fields.other_monitor\n")
    with pytest.raises(ConfigError, match="list both in its YAML: monitor: val_kind_accuracy"):
        kx.train("data=two", "model=two_heads", "task=other", "epochs=1", quiet=True)


def test_a_folder_as_store_is_refused_before_the_training(project: Path) -> None:
    from kx.errors import KxError

    with pytest.raises(KxError, match="sqlite:///.*x.db"):
        kx.train("data=wine", "epochs=1", f"tracking.uri={project}/x.db", quiet=True)
    assert not list((project / "runs").iterdir())


# --- weights, names and dtypes on their way


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_the_test_loss_of_weighted_examples_is_that_of_keras(
    project: Path, tmp_path: Path, cache: str
) -> None:
    from kx.evaluation.answers import answers_of, evaluate
    from kx.tasks.prediction.classification import classification

    spec = Spec((), "int32", class_names=NAMES)
    given = points(
        targets=(ROWS[:, 0] > 0).astype("int32"), target_spec=spec,
        weights=np.linspace(0.1, 3, COUNT),
    )  # fmt: skip
    data = divided(given, {"train": np.arange(30), "test": np.arange(30, COUNT)})
    task = classification(spec)
    model = linear(Spec((4,), "float32"), Outputs(2))
    task.compile(model, keras.optimizers.SGD())
    [stored] = store(data, ["test"], tmp_path / "cache", cache).values()
    batches = eval_batches(stored, batch_size=7, encode=task.encode)
    expected = model.evaluate(batches, verbose=0, return_dict=True)
    answers = answers_of(model, task, data, stored, "test", batch_size=7)
    assert evaluate(answers, model, 7) == pytest.approx(expected, rel=1e-6)


def test_weights_of_pixels_and_of_examples_multiply_by_example() -> None:
    from kx.data.batches import _product

    whole, pixels = tf.constant([0.0, 1.0, 2.0]), tf.ones((3, 3, 3)) * 5
    for order in ([whole, pixels], [pixels, whole]):
        found = _product(order).numpy()
        assert found.shape == (3, 3, 3) and found[:, 0, 0].tolist() == [0.0, 5.0, 10.0]
        np.testing.assert_array_equal(found, found[:, :1, :1] * np.ones((3, 3, 3)))
    fields = {"a": whole, "b": 2 * whole}
    found = _product([fields, whole, {"a": whole, "b": tf.ones(3)}])
    assert found["a"].numpy().tolist() == [0.0, 1.0, 8.0]
    assert found["b"].numpy().tolist() == [0.0, 2.0, 8.0]


def test_raw_fields_may_be_joined_and_have_the_default_kind(project: Path) -> None:
    """Two raw arrays become one tensor, in another dtype than its spec."""
    given = points(
        inputs={"first": ROWS[:, :2].round(), "second": ROWS[:, 2:].round()},
        prepare=lambda raw: tf.cast(tf.concat([raw["first"], raw["second"]], axis=0), tf.float64),
    )
    run = kx.train("model=linear", "epochs=1", data=given, quiet=True)
    [answer] = run.predict([{"first": [1.0, 2.0], "second": [3.0, 4.0]}])
    assert np.isfinite(answer["value"])


def test_the_metrics_of_one_named_output_have_keras_names(project: Path) -> None:
    from dataclasses import replace

    whole = both(examples().target_spec)
    task = replace(
        whole, outputs={"sum": Outputs(1)}, loss={"sum": keras.losses.MeanSquaredError()},
        metrics=lambda: {"sum": keras.metrics.MeanAbsoluteError(name="mae")},
    )  # fmt: skip
    x = keras.Input((4,))
    model = keras.Model(x, {"sum": keras.layers.Dense(1)(x)})
    task.compile(model, keras.optimizers.SGD())
    history = model.fit(ROWS, {"sum": ROWS[:, :1]}, verbose=0).history
    assert set(task.monitors(with_validation=False)) == set(history)


def test_runs_of_fields_are_compared(mine: Path) -> None:
    from kx.evaluation.compare import compare_runs

    runs = [kx.train(*MINE, f"seed={seed}", "epochs=1", quiet=True) for seed in (0, 1)]
    found = compare_runs(runs)
    assert found.num_examples == 12 and {one.metric for one in found.differences} >= {"right"}


def test_fields_are_judged_on_other_data(
    at_home: Path, trained: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", trained("fields").id, "data=easy_vqa", "data.num_images=12"]
    assert main(words) == 0 and "judged: 120 examples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("balanced", "no single class"),
        ({"low": 2.0}, "several outputs"),
    ],
)
def test_class_weights_of_fields_are_refused(mine: Path, given: Any, said: str) -> None:
    from dataclasses import replace

    from kx.fit.batches import _weigher

    task = replace(both(examples().target_spec), class_weights=given)
    if given == "balanced":
        task = replace(task, outputs=Outputs(2))
    data = divided(examples(), stratified(examples()))
    with pytest.raises(ConfigError, match=said):
        _weigher(task, store(data, ["train"])["train"])


def test_pairs_of_fields_name_the_way(project: Path) -> None:
    with pytest.raises(DataError, match=r"kx.Examples\(inputs="):
        kx.train("model=linear", data=({"a": ROWS, "b": ROWS}, ROWS[:, 0]), quiet=True)
