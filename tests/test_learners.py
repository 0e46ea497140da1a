"""What `fit` trains around the model that is kept: learners."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import compiled
from omegaconf import OmegaConf

import kx
from kx.config import build, compose
from kx.contracts.specs import Outputs, Spec
from kx.data.sources.environments.grid_world import grid_world
from kx.data.sources.environments.gymnasium import gymnasium
from kx.errors import ConfigError
from kx.models.agents.networks import policy_network, q_network, q_table
from kx.models.images.dcgan import dcgan
from kx.run import main
from kx.tasks.environments.dqn import dqn
from kx.tasks.environments.q_learning import q_learning
from kx.tasks.environments.reinforce import reinforce
from kx.tasks.prediction.distillation import distillation
from kx.testing import check_learner
from kx.tracking.records import all_records
from kx.training import train

IMAGE = Spec((8, 8, 1), "uint8", kind="image")
CLASSES = Spec((), "int32", class_names=("a", "b", "c"))
SMALL = ["data=digits", "split.limit=200", "model=mlp", "model.hidden_units=[8]", "augment=none",
         "report=none", "epochs=2", "run_eagerly=true"]  # fmt: skip


def small_net(units: int = 4) -> keras.Model:
    x = keras.Input((8, 8, 1), dtype="uint8")
    h = keras.layers.Rescaling(1 / 255, name="scaled")(x)
    h = keras.layers.Dropout(0.3)(keras.layers.Flatten()(h))
    h = keras.layers.Dense(units, activation="relu", name="hidden")(h)
    return keras.Model(x, keras.layers.Dense(3)(h))


class Teacher:
    """Stands for a finished run."""

    name = "teacher"

    def __init__(self, inputs: Spec = IMAGE, targets: Spec = CLASSES) -> None:
        self.spec = {"inputs": inputs, "targets": targets}
        self._model = small_net(6)
        self.outputs: Any = Outputs(3, ("a", "b", "c"))

    def bundle(self) -> Teacher:
        return self

    def __call__(self) -> Any:
        return self

    def model(self) -> keras.Model:
        return self._model

    def task(self) -> Any:
        return SimpleNamespace(outputs=self.outputs)


class Bundle:
    def __init__(self, spec: Any) -> None:
        self.spec = lambda: spec


def teacher(inputs: Spec = IMAGE, targets: Spec = CLASSES) -> Any:
    made = Teacher(inputs, targets)
    made.bundle = lambda: Bundle({"inputs": inputs, "targets": targets})  # type: ignore[method-assign]
    return made


def image_batches(*, encoded: bool = True) -> tf.data.Dataset:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (64, 8, 8, 1)).astype("uint8")
    targets = tf.one_hot(np.arange(64) % 3, 3) if encoded else np.arange(64) % 3
    return tf.data.Dataset.from_tensor_slices((images, targets)).batch(8)


@pytest.mark.parametrize("layers", [{}, {"student_layer": "hidden", "teacher_layer": "hidden"}])
def test_a_distiller_keeps_the_contract(project: Path, layers: dict[str, str]) -> None:
    given = teacher()  # one teacher for all: a new one would have other weights

    def make() -> Any:
        return distillation(CLASSES, IMAGE, teacher=given, **layers), small_net()

    check_learner(make, image_batches())


@pytest.mark.parametrize("loss", ["non_saturating", "wasserstein"])
def test_an_adversary_keeps_the_contract(project: Path, loss: str) -> None:
    words = ["task=adversarial", f"task.loss={loss}", "task.latent_size=4", "task.critic_steps=2",
             "task.gradient_penalty=10.0", "task.critic.filters=[4]"]  # fmt: skip
    node = compose(words).config.task

    def make() -> Any:
        task = build(node, CLASSES, inputs=IMAGE, place="task")
        return task, dcgan(task.inputs, task.outputs, filters=[4, 4])

    check_learner(make, image_batches(encoded=False))


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize("name", ["q_learning", "dqn", "reinforce", "cart_pole"])
def test_an_agent_keeps_the_contract(project: Path, name: str) -> None:
    if name == "cart_pole":
        pytest.importorskip("gymnasium")
    data = gymnasium(name="CartPole-v1") if name == "cart_pole" else grid_world(max_steps=8)
    steps = tf.data.Dataset.range(2).flat_map(
        lambda epoch: tf.data.Dataset.range(40).map(lambda step: (epoch, step))
    )

    def make() -> Any:
        given = ({}, data.inputs, data.facts, data.environment)
        if name == "q_learning":
            task, builder = q_learning(*given), q_table
        elif name == "reinforce":
            task, builder = reinforce(*given, episodes_per_update=2), policy_network
        else:
            options = {"learning_starts": 8, "replay_size": 16, "target_update_steps": 5}
            task, builder = dqn(*given, **options), q_network
        return task, builder(data.inputs, task.outputs)

    check_learner(make, steps, num_steps=40)


def test_the_state_has_every_optimizer_with_what_it_updates(project: Path) -> None:
    from kx.fit.keep_state import capture, restore_variables

    words = ["data=digits", "split.limit=100", "task=adversarial", "model.filters=[4,4]"]
    learner, builder = compiled(*words, "augment=none", "task.critic.filters=[4]", "epochs=1")
    learner.fit(builder.batches.train_from(0), steps_per_epoch=2, verbose=0)
    state = capture(learner, [], 1, 1)
    [critic] = state.other_optimizers
    places = [[learner.variables[n].path for n in s] for s in (state.stepped, critic["stepped"])]
    generators = {v.path for v in learner.generator.trainable_variables}
    assert set(places[0]) == generators and not generators & set(places[1])
    learner.critic_optimizer.learning_rate = 0.5
    restore_variables(learner, state)
    assert float(learner.critic_optimizer.learning_rate) == pytest.approx(1e-3)


class Forgetful(keras.Model):
    """A learner that does not hold the model."""


class Doubled(keras.Model):
    """A learner with a step of its own, and twice the loss."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.model(inputs, training=training)

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            scores = self(x, training=True)
            loss = self.optimizer.scale_loss(2 * self.compute_loss(x, y, scores))
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return self.compute_metrics(x, y, scores)


