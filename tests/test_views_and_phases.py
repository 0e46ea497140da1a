"""Projects of a user's: several views of each example, and phases with other data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kx
from kx.contracts.findings import Findings
from kx.contracts.specs import Data, Outputs, Spec
from kx.data.augment import chain
from kx.data.random import example_seeds
from kx.errors import ConfigError
from kx.transfer import Phase

# --- two views of each image, which should get nearby codes: SimCLR (Chen et al. 2020, section 2)


class Contrastive(keras.Model):
    """Learns codes in which both views of an image are nearest to each other."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        merged = keras.ops.reshape(inputs, (-1, *inputs.shape[2:]))  # both views of one, then …
        return self.model(merged, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Any:  # fmt: skip
        ops = keras.ops
        codes = ops.normalize(y_pred, axis=-1)
        count = ops.shape(codes)[0]
        likeness = ops.matmul(codes, ops.transpose(codes)) / 0.2 - 1e9 * ops.eye(count)
        numbers = ops.arange(count)
        other = numbers + 1 - 2 * (numbers % 2)
        return ops.mean(keras.losses.sparse_categorical_crossentropy(other, likeness, True))


def contrastive(
    targets: Any, *, views: int = 2, monitor: str = "val_loss", monitor_mode: str = "min"
) -> kx.Task:
    def report(answers: Any, options: Any) -> Findings:
        codes = answers.scores / np.linalg.norm(answers.scores, axis=1, keepdims=True)
        likeness = codes @ codes.T - 2 * np.eye(len(codes))
        nearest = answers.targets[likeness.argmax(axis=1)]
        return Findings({"neighbour_accuracy": float((nearest == answers.targets).mean())})

    return kx.Task(
        outputs=Outputs(16), encode=lambda inputs, targets: (inputs, targets), loss=None,
        metrics=list, decode=lambda scores: {"code": scores}, report=report, monitor=monitor,
        monitor_mode=monitor_mode, learner=Contrastive, learner_metrics=["loss", "val_loss"],
        views=views,
    )  # fmt: skip


def option(project: Path, group: str, name: str, text: str = "") -> None:
    folder = project / "conf" / group
    folder.mkdir(parents=True, exist_ok=True)
    target = f"_target_: test_views_and_phases.{name}\n"
    (folder / f"{name}.yaml").write_text(f"# Of a test.\n{target}{text}")


OF_CONTRASTIVE = "views: 2\nmonitor: val_loss\nmonitor_mode: min\n"
VIEWS = (
    "data=digits", "split.limit=500", "task=contrastive", "model=mlp", "model.hidden_units=[64]",
    "augment=[translate,rotate]", "batch_size=50", "callbacks.reduce_lr_on_plateau=null",
)  # fmt: skip


def test_a_project_learns_from_two_views_of_each_image(project: Path) -> None:
    option(project, "task", "contrastive", OF_CONTRASTIVE)
    run = kx.train(*VIEWS, "epochs=6", "optimizer.learning_rate=5e-3", quiet=True)
    losses = run.history["val/loss"]
    # By chance, one of the 99 other views of a batch is the right one.
    assert losses[-1] < 0.85 * losses[0] < 0.85 * np.log(99)
    assert run.metrics["test/neighbour_accuracy"] > 0.7  # no label was used
    again = kx.load_run(run.id)
    pixels = np.zeros((8, 8, 1), "uint8")
    code = again.predict([pixels])[0]["code"]
    assert len(code) == 16  # one view: the image as it is

    words = ["epochs=2", "optimizer.learning_rate=5e-3", "report=none"]
    kx.train(*VIEWS, *words, "tracking.run_name=part", quiet=True)
    longer = kx.train("resume=part", "epochs=3", quiet=True)
    assert longer.history["train/loss"] == run.history["train/loss"][:3]
    assert longer.history["val/loss"] == run.history["val/loss"][:3]


def test_the_views_of_an_example_differ_and_are_the_same_again() -> None:
    node = {"_target_": "kx.data.augment.translate"}
    augment = chain({"translate": node})
    assert augment is not None
    image = Spec((8, 8, 1), "uint8")
    three = augment.of(image, Spec((), "int64"), views=3)
    inputs = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1)).astype("uint8")
    seeds = example_seeds(0, np.int64(1), np.arange(16))
    views, targets = three.before_encoding(inputs, np.arange(16), seeds)
    assert views.shape == (16, 3, 8, 8, 1) and np.array_equal(targets, np.arange(16))
    views = np.asarray(views)
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert (views[:, one] != views[:, other]).any(axis=(1, 2, 3)).mean() > 0.5
    np.testing.assert_array_equal(three.before_encoding(inputs, targets, seeds)[0], views)
    # An example has the same views in whatever batch.
    alone, _ = three.before_encoding(inputs[5:6], targets[5:6], seeds[5:6])
    np.testing.assert_array_equal(alone[0], views[5])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["augment=none"], "compares 2 views of each example, which would be"),
        (["augment=[flip,mixup]"], "mixes the targets of examples"),
        (["task.views=0"], "expected 1, or more with a learner"),
    ],
)
def test_views_that_say_nothing_are_refused(project: Path, words: list[str], said: str) -> None:
    option(project, "task", "contrastive", OF_CONTRASTIVE)
    with pytest.raises(ConfigError, match=said):
        kx.train(*VIEWS, "epochs=1", *words, quiet=True)
    assert not list(project.glob("runs/*"))


def test_views_of_masks_are_refused(project: Path) -> None:
    option(project, "task", "contrastive", OF_CONTRASTIVE)
    words = ["data=digit_scenes", "data.num_scenes=40", "task=contrastive", "model=mlp"]
    with pytest.raises(ConfigError, match="have one target, and .* would move"):
        kx.train(*words, "augment=flip", "epochs=1", quiet=True)


