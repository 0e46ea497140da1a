"""The contract of a task option, over every shipped one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.utils.class_weight import compute_class_weight

import kx
from kx.config import CONF_DIR, build, compose
from kx.contracts.answers import Answers
from kx.data import Spec
from kx.data.sources.environments.grid_world import grid_world
from kx.data.store import Stored
from kx.errors import ConfigError
from kx.fit.batches import _weigher
from kx.report import ReportOptions
from kx.tasks.prediction.binary import binary
from kx.tasks.prediction.classification import classification
from kx.testing import check_task

TARGETS = {
    "classification": Spec((), "int32", class_names=("a", "b", "c", "d", "e", "f")),
    "binary": Spec((), "int32", class_names=("no", "yes")),
    "segmentation": Spec((6, 5), "int32", class_names=("ground", "cat"), kind="mask"),
    "multilabel": Spec((3,), "float32", class_names=("x", "y", "z")),
    "regression": Spec(
        (), "float32", column_names=("price",), mean=(50.0,), standard_deviation=(10.0,)
    ),
}
TASKS = sorted(path.stem for path in (CONF_DIR / "task").glob("*.yaml"))


def task_of(name: str, *words: str):  # type: ignore[no-untyped-def]
    config = compose([f"task={name}", *words]).config
    return build(config.task, TARGETS[name], place="task")


def some_targets(name: str, count: int = 40) -> np.ndarray:
    generator = np.random.default_rng(0)
    if name == "multilabel":
        return (generator.random((count, 3)) < 0.5).astype("float32")
    if name == "regression":
        return generator.normal(50, 10, count).astype("float32")
    if name == "segmentation":
        return generator.integers(0, 2, (count, 6, 5)).astype("int32")
    return (np.arange(count) % len(TARGETS[name].class_names or ())).astype("int32")


@pytest.mark.parametrize("name", TASKS)
def test_a_task_keeps_the_contract(project: Path, name: str) -> None:
    teacher = ["task.teacher=x"] if name == "distillation" else []
    config = compose([f"task={name}", *teacher]).config.task
    if name in ("dqn", "q_learning", "reinforce"):
        world = grid_world()
        task = partial(build, config, place="task", facts=world.facts)
        check_task(task, {}, inputs=world.inputs)
        with pytest.raises(ConfigError, match="expects an environment in which an agent acts"):
            build(config, {}, inputs=world.inputs, facts={}, place="task")
        return
    if name == "distillation":
        image = Spec((6, 5, 1), "uint8", kind="image")
        task = partial(build, config, place="task", teacher=None)
        check_task(task, TARGETS["classification"], inputs=image)
        return
    if name in ("reconstruction", "adversarial"):
        image = Spec((6, 5, 1), "uint8", kind="image")
        check_task(partial(build, config, place="task"), TARGETS["classification"], inputs=image)
        return
    if name in ("translation", "language_model"):
        tokens = ["", "?", *"abcdef", "[START]", "[END]"]
        text = Spec((7,), "int32", vocabulary_size=len(tokens), kind="tokens", padding_value=0)
        node = {"tokens": tokens, "ends": name == "translation"}
        facts = {"detokenize": {"": node, "target": node}}
        task = partial(build, config, place="task", facts=facts)
        check_task(task, text if name == "translation" else {}, inputs=text)
        with pytest.raises(ConfigError, match="expects (a text for each text|texts whose token)"):
            build(config, TARGETS["binary"], inputs=text, facts={}, place="task")
        return
    check_task(partial(build, config, place="task"), TARGETS[name])
    task = task_of(name)
    scores = np.random.default_rng(0).normal(size=(40, *task.outputs.shape)).astype("float32")
    findings = task.report(
        Answers(some_targets(name), scores), ReportOptions(num_bootstrap_samples=20)
    )
    assert findings.figures and findings.tables


@pytest.mark.parametrize("name", ["classification", "binary"])
def test_perfect_scores_are_perfect(project: Path, name: str) -> None:
    task = task_of(name)
    targets = some_targets(name)
    count = len(TARGETS[name].class_names or ())
    scores = 50.0 * (2 * np.eye(count)[targets] - 1)
    scores = scores[:, 1:] if name == "binary" else scores
    findings = task.report(Answers(targets, scores), ReportOptions(num_bootstrap_samples=10))
    for metric in ("accuracy", "f1_macro", "precision_macro", "recall_weighted", "roc_auc"):
        assert findings.metrics[metric] == pytest.approx(1.0)
    assert findings.metrics["expected_calibration_error"] == pytest.approx(0.0, abs=1e-6)
    assert len(findings.worst) == 0
    low, high = findings.intervals["accuracy"]
    assert low == pytest.approx(len(targets) / (len(targets) + 1.96**2), abs=1e-3), "Wilson's"
    assert high == 1
    labels = [word.decode() for word in task.decode(scores.astype("float32"))["label"].numpy()]
    assert labels == [(TARGETS[name].class_names or ())[i] for i in targets]


@pytest.mark.parametrize("name", ["classification", "binary", "multilabel"])
def test_metrics_count_mixed_targets_by_their_larger_part(project: Path, name: str) -> None:
    task = task_of(name)
    encoded = np.asarray(task.encode(None, tf.constant(some_targets(name)))[1])
    soft = 0.7 * encoded + 0.3 * np.roll(encoded, 1, axis=0)
    larger = encoded if name == "classification" else (soft >= 0.5).astype("float32")
    scores = np.random.default_rng(3).normal(size=encoded.shape).astype("float32") + 2 * encoded
    for mixed, whole in zip(task.metrics(), task.metrics(), strict=True):
        mixed.update_state(soft, scores)
        whole.update_state(larger, scores)
        assert float(mixed.result()) == pytest.approx(float(whole.result())), mixed.name


def test_keras_and_scikit_learn_agree_on_accuracy(project: Path) -> None:
    task = task_of("classification")
    targets = some_targets("classification", 60)
    scores = np.random.default_rng(0).normal(size=(60, 6)).astype("float32")
    metrics = {metric.name: metric for metric in task.metrics()}
    for metric in metrics.values():
        metric.update_state(task.encode(None, targets)[1], scores)
    found = task.report(Answers(targets, scores), ReportOptions(num_bootstrap_samples=10)).metrics
    assert float(metrics["accuracy"].result()) == pytest.approx(found["accuracy"])
    assert float(metrics["top_5_accuracy"].result()) == pytest.approx(found["top_5_accuracy"])
    assert float(task.loss(task.encode(None, targets)[1], scores)) == pytest.approx(
        found["log_loss"], abs=1e-5
    )


def test_the_threshold_decides(project: Path) -> None:
    scores = np.array([[0.2], [3.0]], "float32")  # probabilities .55 and .95
    low = task_of("binary").decode(scores)
    high = task_of("binary", "task.threshold=0.9").decode(scores)
    assert [b.decode() for b in low["label"].numpy()] == ["yes", "yes"]
    assert [b.decode() for b in high["label"].numpy()] == ["no", "yes"]
    labels = task_of("multilabel").decode(np.array([[5.0, -5.0, 5.0], [-5.0, -5.0, -5.0]]))
    assert [b.decode() for b in labels["label"].numpy()] == ["x|z", ""]


def test_regression_answers_in_the_targets_unit(project: Path) -> None:
    task = task_of("regression")
    np.testing.assert_allclose(task.encode(None, np.array([50.0, 60.0]))[1], [[0.0], [1.0]])
    np.testing.assert_allclose(task.decode(np.array([[0.0], [1.0]]))["value"], [[50.0], [60.0]])
    mae = task.metrics()[0]
    mae.update_state(task.encode(None, np.array([50.0, 60.0]))[1], np.zeros((2, 1), "float32"))
    assert float(mae.result()) == pytest.approx(5.0)


def test_label_smoothing_and_another_loss_reach_keras(project: Path) -> None:
    assert task_of("classification", "task.label_smoothing=0.1").loss.get_config()[
        "label_smoothing"
    ] == pytest.approx(0.1)
    focal = "{_target_: keras.losses.CategoricalFocalCrossentropy, from_logits: true}"
    loss = task_of("classification", f"task.loss={focal}").loss
    assert isinstance(loss, keras.losses.CategoricalFocalCrossentropy)
    with pytest.raises(ConfigError, match="from_logits: true"):
        task_of("classification", "task.loss={_target_: keras.losses.CategoricalFocalCrossentropy}")
    with pytest.raises(ConfigError, match="expected a Keras loss"):
        task_of("classification", "task.loss=mse")


@pytest.mark.parametrize(
    ("task", "targets", "fits"),
    [
        ("classification", "regression", "task=regression"),
        ("classification", "multilabel", "task=multilabel"),
        ("binary", "classification", "task=classification"),
        ("multilabel", "classification", "task=classification"),
        ("regression", "classification", "task=classification"),
    ],
)
def test_unfitting_targets_are_refused_with_the_task_that_fits(
    project: Path, task: str, targets: str, fits: str
) -> None:
    with pytest.raises(ConfigError, match=fits):
        build(compose([f"task={task}"]).config.task, TARGETS[targets], place="task")


def test_class_weights_count_in_the_loss_of_the_training_alone(project: Path) -> None:
    words = ["data=digits", "split.limit=300", "model=linear", "epochs=2", "callbacks=none",
             "report=none", "tracking=none", "optimizer=sgd", "augment=none"]  # fmt: skip
    doubled = {str(number): 2.0 for number in range(10)}
    twice = kx.train(
        *words, f"task.class_weights={doubled}".replace("'", ""), quiet=True
    )  # the same as twice the learning rate
    faster = kx.train(*words, "optimizer.learning_rate=0.02", quiet=True)
    assert twice.config["optimizer"]["learning_rate"] == 0.01
    np.testing.assert_allclose(twice.history["val/loss"], faster.history["val/loss"], rtol=1e-4)
    np.testing.assert_allclose(
        twice.history["train/loss"], 2 * np.array(faster.history["train/loss"]), rtol=1e-4
    )
    none = kx.train(*words, "epochs=8", "task.class_weights={3: 0.0}", quiet=True)
    pixels = load_digits().images[:200] * 15.9
    raw = [tf.io.encode_png(image.astype("uint8")[..., None]).numpy() for image in pixels]
    answers = {answer["label"] for answer in none.predict(raw)}
    assert "3" not in answers and len(answers) > 4


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.array([0] * 70 + [1] * 20 + [2] * 10)
    task = classification(Spec((), "int32", class_names=("a", "b", "c")), class_weights="balanced")
    stored = Stored(100, None, tf.constant(labels), class_counts=(70, 20, 10))
    weigh = _weigher(task, stored)
    assert weigh is not None
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(weigh(tf.eye(3)), expected, rtol=1e-6)
    mixed = weigh(tf.constant([[0.5, 0.5, 0.0]]))
    np.testing.assert_allclose(mixed, [(expected[0] + expected[1]) / 2], rtol=1e-6)
    for given, said in [("balancd", "expected null, balanced"), ({"z": 1}, "no class 'z'"),
                        ({"a": -1}, "0 or more"), ({"a": float("inf")}, "0 or more"),
                        (dict.fromkeys("abcdef", 0.0), "each class counts 0")]:  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            classification(TARGETS["classification"], class_weights=given)


def test_the_weights_of_two_classes_count_for_one_score() -> None:
    spec = Spec((), "int32", class_names=("no", "yes"))
    labels = np.array([0] * 90 + [1] * 10)
    stored = Stored(100, None, tf.constant(labels), class_counts=(90, 10))
    encoded = binary(spec).encode(None, tf.constant([0, 1]))[1]
    for given, expected in (
        ("balanced", compute_class_weight("balanced", classes=np.arange(2), y=labels)),
        ({"yes": 3.0}, [1.0, 3.0]),
    ):
        weigh = _weigher(binary(spec, class_weights=given), stored)
        assert weigh is not None
        np.testing.assert_allclose(weigh(encoded), expected, rtol=1e-6)
    with pytest.raises(ConfigError, match="no class 'yess'"):
        binary(spec, class_weights={"yess": 2})