def doubled(targets: Any, *, monitor: str = "val_accuracy", monitor_mode: str = "max") -> kx.Task:
    from kx.tasks.prediction.classification import classification

    task = classification(targets)
    task.learner = Doubled
    return task


def forgetful(targets: Any, *, monitor: str = "val_accuracy", monitor_mode: str = "max") -> kx.Task:
    task = doubled(targets)
    task.learner = lambda model: Forgetful()
    return task


def net_with_a_step(inputs: Spec, outputs: Outputs) -> keras.Model:
    class Own(keras.Model):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    x = keras.Input(inputs.shape, dtype=inputs.dtype)
    return Own(x, keras.layers.Dense(outputs.units)(keras.layers.Flatten()(x)))


@pytest.fixture
def own_tasks(project: Path) -> Path:
    """A project with tasks and a model of its own, which are those of this file."""
    for group, name in (("task", "doubled"), ("task", "forgetful"), ("model", "net_with_a_step")):
        folder = project / "conf" / group
        folder.mkdir(parents=True, exist_ok=True)
        monitors = "monitor: val_accuracy\nmonitor_mode: max\n" if group == "task" else ""
        text = f"# Of a test.\n_target_: test_learners.{name}\n{monitors}"
        (folder / f"{name}.yaml").write_text(text)
    return project


