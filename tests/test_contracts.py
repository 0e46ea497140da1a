"""The public checks of `kx.testing`: what keeps a contract passes, what breaks it is told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scripted import FINGERPRINT, ScriptedEngine

import kx
from kx.config import compose
from kx.data import Outputs, Spec
from kx.data.augment import flip, mixup
from kx.data.sources.tables.embedded import wine
from kx.launch.engines.local import Local
from kx.models.tables.dense import mlp
from kx.tasks.prediction.classification import classification
from kx.testing import (
    ContractError,
    check_augment,
    check_data,
    check_engine,
    check_model,
    check_task,
    check_tracker,
)
from kx.tracking.open import open_run
from kx.tracking.run_folder import open_run_folder
from kx.tracking.tracker import Tracker

pytestmark = pytest.mark.usefixtures("graphs")

ROW = Spec((4,), "float32")
CLASSES = Spec((), "int32", class_names=("a", "b", "c"))


def test_what_keeps_its_contract_passes() -> None:
    check_model(mlp, ROW)
    check_data(examples)
    check_data(wine)
    check_task(classification, CLASSES)
    check_augment(flip)
    check_augment(mixup, mixes=True)


def small(inputs: Spec, outputs: Outputs, *, last: Callable[[int], Any]) -> keras.Model:
    return keras.Sequential([keras.Input(inputs.shape), last(outputs.units)])


def compiled(inputs: Spec, outputs: Outputs) -> keras.Model:
    model = mlp(inputs, outputs)
    model.compile()
    return model


def frozen(inputs: Spec, outputs: Outputs) -> keras.Model:
    layer = keras.layers.Dense(outputs.units)
    model = keras.Sequential([keras.Input(inputs.shape), layer])
    layer.trainable = False
    return model


ONE = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])


@pytest.mark.parametrize(
    ("builder", "said"),
    [
        (lambda inputs, outputs: 3, "expected a keras.Model"),
        (compiled, "uncompiled"),
        (partial(small, last=lambda units: keras.layers.Dense(units + 1)), "scores of shape"),
        (partial(small, last=lambda units: keras.layers.Dense(units, "softmax")), "logits"),
        (lambda inputs, outputs: ONE, "new weights at each call"),
        (frozen, "trainable weights"),
    ],
)
def test_a_builder_that_breaks_the_contract_is_told(builder: Callable[..., Any], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        check_model(builder, ROW)


def examples(**changed: Any) -> kx.Examples:
    values = {
        "inputs": np.arange(120, dtype="float32").reshape(30, 4), "targets": np.arange(30) % 3,
        "input_spec": ROW, "target_spec": CLASSES, **changed,
    }  # fmt: skip
    return kx.Examples(**values)


def of_other_inputs_each_time() -> kx.Examples:
    return examples(
        inputs=np.random.default_rng().normal(size=(30, 4)).astype("float32"), identity=("v1",)
    )


def unstable() -> kx.Examples:
    return examples(inputs=np.random.default_rng().normal(size=(30, 4)).astype("float32"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (lambda: 3, "expected kx.Examples"),
        (unstable, "the same fingerprint"),
        (partial(examples, input_spec=Spec((5,), "float32")), "as its spec says"),
        (partial(examples, prepare=lambda x: x.numpy()), "cannot run in TensorFlow's graph"),
        (of_other_inputs_each_time, "the same examples in the same order"),
        (partial(examples, prepare=lambda x: x / 0), "finite numbers"),
    ],
)
def test_data_that_breaks_the_contract_is_told(source: Callable[[], Any], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        check_data(source)


def changed_task(targets: Spec, **changed: Any) -> Any:
    task = classification(targets)
    for name, value in changed.items():
        setattr(task, name, value)
    return task


METRIC = keras.metrics.CategoricalAccuracy("accuracy")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"monitor": "val_acuracy"}, "a metric of the task"),
        ({"monitor_mode": "best"}, "min or max"),
        ({"metrics": lambda: [METRIC]}, "new metrics at each call"),
        ({"decode": lambda scores: {"label": scores[:3]}}, "a prediction for each example"),
        ({"decode": lambda scores: {}}, "predictions by name"),
        ({"report": lambda *_: None}, "expected Findings"),
    ],
)
def test_a_task_that_breaks_the_contract_is_told(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        check_task(partial(changed_task, **changed), CLASSES)


def of_its_own_randomness(images: Any, targets: Any, seeds: Any) -> Any:
    noise = tf.random.uniform(tf.shape(images), 0, 9, dtype=tf.int32)
    return tf.cast(tf.cast(images, tf.int32) // 2 + noise, images.dtype), targets


def of_numpys_randomness(images: Any, targets: Any, seeds: Any) -> Any:
    order = np.random.permutation(images.shape[1] * images.shape[2])  # never twice the same
    pixels = tf.reshape(images, (images.shape[0], -1, images.shape[3]))
    return tf.reshape(tf.gather(pixels, order, axis=1), images.shape), targets


def of_the_batch(images: Any, targets: Any, seeds: Any) -> Any:
    mean = tf.reduce_mean(tf.cast(images, tf.float32), axis=0)
    return tf.cast(tf.broadcast_to(mean, tf.shape(images)), images.dtype), targets


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        (lambda x, y, seeds: (tf.cast(x, tf.float32), y), "Received: .*float32"),
        (lambda x, y, seeds: (x[:, :3], y), r"Received: \(6, 3"),
        (lambda x, y, seeds: (x, 2 * y), "sum to 1"),
        (of_its_own_randomness, "the same images from the same seeds"),
        (of_numpys_randomness, "at each call"),
        (of_the_batch, "does not depend on the others"),
        (mixup, "does it mix"),
    ],
)
def test_an_augmentation_that_breaks_the_contract_is_told(
    augment: Callable[..., Any], said: str
) -> None:
    with pytest.raises(ContractError, match=said):
        check_augment(augment)


# --- engines and trackers


@pytest.mark.parametrize("make", [ScriptedEngine, Local])
def test_an_engine_keeps_the_contract(project: Path, make: Callable[[], Any]) -> None:
    check_engine(make(), project)


class Deaf(ScriptedEngine):
    """An engine that passes no answers on."""

    def start(self, orders: Any, workers: int) -> Any:
        handles = super().start(orders, workers)
        for handle in handles.values():
            handle.answer = lambda continues: None
        return handles


class Silent(ScriptedEngine):
    """An engine that loses the messages of its second job."""

    def listen(self, handles: Any) -> Any:
        for slot, message in super().listen(handles):
            if slot != 1 or message is None or message[0] != "epoch":
                yield slot, message


@pytest.mark.parametrize(("engine", "said"), [(Deaf, "2 epochs"), (Silent, "the messages")])
def test_an_engine_that_breaks_the_contract_is_told(project: Path, engine: Any, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        check_engine(engine(), project)


def test_trackers_keep_the_contract(project: Path) -> None:
    check_tracker(Tracker("untracked-1", "a run"))
    job = compose(["data=wine", "tracking.system_metrics=false"])
    data: Any = SimpleNamespace(fingerprint=FINGERPRINT, splits={}, name="scripted")
    with open_run_folder(job) as folder, open_run(job, folder, data, {}) as tracker:
        check_tracker(tracker)

    class Forgets(Tracker):
        kept = True

    with pytest.raises(ContractError, match="the steps"):
        check_tracker(Forgets("1", "a run"))
