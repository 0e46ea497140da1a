"""One run from end to end: what is trained, tracked, kept, and refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import FAMILIES, compiled
from mlflow import MlflowClient

import kx
from kx.callbacks import TIMINGS
from kx.config import compose
from kx.errors import ConfigError, DataError, TrainingError
from kx.export.requirements import pip_requirements
from kx.fit.make_callbacks import make_callbacks
from kx.fit.model.assemble import make_optimizer
from kx.fit.model.builder import Builder
from kx.run import main

QUICK = ["report=none", "tracking=none"]
SMALL = ["model.filters=[4]", "model.dense_units=8", "augment=none"]


def files_of(run: kx.Run) -> set[str]:
    root = run.artifact("config.yaml").parent
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_of_each_family_is_tracked_whole(
    at_home: Path, trained: Callable[[str], kx.Run], family: str
) -> None:
    run = trained(family)
    assert run.status == "FINISHED"
    epochs = run.config["epochs"]
    assert all(len(values) == epochs for values in run.history.values())
    assert {"learning_rate", "examples_per_second"} <= set(run.history)
    own_losses = {"adversarial": "generator_loss", "agent": "return"}  # the task has no loss
    loss = own_losses.get(family, "loss")
    assert {f"train/{loss}", f"val/{loss}"} <= set(run.history)
    assert np.isfinite(list(run.metrics.values())).all()
    assert {"best/epoch", f"best/val_{loss}"} <= set(run.metrics)
    assert ("test/loss" in run.metrics) is (family not in own_losses)
    files = files_of(run)
    assert {
        "config.yaml", "overrides.yaml", "environment/packages.txt", "model_summary.txt",
        "report/test/report.html", "report/test/report.json", "bundle/spec.json",
    } <= files  # fmt: skip
    stored = kx.load_run(run.id)
    assert stored.history == run.history and stored.config == run.config
    assert {k: stored.metrics[k] for k in run.metrics} == run.metrics
    tags = MlflowClient(run.uri).get_run(run.id).data.tags
    assert tags["kx.fingerprint"] and tags["threads.intra_op"] and tags["version.keras"]
    inputs = MlflowClient(run.uri).get_run(run.id).inputs.dataset_inputs
    assert {i.tags[0].value for i in inputs} == {"train", "validation", "test"}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_report_says_what_was_measured(
    at_home: Path, trained: Callable[[str], kx.Run], family: str
) -> None:
    run = trained(family)
    report = json.loads(run.artifact("report/test/report.json").read_text())
    metric = {
        "number": "mae", "masks": "mean_iou", "reconstruction": "mean_squared_error",
        "adversarial": "frechet_distance", "agent": "return", "translation": "chrf",
        "language": "nats_per_token",
    }.get(family, "accuracy")  # fmt: skip
    assert report["metrics"][metric] == pytest.approx(run.metrics[f"test/{metric}"], rel=1e-5)
    page = run.artifact("report/test/report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http://" not in page and "https://" not in page  # self-contained
    figures = {path.stem for path in run.artifact("report/test").glob("*.png")}
    expected = {
        "image": {"confusion_matrix", "roc", "precision_recall", "reliability", "training"},
        "number": {"predicted", "residuals", "training"},
        "translation": {"attention_0", "training"},
    }
    assert expected.get(family, {"training"}) <= figures


@pytest.mark.parametrize("family", FAMILIES)
def test_a_loaded_run_answers_like_the_trained_one(
    at_home: Path, trained: Callable[[str], kx.Run], family: str
) -> None:
    run = trained(family)
    raw, answers = run.bundle().examples()
    loaded = kx.load_run(run.id)
    again = loaded.predictor.answers(raw)
    for name, expected in answers.items():
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(again[name], expected, atol=1e-6)
        else:
            np.testing.assert_array_equal(again[name], expected)


def test_the_same_seed_gives_the_same_numbers_and_another_others(project: Path) -> None:
    words = [*SMALL, "model.dropout=0.3", "epochs=2", "split.limit=200", *QUICK]
    first, again = (kx.train(*words, quiet=True) for _ in range(2))
    other = kx.train(*words, "seed=1", quiet=True)
    for name, values in first.history.items():
        if name not in TIMINGS:
            assert again.history[name] == values
    assert other.history["train/loss"] != first.history["train/loss"]
    for a, b in zip(first.model().get_weights(), again.model().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "optimizer", ["sgd", "momentum", "adam", "adamw", "rmsprop", "lion", "muon"]
)
def test_every_optimizer_learns(project: Path, optimizer: str) -> None:
    made = make_optimizer(compose([f"optimizer={optimizer}"]).config, 1)
    weights = keras.Variable(np.ones((3, 4), "float32"), name="kernel")
    made.build([weights])
    for _ in range(20):
        made.apply([2 * weights])  # the gradient of the sum of squares
    assert float(keras.ops.sum(weights**2)) < 11.99


@pytest.mark.parametrize("schedule", ["cosine", "warmup_cosine", "warmup_linear", "warmup", "step"])
def test_a_schedule_moves_the_learning_rate(project: Path, schedule: str) -> None:
    config = compose([f"schedule={schedule}", "epochs=8"]).config
    made = make_optimizer(config, 10)
    rates = []
    for step in range(80):
        made.iterations.assign(step + 1)
        rates.append(float(made.learning_rate))
    top = config.optimizer.learning_rate
    assert max(rates) <= top * 1.0001
    if schedule == "warmup":
        assert rates[-1] == pytest.approx(top)
    else:
        assert rates[-1] < top * 0.2
    if schedule == "warmup_linear":
        steps = compose([f"schedule={schedule}", "schedule.warmup_steps=20", "epochs=8"]).config
        linear = make_optimizer(steps, 10)
        for step, share in ((1, 0.05), (10, 0.5), (20, 1.0), (50, 0.5), (80, 0.0), (90, 0.0)):
            linear.iterations.assign(step)
            assert float(linear.learning_rate) == pytest.approx(top * share)
    if schedule == "step":
        assert sorted({round(r / top, 6) for r in rates}) == [0.01, 0.1, 1.0]


def folder_of(run: kx.Run) -> Path:
    return Path("runs") / run.name


Holds = Callable[[keras.Model, Builder], bool]
SWITCHES: list[tuple[str, Holds]] = [
    ("optimizer.gradient_accumulation_steps=2",
     lambda model, builder: model.optimizer.gradient_accumulation_steps == 2),
    ("optimizer.use_ema=true", lambda model, builder: model.optimizer.use_ema),
    ("optimizer.global_clipnorm=1.0",
     lambda model, builder: model.optimizer.global_clipnorm == 1.0),
    ("task.label_smoothing=0.1",
     lambda model, builder: model.loss.get_config()["label_smoothing"] == 0.1),
    ("rematerialize=activations",
     lambda model, builder: model.get_layer("cnn").layers[1]._remat_mode is not None),
    ("jit_compile=true deterministic=false", lambda model, builder: model.jit_compile is True),
    ("run_eagerly=true", lambda model, builder: model.run_eagerly is True),
    ("steps_per_execution=4", lambda model, builder: model.steps_per_execution == 4),
    ("callbacks=none",
     lambda model, builder: not make_callbacks(builder.config, builder.task, builder.batches)),
    ("strategy=one_device",
     lambda model, builder: builder.config.strategy.get("device") == "/CPU:0"),
    ("data.normalize=standardize",
     lambda model, builder: isinstance(model.get_layer("normalize"), keras.layers.Normalization)),
    ("data.normalize=none",
     lambda model, builder: "normalize" not in {layer.name for layer in model.layers}),
    ("data.drop_remainder=true", lambda model, builder: builder.batches.steps_per_epoch == 8),
]  # fmt: skip


@pytest.fixture(scope="module")
def plain(home: Path) -> tuple[keras.Model, Builder]:
    """The model of a run of which nothing is switched on."""
    before = Path.cwd()
    os.chdir(home)
    try:
        return compiled(*SMALL, "split.limit=300")
    finally:
        os.chdir(before)


@pytest.mark.parametrize(("word", "holds"), SWITCHES, ids=[word for word, _ in SWITCHES])
def test_what_keras_has_can_be_switched_on(
    project: Path, plain: tuple[keras.Model, Builder], word: str, holds: Holds
) -> None:
    # 270 examples in batches of 32: 8 whole ones and a rest
    assert holds(*compiled(*SMALL, "split.limit=300", *word.split()))
    assert not holds(*plain) or word == "data.normalize=none"


TRAINED: list[tuple[str, Callable[[kx.Run], bool]]] = [
    ("jit_compile=true deterministic=false optimizer.gradient_accumulation_steps=2"
     " callbacks=tensorboard",
     lambda run: any(folder_of(run).rglob("events.out.tfevents.*"))),
    ("debug=fast", lambda run: int(run.model().optimizer.iterations) == 1),
    ("rematerialize=activations optimizer.global_clipnorm=1.0 steps_per_execution=4 callbacks=none",
     lambda run: not (folder_of(run) / "checkpoints").exists()),
]  # fmt: skip


@pytest.mark.parametrize(("word", "holds"), TRAINED, ids=[word for word, _ in TRAINED])
def test_what_is_switched_on_trains(
    project: Path, word: str, holds: Callable[[kx.Run], bool]
) -> None:
    defaults = [] if word == "debug=fast" else ["epochs=2"]
    run = kx.train(*SMALL, *defaults, "split.limit=300", *QUICK, *word.split(), quiet=True)
    assert np.isfinite(run.metrics["test/loss"]) and holds(run)


def test_a_split_on_disk_trains_and_leaves_no_cache(project: Path) -> None:
    run = kx.train(*SMALL, "epochs=2", "data.cache=disk", "split.limit=300", *QUICK, quiet=True)
    assert len(run.history["train/loss"]) == 2
    assert not (folder_of(run) / "cache").exists()


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "float64", "float32"])
def test_precision_reaches_every_layer(project: Path, precision: str) -> None:
    model, _ = compiled("data=wine", f"precision={precision}")
    assert model.get_layer("mlp").layers[2].dtype_policy.name == precision
    assert model.output.dtype == ("float64" if precision == "float64" else "float32")
    if precision == "mixed_bfloat16":
        run = kx.train("data=wine", "epochs=1", f"precision={precision}", *QUICK, quiet=True)
        assert np.isfinite(run.metrics["test/loss"])


def test_ema_weights_are_the_ones_that_are_kept(project: Path) -> None:
    words = ["data=wine", "model=linear", "epochs=3", "callbacks=none", *QUICK]
    averaged = kx.train(*words, "optimizer.use_ema=true", "optimizer.ema_momentum=0.9", quiet=True)
    plain = kx.train(*words, quiet=True)
    same = pytest.approx(plain.history["train/loss"], rel=1e-5)  # rounded in another order
    assert averaged.history["train/loss"] == same
    assert averaged.history["val/loss"] != plain.history["val/loss"]  # judged by the average
    assert averaged.history["val/loss"][-1] == pytest.approx(_validation_loss(averaged), rel=1e-4)


def _validation_loss(run: kx.Run) -> float:
    from kx.config import build, compose
    from kx.data.batches import eval_batches
    from kx.data.store import store
    from kx.fit.batches import make_data

    data = make_data(compose(["data=wine"]).config)
    task = build(compose(["data=wine"]).config.task, data.targets)
    [stored] = store(data, ["validation"]).values()
    batches = eval_batches(stored, batch_size=32, encode=task.encode)
    return float(run.model().evaluate(batches, verbose=0, return_dict=True)["loss"])


def test_ema_weights_are_kept_after_an_early_stop_too(project: Path) -> None:
    run = kx.train(
        "data=wine", "model=linear", "epochs=30", "optimizer.learning_rate=0.3",
        "optimizer.use_ema=true", "optimizer.ema_momentum=0.8",
        "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.restore_best_weights=false", *QUICK, quiet=True,
    )  # fmt: skip
    assert len(run.history["val/loss"]) < 30
    assert _validation_loss(run) == pytest.approx(run.history["val/loss"][-1], rel=1e-4)


@pytest.mark.parametrize(("steps", "batches"), [(1, 8), (4, 8), (7, 7)])
def test_an_epoch_has_whole_executions(project: Path, steps: int, batches: int) -> None:
    words = ["data=wine", "model=linear", "batch_size=16", "callbacks=none", "schedule=cosine",
             "epochs=3"]  # fmt: skip
    seen: list[int] = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            seen.append(int(self.model.optimizer.iterations))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kx.training.make_callbacks", lambda *_: [Count()])
        run = kx.train(*words, f"steps_per_execution={steps}", *QUICK, quiet=True)
    assert seen == [batches, 2 * batches, 3 * batches]
    assert run.history["learning_rate"][-1] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("accumulate", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_a_schedule_counts_updates_where_gradients_are_accumulated(
    project: Path, accumulate: int
) -> None:
    words = ["data=wine", "model=linear", "batch_size=16", "callbacks=none", "schedule=cosine",
             "epochs=8"]  # fmt: skip
    run = kx.train(
        *words, f"optimizer.gradient_accumulation_steps={accumulate}", *QUICK, quiet=True
    )
    rates = run.history["learning_rate"]
    assert rates[3] == pytest.approx(rates[0] / 2, rel=0.35)  # half-way down at half of the time
    assert rates[-1] < 0.02 * max(rates)


def test_classes_without_a_name_are_refused(project: Path) -> None:
    x, y = np.zeros((40, 2), "float32"), (np.arange(40) % 3).astype("int32")
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    names = kx.Spec((), "int32", class_names=("a", "b"))
    data = kx.Data(dataset, dataset, dataset, kx.Spec((2,), "float32"), names)
    with pytest.raises(DataError, match="class index 2"):
        kx.train("model=linear", data=data, tracking="none", quiet=True)


def test_a_users_preparation_is_of_one_example_also_when_it_predicts(project: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    dataset = tf.data.Dataset.from_tensor_slices((x, (x[:, 0] > x.mean(axis=1)).astype("int32")))
    names = kx.Spec((), "int32", class_names=("below", "above"))
    data = kx.Data(
        dataset, dataset, dataset.filter(lambda *_: True), kx.Spec((2, 2), "float32"), names,
        prepare=lambda row: tf.reshape(row - tf.reduce_mean(row), (2, 2)),
    )  # fmt: skip
    run = kx.train("model=linear", data=data, epochs=2, quiet=True)
    together = run.predict(list(x[:5]))
    alone = [run.predict([row])[0] for row in x[:5]]
    for a, b in zip(together, alone, strict=True):
        assert a["confidence"] == pytest.approx(b["confidence"], abs=1e-6)


def test_normalization_is_adapted_on_the_training_split_alone(project: Path) -> None:
    from kx.config import compose
    from kx.data.store import store
    from kx.fit.batches import make_data

    model, _ = compiled("data=wine")
    train = store(make_data(compose(["data=wine"]).config), ["train"])["train"]
    layer = model.get_layer("normalize")
    np.testing.assert_allclose(np.squeeze(layer.mean), train.inputs.numpy().mean(axis=0), rtol=1e-4)


def test_all_callbacks_that_would_look_at_nothing_are_named_at_once(project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        kx.train("split.validation_fraction=0", quiet=True)
    places = {mistake.place for mistake in caught.value.mistakes}
    # EarlyStopping follows task.monitor, and is none of its own.
    assert places == {"task.monitor", "callbacks.reduce_lr_on_plateau.monitor"}
    words = ["callbacks=none", "task.monitor=accuracy", "split.validation_fraction=0"]
    run = kx.train("data=wine", "model=linear", *words, "epochs=1", *QUICK, quiet=True)
    assert run.metrics["best/accuracy"] == run.history["train/accuracy"][-1]


def test_own_models_find_their_task(project: Path) -> None:
    x = np.random.default_rng(0).normal(size=(80, 3)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    one = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    quick = {"epochs": 1, "tracking": "none", "report": "none", "quiet": True}
    assert "binary" in kx.train(model=one, data=(x, y), **quick).config["task"]["_target_"]
    two = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    hot = kx.train(model=two, data=(x, np.eye(2)[y]), **quick)
    assert "classification" in hot.config["task"]["_target_"]
    with pytest.raises(ConfigError, match="not built"):
        kx.train(model=keras.Sequential([keras.layers.Dense(2)]), data=(x, y), **quick)
    with pytest.raises(ConfigError, match="expected an option's name"):
        kx.train(model=len, **quick)
    assert kx.train("data=wine", model={"hidden_units": [5]}, **quick).config["model"][
        "hidden_units"
    ] == [5]


def test_early_stopping_keeps_the_best_epoch(project: Path) -> None:
    run = kx.train(
        "data=wine", "epochs=40", "optimizer.learning_rate=0.05", *QUICK,
        "callbacks.early_stopping.patience=2", "callbacks.reduce_lr_on_plateau=null", quiet=True,
    )  # fmt: skip
    losses = run.history["val/loss"]
    assert len(losses) < 40
    assert run.metrics["best/val_loss"] == min(losses)
    assert run.metrics["best/epoch"] == losses.index(min(losses)) + 1
    checkpoints = folder_of(run) / "checkpoints"
    assert {path.name for path in checkpoints.iterdir()} == {"best.weights.h5"}
    assert _validation_loss(run) == pytest.approx(min(losses), rel=1e-4)


def test_the_model_asks_for_the_tensorflow_that_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = {"tensorflow-cpu": "2.21.0", "keras": "3.15.1"}
    monkeypatch.setattr("kx.export.requirements.package_versions", lambda: installed)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    assert pip_requirements(model) == ["tensorflow-cpu==2.21.0", "keras==3.15.1"]


def test_one_batch_is_learnt_by_heart(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["debug=overfit", "model=linear", "data=wine", "batch_size=16", "tracking=none",
             "optimizer.learning_rate=0.1"]  # fmt: skip
    run = kx.train(*words, quiet=True)
    assert run.history["val/accuracy"][-1] == 1.0 and run.history["val/loss"][-1] < 0.01
    assert len(run.history["val/loss"]) < 200 and "memorized" in capsys.readouterr().out
    kx.train(*words, "epochs=2", "optimizer.learning_rate=1e-6", quiet=True)
    assert "not memorized in 2 epochs" in capsys.readouterr().out


def test_profile_writes_what_tensorboard_reads(project: Path) -> None:
    run = kx.train("debug=profile", "data=wine", "model=linear", "batch_size=4", *QUICK, quiet=True)
    traces = list((project / "runs" / run.name / "profile").rglob("*.xplane.pb"))
    assert traces


def test_a_loss_that_is_nan_fails_the_run_and_says_what_to_do(project: Path) -> None:
    with pytest.raises(TrainingError, match="learning_rate"):
        kx.train("data=diabetes", "optimizer=sgd", "optimizer.learning_rate=1e18", quiet=True)
    [stored] = MlflowClient(f"sqlite:///{project}/mlflow.db").search_runs(["1"])
    assert stored.info.status == "FAILED" and "learning_rate" in stored.data.tags["kx.error"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.drop_remainder=true", "batch_size=5000"], "batch_size=5000 is larger"),
        (["data=wine", "model=cnn"], "model=cnn expects images"),
        (["model.activation=rellu"], "refused its arguments"),
        (["+optimizer.beta_3=1"], "Did you mean 'beta_"),
        (["callbacks.early_stopping.monitor=val_acuracy"], "Did you mean 'val_accuracy'"),
        (["split.validation_fraction=0"], "no validation split"),
        (["data=wine", "task=regression"], "task=classification"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_does_not_fit_is_refused_before_the_training(
    new_project: Path, words: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        kx.train(*SMALL if "data=wine" not in words else [], *words, quiet=True)
    assert not (new_project / "runs").exists() or not list((new_project / "runs").iterdir())
    assert not (new_project / "mlflow.db").exists()


def test_a_users_own_model_and_data_in_a_notebook(project: Path) -> None:
    images = np.random.default_rng(0).random((80, 6, 6, 1)).astype("float32")
    labels = np.arange(80) % 3
    images[labels == 1] += 1
    images[labels == 2] -= 1
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    run = kx.train(
        model=model, data=dataset, epochs=80, optimizer={"learning_rate": 0.05}, quiet=True
    )
    assert run.metrics["best/val_accuracy"] > 0.8
    assert run.predict(images[:2])[1]["label"] == "1"
    loaded = kx.load_run(run.id)
    assert loaded.predict(images[:5]) == run.predict(images[:5])
    unbatched = kx.train(model=keras.models.clone_model(model), data=dataset.unbatch(), epochs=1,
                         tracking="none", quiet=True)  # fmt: skip
    assert unbatched.history["train/loss"]


def test_own_numbers_are_a_regression_and_own_arrays_work(project: Path) -> None:
    x = np.random.default_rng(0).normal(size=(100, 3)).astype("float32")
    y = (x @ [1.0, 2.0, 3.0] * 5 + 100).astype("float32")
    run = kx.train("model=linear", data=(x, y), epochs=60, optimizer={"learning_rate": 0.05},
                   tracking="none", report="none", quiet=True)  # fmt: skip
    assert run.history["val/r2"][-1] > 0.95


@pytest.mark.parametrize(
    ("activation", "units", "said"), [("softmax", 10, "raw scores"), (None, 4, "10 classes")]
)
def test_an_own_model_that_gives_no_scores_is_refused(
    project: Path, activation: str | None, units: int, said: str
) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units, activation=activation)])
    with pytest.raises(ConfigError, match=said):
        kx.train(model=model, data=(np.zeros((40, 2), "float32"), np.arange(40) % 10), quiet=True)


def test_ctrl_c_ends_the_run_as_killed(project: Path) -> None:
    (project / "stopping.py").write_text(
        "import keras\n"
        "class Stop(keras.callbacks.Callback):\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        raise KeyboardInterrupt\n"
    )
    code = main(["data=wine", "report=none", "+callbacks.stop._target_=stopping.Stop"])
    assert code == 130
    [stored] = MlflowClient(f"sqlite:///{project}/mlflow.db").search_runs(["1"])
    assert stored.info.status == "KILLED"


def test_secrets_are_hidden_in_all_that_is_kept(project: Path) -> None:
    run = kx.train("data=wine", "epochs=1", "report=none", "+tracking.tags.api_key=hunter2",
                   "tracking.tags={team: vision, api_token: hunter2}", quiet=True)  # fmt: skip
    text = run.artifact("config.yaml").read_text() + run.artifact("overrides.yaml").read_text()
    stored = MlflowClient(run.uri).get_run(run.id).data
    assert "hunter2" not in text + str(stored.tags) + str(stored.params)
    assert stored.tags["team"] == "vision"


def test_names_experiment_and_tags_are_the_users(project: Path) -> None:
    words = ["tracking.experiment=trial", "tracking.run_name=first try", "report=none"]
    run = kx.train("data=wine", "epochs=1", *words, "tracking.tags.team=vision", quiet=True)
    client = MlflowClient(run.uri)
    stored = client.get_run(run.id)
    assert stored.info.run_name == "first try" and stored.data.tags["team"] == "vision"
    assert client.get_experiment(stored.info.experiment_id).name == "trial"
    assert stored.data.params["model"] == "mlp" and stored.data.params["epochs"] == "1"