def test_a_learner_of_a_project_trains_and_is_not_kept(own_tasks: Path) -> None:
    run = kx.train(*SMALL, "task=doubled", quiet=True)
    assert run.model().name == "mlp" and not isinstance(run.model(), Doubled)
    plain = kx.train(*SMALL, quiet=True)
    assert run.history["train/loss"] != plain.history["train/loss"]
    assert len(run.model().weights) == len(plain.model().weights)
    # The checkpoint holds the weights of the model, not those of the learner.
    [record, *_] = [r for r in all_records() if r.run_id == run.id]
    again = plain.model()
    again.load_weights(record.folder / "checkpoints" / "best.weights.h5")
    for one, other in zip(again.weights, run.model().weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task=forgetful"], "Forgetful does not hold the model that it gets"),
        (["model=net_with_a_step"], "has a train_step of its own.*kx.Task.*learner"),
        (["task=dqn"], "expects an environment in which an agent acts"),
        (["data=grid_world", "augment=flip"], "no examples to augment"),
        (["data=grid_world", "overfit_batches=1"], "overfit_batches=null"),
        (["data=wine", "task=adversarial"], "expects images of pixels"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(own_tasks: Path, words: list[str], said: str) -> None:
    of_model = [w for w in SMALL if w.startswith("model") and "model=net_with_a_step" not in words]
    of_model = [] if "data=grid_world" in words or "task=adversarial" in words else of_model
    others = [word for word in SMALL if not word.startswith("model")]
    if "data=grid_world" in words:
        others = ["epochs=1"]
    with pytest.raises(ConfigError, match=said):
        kx.train(*others, *of_model, *words, quiet=True)
    assert not all_records()


def test_a_step_of_its_own_is_refused_on_several_devices(project: Path) -> None:
    from kx.fit.model.learner import refuse_own_step

    learner = Doubled(small_net())
    refuse_own_step(learner, 1)
    with pytest.raises(ConfigError, match="train_step of Doubled would have to divide"):
        refuse_own_step(learner, 2)


def test_averages_of_a_part_of_the_variables_are_refused(project: Path) -> None:
    words = ["data=digits", "split.limit=100", "task=adversarial", "augment=none"]
    with pytest.raises(ConfigError, match="optimizer.use_ema"):
        compiled(*words, "optimizer.use_ema=true")


@pytest.mark.parametrize("normalized", [True, False])
def test_an_own_model_with_a_step_is_its_own_learner(project: Path, normalized: bool) -> None:
    seen: list[float] = []

    class Own(keras.Model):
        def train_step(self, data: Any) -> Any:
            largest = tf.reduce_max(tf.cast(data[0], tf.float32))
            tf.py_function(lambda value: seen.append(float(value)), [largest], [])
            return super().train_step(data)

    x = keras.Input((8, 8, 1), dtype="float32" if normalized else "uint8")
    h = keras.layers.Flatten()(x if normalized else keras.layers.Rescaling(1 / 255)(x))
    model = Own(x, keras.layers.Dense(10)(h))
    words = ["data=digits", "split.limit=200", "augment=none", "report=none", "epochs=1"]
    words += [] if normalized else ["data.normalize=none"]
    run = kx.train(*words, model=model, quiet=True)
    assert max(seen) == (pytest.approx(1.0) if normalized else 255)
    assert 0 <= run.metrics["test/accuracy"] <= 1
    # What is kept takes the prepared images, and begins with the normalization.
    assert run.model().inputs[0].dtype == "uint8"


# --- runs that a config names


def test_a_teacher_is_recorded_by_its_id(project: Path) -> None:
    teacher = kx.train(*SMALL, "tracking.run_name=expert", quiet=True)
    words = [*SMALL, "task=distillation", "task.teacher=latest"]
    student = kx.train(*words, quiet=True)
    assert student.config["task"]["teacher"] == teacher.id
    recorded = OmegaConf.load(kx.load_run(student.id).artifact("config.yaml"))
    assert recorded.task.teacher == teacher.id
    assert kx.load_run(student.id).predict(np.zeros((8, 8, 1), "uint8"))[0]["label"]
    # `latest` is the student now, and the same command continues with the teacher that it had.
    [record, *_] = all_records()
    assert f"task.teacher={teacher.id}" in record.overrides
    longer = kx.train(f"resume={student.name}", "epochs=3", quiet=True)
    assert longer.id == student.id and longer.config["task"]["teacher"] == teacher.id


@pytest.mark.slow
def test_a_killed_run_continues_with_the_teacher_that_it_had(project: Path) -> None:
    teacher = kx.train(*SMALL, "tracking.run_name=expert", quiet=True)
    words = [*SMALL, "task=distillation", "task.teacher=latest"]
    train(compose(words), stop_after=1, evaluate=False, quiet=True)  # `latest` is this run now
    again = kx.train(*words, "resume=auto", quiet=True)
    assert again.config["task"]["teacher"] == teacher.id
    (project / "experiments").mkdir()
    (project / "experiments" / "taught.yaml").write_text(
        "defaults:\n  - override /task: distillation\n  - _self_\ntask:\n  teacher: expert\n"
    )
    words = [*SMALL, "experiment=taught"]
    student = kx.train(*words, quiet=True)
    longer = kx.train(f"resume={student.name}", "epochs=3", quiet=True)
    assert longer.id == student.id and longer.config["task"]["teacher"] == teacher.id


def test_a_teacher_of_another_task_is_refused(project: Path) -> None:
    given = teacher()
    given.outputs = Outputs(1)
    with pytest.raises(ConfigError, match="a score for each class"):
        distillation(CLASSES, IMAGE, teacher=given).learner(small_net())  # type: ignore[misc]


def test_penalties_of_weights_count_in_full(project: Path) -> None:
    losses = []
    for strength in (0.0, 0.5):
        keras.utils.set_random_seed(0)
        x = keras.Input((8, 8, 1), dtype="uint8")
        penalty = keras.regularizers.L2(strength)
        y = keras.layers.Dense(3, kernel_regularizer=penalty)(keras.layers.Flatten()(x / 255.0))
        student = keras.Model(x, y)
        learner: Any = distillation(CLASSES, IMAGE, teacher=teacher(), alpha=0.7).learner(student)  # type: ignore[misc]
        keras.utils.set_random_seed(1)
        learner.compile("sgd", loss=keras.losses.CategoricalCrossentropy(from_logits=True))
        images, targets = next(iter(image_batches()))
        scores = student(images, training=True)
        losses.append((float(learner.compute_loss(images, targets, scores)), sum(student.losses)))
    assert losses[1][0] - losses[0][0] == pytest.approx(float(losses[1][1]), rel=1e-3)


def test_episodes_of_a_report_are_others_than_those_that_chose_the_epoch() -> None:
    pytest.importorskip("gymnasium")
    from kx.contracts.environment import first_episode_seed

    reset = gymnasium(name="CartPole-v1").environment.make().reset  # type: ignore[union-attr]
    first = {
        split: [
            tuple(reset(tf.constant(first_episode_seed(split, 0) + n, tf.int64))[1].numpy())
            for n in range(20)
        ]
        for split in ("validation", "test")
    }
    assert not set(first["validation"]) & set(first["test"])
    assert len(set(first["test"])) == 20


def test_slips_are_others_with_another_seed() -> None:
    world = grid_world(slip=0.5, max_steps=30, rows=["S.......", "........", ".......G"])
    simulation = world.environment.make()  # type: ignore[union-attr]

    def way(seed: int) -> list[int]:
        state, cell = simulation.reset(tf.constant(seed, tf.int64))
        cells = [int(cell)]
        for _ in range(12):
            state, cell, *_ = simulation.step(state, tf.constant(1, tf.int32))
            cells.append(int(cell))
        return cells

    ways = {tuple(way(23 * number)) for number in range(20)}  # all begin in one cell
    assert len({one[0] for one in ways}) == 1 and len(ways) > 10 and way(0) == way(0)


def test_a_run_to_begin_from_is_recorded_by_its_id(project: Path) -> None:
    first = kx.train(*SMALL, quiet=True)
    second = kx.train(*SMALL, "init_from=latest", quiet=True)
    assert second.config["init_from"] == first.id


@pytest.mark.parametrize("word", ["task.teacher=latest", "init_from=best"])
def test_a_name_that_moves_is_refused_in_a_sweep(
    project: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    task = ["task=distillation"] if "teacher" in word else []
    assert main(["-m", *SMALL, *task, word, "seed=0,1"]) == 1
    assert "is another run as soon as the first job begins" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"inputs": Spec((9, 8, 1), "uint8")}, "same prepared inputs"),
        ({"targets": Spec((), "int32", class_names=("a", "c", "b"))}, "same classes"),
    ],
)
def test_a_teacher_of_other_data_is_refused(
    project: Path, given: dict[str, Spec], said: str
) -> None:
    task = distillation(CLASSES, IMAGE, teacher=teacher(**given))
    with pytest.raises(ConfigError, match=said):
        task.learner(small_net())  # type: ignore[misc]


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ({"student_layer": "hidden"}, "names of both layers"),
        ({"student_layer": "hiden", "teacher_layer": "hidden"}, "no layer 'hiden'.*hidden"),
        ({"student_layer": "scaled", "teacher_layer": "hidden"}, "differ in their last axis"),
    ],
)
def test_layers_that_do_not_fit_are_refused(
    project: Path, layers: dict[str, str], said: str
) -> None:
    keras.backend.clear_session()
    with pytest.raises(ConfigError, match=said):
        task = distillation(CLASSES, IMAGE, teacher=teacher(), **layers)
        task.learner(small_net())  # type: ignore[misc]