def test_a_check_of_a_task_replaces_that_of_scores(project: Path) -> None:
    def unhappy(model: keras.Model) -> None:
        raise ConfigError(f"no {model.name} for this task")

    from kx.fit.model.assemble import assemble
    from kx.tasks.prediction.classification import classification

    job = kx.config.compose(["data=digits", "model=mlp"])
    data = kx.fit.batches.make_data(job.config)
    task = dataclasses.replace(classification(data.targets), check=unhappy)
    with pytest.raises(ConfigError, match="no mlp for this task"):
        assemble(job.config, data, task)


# --- two phases with other classes: how much of the first is forgotten in the second?


def of_classes(classes: list[int]) -> Any:
    def only(data: Data) -> Data:
        import tensorflow as tf

        def chosen(raw: Any, target: Any) -> Any:
            return tf.reduce_any(tf.equal(tf.cast(target, tf.int32), classes))

        splits = {name: split.filter(chosen) for name, split in data.splits.items()}
        return dataclasses.replace(data, **splits)

    return only


def two_tasks(epochs: int, *, first_epochs: int = 3) -> list[Phase]:
    return [
        Phase("low", first_epochs, data=of_classes([0, 1, 2, 3, 4])),
        Phase("high", epochs, data=of_classes([5, 6, 7, 8, 9])),
    ]


def without_test(epochs: int) -> list[Phase]:
    return [Phase("low", epochs, data=lambda data: dataclasses.replace(data, test=None))]


def twice(epochs: int) -> list[Phase]:
    return [Phase("one", 1, data=of_classes([1])), Phase("one", epochs, data=of_classes([2]))]


PHASES = (
    "data=digits", "split.limit=900", "model=mlp", "model.hidden_units=[32]", "augment=none",
    "transfer=two_tasks", "report=none", "optimizer.learning_rate=5e-3",
)  # fmt: skip


@pytest.mark.usefixtures("graphs")
def test_a_project_trains_on_one_data_set_after_the_other(project: Path) -> None:
    option(project, "transfer", "two_tasks", "first_epochs: 3\n")
    run = kx.train(*PHASES, "epochs=6", quiet=True)
    assert run.history["phase"] == [1, 1, 1, 2, 2, 2]
    # What it knew at the end of the first phase is forgotten in the second.
    client = __import__("mlflow").MlflowClient(run.config["tracking"]["uri"])
    low = {m.step: m.value for m in client.get_metric_history(run.id, "phase/low/val_accuracy")}
    assert list(low) == [3, 6] and low[3] > 0.7 > low[6]
    assert run.metrics["phase/low/val_accuracy"] == low[6]
    assert run.metrics["phase/high/val_accuracy"] > 0.7
    # The epoch that is kept is one of the last phase: others had other examples.
    assert run.metrics["best/epoch"] > 3
    kept = int(run.metrics["best/epoch"])
    assert run.metrics["phase/high/val_accuracy"] == pytest.approx(
        run.history["val/accuracy"][kept - 1]
    )
    test = run.metrics["test/accuracy"]  # of all ten classes
    assert test < 0.8

    for epochs in (3, 4):
        left = kx.train(*PHASES, f"epochs={epochs}", f"tracking.run_name=to_{epochs}", quiet=True)
        assert left.history["val/loss"] == run.history["val/loss"][:epochs]
        longer = kx.train(f"resume=to_{epochs}", "epochs=6", quiet=True)
        for name in ("train/loss", "val/loss", "val/accuracy"):
            assert longer.history[name] == run.history[name], (epochs, name)
        assert longer.metrics["phase/low/val_accuracy"] == low[6]
        assert longer.metrics["test/accuracy"] == test


def easy_first(epochs: int) -> list[Phase]:
    return [Phase("easy", 2, data=of_classes([0, 1])), Phase("all", epochs)]


def test_the_best_epoch_of_other_examples_does_not_count(project: Path) -> None:
    """Two classes are told apart better than ten are after three more epochs."""
    option(project, "transfer", "easy_first")
    words = [word for word in PHASES if not word.startswith("transfer")]
    run = kx.train(*words, "transfer=easy_first", "epochs=5", quiet=True)
    scores = run.history["val/accuracy"]
    assert max(scores[:2]) > max(scores[2:])
    assert run.metrics["best/epoch"] > 2
    model, [record] = run.model(), kx.tracking.records.all_records()
    kept = [np.asarray(weight) for weight in model.weights]
    model.load_weights(record.folder / "checkpoints" / "best.weights.h5")
    for one, other in zip(kept, model.weights, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other))


def without_examples(epochs: int) -> list[Phase]:
    return [Phase("first", 1), Phase("none", epochs, data=of_classes([77]))]


def with_few(epochs: int) -> list[Phase]:
    def few(data: Data) -> Data:
        return dataclasses.replace(data, train=data.train.take(20))

    return [Phase("few", epochs, data=few)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("without_examples", "the train split has no examples"),
        ("with_few", "fewer than batch_size=32"),
        ("without_test", "expected the splits train, validation, test"),
        ("twice", "need names"),
    ],
)
def test_phases_that_cannot_be_compared_are_refused(project: Path, name: str, said: str) -> None:
    option(project, "transfer", name)
    words = [word for word in PHASES if not word.startswith("transfer")]
    with pytest.raises(ConfigError, match=said):
        kx.train(*words, f"transfer={name}", "epochs=2", quiet=True)
    assert not list(project.glob("runs/*"))