def test_the_loss_of_a_distiller_is_that_of_its_formula(project: Path) -> None:
    given = teacher()
    task = distillation(CLASSES, IMAGE, teacher=given, temperature=2.0, alpha=0.25)
    student = small_net()
    learner: Any = task.learner(student)  # type: ignore[misc]
    task.compile(learner, keras.optimizers.SGD(0.0))
    images, targets = next(iter(image_batches()))
    scores, taught = student(images, training=False), given.model()(images, training=False)
    found = float(learner.compute_loss(images, targets, scores, training=True))
    soft, of_teacher = (np.asarray(tf.nn.softmax(one / 2)) for one in (scores, taught))
    divergence = float((of_teacher * np.log(of_teacher / soft)).sum(axis=1).mean())
    truth = float(tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, scores)))
    assert found == pytest.approx(0.75 * truth + 0.25 * 4 * divergence, rel=1e-4)


def test_the_penalty_of_a_critic_is_that_of_its_gradient(project: Path) -> None:
    """Of a linear critic the gradient is its weights, wherever it is taken."""
    from kx.tasks.images.adversary import Adversary, Game

    x = keras.Input((8, 8, 1))
    critic = keras.Model(x, keras.layers.Dense(1)(keras.layers.Flatten()(x)))
    task_inputs, outputs = Spec((4,), "float32"), Outputs(1, axes=(8, 8))
    game = Game("wasserstein", 4, 1, None, 10.0)
    learner = Adversary(dcgan(task_inputs, outputs, filters=[4, 4]), critic, game)
    real, made = tf.zeros((3, 8, 8, 1)), tf.ones((3, 8, 8, 1))
    norm = float(np.linalg.norm(critic.trainable_variables[0]))
    assert float(learner._penalty(real, made)) == pytest.approx((norm - 1) ** 2, rel=1e-4)


# --- metrics by config


def test_metrics_of_a_config_are_measured_and_may_be_monitored(project: Path) -> None:
    words = ["task.metrics.f1._target_=keras.metrics.F1Score", "task.metrics.f1.average=macro"]
    run = kx.train(*SMALL, *words, "task.monitor=val_f1", "report=full", quiet=True)
    assert len(run.history["val/f1"]) == 2 and "test/f1" in run.metrics
    assert run.metrics["test/f1"] == pytest.approx(run.metrics["test/f1_macro"], abs=1e-5)
    assert "best/val_f1" in run.metrics
    assert kx.load_run(run.id).task().monitor == "val_f1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["task.metrics.f1=3"], "task.metrics.f1: expected"),
        (["task.metrics.f1._target_=keras.metrics.F2"], "task.metrics.f1"),
        (["task.metrics.f1._target_=collections.Counter"], "expected a keras.metrics.Metric"),
        (["task.metrics.p._target_=keras.metrics.Precision"], "raw scores"),
        (["task.metrics.c._target_=keras.metrics.CategoricalCrossentropy"], "raw scores"),
        (["task.metrics.b._target_=keras.metrics.BinaryAccuracy"], "raw scores"),
        (["data=grid_world", "task=classification", "model=mlp"], "the data is an environment"),
        (["data=grid_world", "task.metrics.f1._target_=keras.metrics.Mean"], "task.metrics"),
        (["data=easy_vqa", "data.num_images=20", "model=fusion", "task.metrics.f1._target_=x.y"],
         "task.metrics.f1"),
    ],
)  # fmt: skip
def test_metrics_that_cannot_be_measured_are_refused(
    project: Path, words: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        kx.train("epochs=1", "report=none", *words, quiet=True)


def test_metrics_of_several_outputs_are_those_of_one(project: Path) -> None:
    from kx.tasks.make import _add_metrics

    def task() -> Any:
        return kx.Task(
            outputs={"a": Outputs(2), "b": Outputs(1)},
            encode=lambda inputs, targets: (inputs, targets),
            loss={name: keras.losses.MeanSquaredError() for name in "ab"},
            metrics=lambda: {"a": [keras.metrics.MeanAbsoluteError(name="mae")]},
            decode=dict, report=lambda answers, options: None, monitor="val_loss",
            monitor_mode="min",
        )  # fmt: skip

    made = task()
    _add_metrics(made, {"b": {"gap": {"_target_": "keras.metrics.MeanSquaredError"}}})
    names = {output: [one.name for one in found] for output, found in made.metrics().items()}
    assert names == {"a": ["mae"], "b": ["gap"]}
    assert "val_b_gap" in made.monitors(with_validation=True)
    with pytest.raises(ConfigError, match="metrics of an output.*Outputs: a, b"):
        _add_metrics(task(), {"c": {}})


# --- what callbacks are told


class Noting(keras.callbacks.Callback):
    """Notes what it is told of its run."""

    noted: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        type(self).noted = self.kx  # type: ignore[attr-defined]


def test_callbacks_have_their_run(project: Path) -> None:
    kx.train(*SMALL, "epochs=1", callbacks=Noting(), quiet=True)
    context = Noting.noted
    assert context.data.name == "digits" and context.task.outputs.units == 10
    assert context.model.name == "mlp" and (context.folder / "run.json").is_file()


def test_a_generator_shows_what_it_makes_as_it_learns(
    at_home: Path, trained: Callable[[str], Any]
) -> None:
    run = trained("adversarial")
    assert run.artifact("samples/epoch-0001.png").stat().st_size > 1000
    assert run.artifact("samples/epoch-0002.png").is_file()
    [answer] = run.predict([np.zeros(4, "float32")])
    assert np.shape(answer["image"]) == (8, 8, 1)
    assert 0 <= np.min(answer["image"]) <= np.max(answer["image"]) <= 1


@pytest.mark.parametrize(("given", "fits"), [("3", True), ("99", False), ("-1", False)])
def test_an_agent_answers_for_a_state_that_there_is(
    at_home: Path, trained: Callable[[str], Any], given: str, fits: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from kx.cli import main as kx_main

    code = kx_main(["predict", trained("agent").id, given])
    out = capsys.readouterr()
    assert (code == 0) is fits
    said = out.out if fits else out.out + out.err
    assert any(word in said for word in (("up", "right", "down", "left") if fits else ("0 to 15",)))


@pytest.mark.usefixtures("graphs")
def test_q_learning_finds_the_shortest_way_from_each_cell(project: Path) -> None:
    words = ["data=grid_world", "epochs=3", "steps_per_execution=100", "report=none"]
    run = kx.train(*words, quiet=True)
    world = grid_world()
    free = [0, 1, 2, 3, 4, 6, 8, 9, 10, 13, 14]  # of S... .T.T ...T T..G
    step = world.environment.make().step  # type: ignore[union-attr]
    names = world.facts["action_names"]

    def after(cell: int, action: int) -> tuple[int, bool]:
        state, found, *_, ended, _ = step(
            tf.constant([cell, 0, 0], tf.float32), tf.constant(action, tf.int32)
        )
        return int(found), bool(ended)

    # The number of steps to the goal, from the goal on: a search in breadth that knows no traps.
    steps_to_goal = {15: 0}
    while len(steps_to_goal) <= len(free):
        for cell in free:
            reached = [after(cell, action)[0] for action in range(4)]
            known = [steps_to_goal[one] for one in reached if one in steps_to_goal]
            if known:
                steps_to_goal[cell] = min([*known, steps_to_goal.get(cell, 99) - 1]) + 1
    answers = run.predict([np.int32(cell) for cell in free])
    for cell, answer in zip(free, answers, strict=True):
        way, ended = cell, False
        for _ in range(steps_to_goal[cell]):
            assert not ended
            action = names.index(run.predict([np.int32(way)])[0]["action"])
            way, ended = after(way, action)
        assert way == 15 and answer["value"] > 0


# --- what would be wrong in silence


class NeverANumber(Doubled):
    """A learner whose own loss is NaN from the third step on."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(model)
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def train_step(self, data: Any) -> Any:
        found = super().train_step(data)
        self.steps.assign_add(1.0)
        return {**found, "own_loss": tf.where(self.steps > 2, float("nan"), 1.0)}


def test_a_loss_of_a_learner_that_is_no_number_ends_the_training(project: Path) -> None:
    from kx.callbacks import TerminateOnNaN

    learner = NeverANumber(small_net())
    learner.compile("sgd", loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    learner.fit(image_batches(), epochs=3, callbacks=[TerminateOnNaN()], verbose=0)
    assert float(learner.steps) == 3  # of 24; the loss itself is finite


def test_a_critic_of_several_steps_keeps_the_pace_of_the_schedule(project: Path) -> None:
    words = ["data=digits", "split.limit=200", "task=adversarial", "task.critic_steps=3",
             "task.critic.filters=[4]", "model.filters=[4,4]", "epochs=2", "schedule=cosine",
             "augment=none"]  # fmt: skip
    learner, builder = compiled(*words)
    learner.fit(builder.batches.train_from(0), steps_per_epoch=4, verbose=0)
    rates = [float(one.learning_rate) for one in learner.optimizers]
    assert rates[0] < 1e-3 and rates[1] == pytest.approx(rates[0], rel=1e-6)
    with pytest.raises(ConfigError, match="task.critic_learning_rate=null"):
        compiled(*words, "task.critic_learning_rate=1e-4")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=grid_world", "task=dqn", "schedule=cosine"], "after some of them only"),
        (["data=digits", "task=adversarial", "optimizer.use_ema=true"], "optimizer.use_ema"),
        (["data=digits", "task=adversarial", "split.fold={number: 1, of: 3}"], "split.fold"),
    ],
)
def test_what_a_learner_cannot_do_is_refused_before_the_run_is_opened(
    project: Path, words: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        kx.train("epochs=1", "report=none", *words, quiet=True)
    assert not all_records()


@pytest.mark.parametrize(
    ("family", "words", "said"),
    [
        ("agent", ["data=digits"], "trained on an environment. Received: examples"),
        ("image", ["data=grid_world"], "trained on examples. Received: an environment"),
        ("agent", ["data.rows=[S..,..G]"], "The agent knows the observations"),
    ],
)
def test_a_world_that_the_model_does_not_know_is_refused(
    at_home: Path, trained: Callable[[str], Any], family: str, words: list[str], said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from kx.cli import main as kx_main

    assert kx_main(["evaluate", trained(family).id, *words]) == 1
    assert said in capsys.readouterr().err


def test_an_agent_is_evaluated_in_a_changed_world(
    at_home: Path, trained: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from kx.cli import main as kx_main

    assert kx_main(["evaluate", trained("agent").id, "data.slip=0.3"]) == 0
    assert "12 episodes with the best actions" in capsys.readouterr().out


def test_a_short_evaluation_of_an_agent_says_so(project: Path) -> None:
    words = ["data=grid_world", "epochs=1", "data.epoch_steps=60", "evaluation_steps=3"]
    run = kx.train(*words, quiet=True)
    report = json.loads(run.artifact("report/test/report.json").read_text())
    assert "the first of 100 of the test split" in report["judged"]
    assert report["judged"].startswith("3 episodes")
