"""Transfer learning: phases within one run, which continues and repeats as any other."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import few
from sklearn.datasets import load_digits

import kx
from kx.config import compose
from kx.errors import ConfigError
from kx.fit.model.rates import scale_rates
from kx.report.figures import training_curves
from kx.training import train
from kx.transfer import layer_decay

NET = '''
import keras

def own(inputs, outputs, *, weights=None, training=False, filters=8):
    """Builds a small convolutional base under scores."""
    x = keras.Input(inputs.shape)
    base = keras.Sequential([
        keras.Input(inputs.shape),
        keras.layers.Conv2D(filters, 3, padding="same", name="low"),
        keras.layers.BatchNormalization(name="low_norm"),
        keras.layers.Activation("relu"),
        keras.layers.Conv2D(2 * filters, 3, strides=2, name="high"),
        keras.layers.BatchNormalization(name="high_norm"),
        keras.layers.Activation("relu"),
    ], name="base")
    if weights:
        base.load_weights(weights)
    h = keras.layers.Flatten()(base(x, training=None if training else False))
    return keras.Model(x, keras.layers.Dense(outputs.units)(keras.layers.Dropout(0.2)(h)))
'''
PHASES = [
    "model=own_net", "data=digits", "split.limit=200", "epochs=6", "augment=none",
    "transfer=fine_tune", "transfer.frozen_epochs=3", "transfer.fine_tune_at=high",
    "transfer.learning_rate=3e-4", "optimizer.learning_rate=0.02", "report=none",
    "tracking.system_metrics=false",
]  # fmt: skip


@pytest.fixture
def net(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a net of its own, whose layer `base` is to be fine-tuned."""
    (project / "own_nets.py").write_text(NET, encoding="utf-8")
    monkeypatch.syspath_prepend(project)
    folder = project / "conf" / "model"
    folder.mkdir(parents=True)
    text = "_target_: own_nets.own\nweights: null\ntraining: false\nfilters: 8\n"
    (folder / "own_net.yaml").write_text(text, encoding="utf-8")
    return project


def base_of(model: keras.Model) -> keras.Model:
    [core] = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return core.get_layer("base")


def values_after(words: list[str], epochs: int) -> dict[str, np.ndarray]:
    """Returns the base's weights after some epochs of a training, by name."""
    run = train(compose([*words, "tracking=none"]), stop_after=epochs, quiet=True)
    return {w.path.split("/", 1)[1]: w.numpy() for w in base_of(run.model()).weights}


def same_curves(run: kx.Run, other: kx.Run) -> None:
    from kx.callbacks import TIMINGS

    names = [name for name in run.history if name not in TIMINGS]
    assert {n: run.history[n] for n in names} == {n: other.history[n] for n in names}


@pytest.mark.parametrize("batch_norm", few(["training", "inference"], 1))
def test_each_phase_trains_what_it_says(net: Path, batch_norm: str) -> None:
    words = [*PHASES, "callbacks=none", f"model.training={str(batch_norm == 'training').lower()}"]
    frozen, end = values_after(words, 3), values_after(words, 6)
    start = values_after([*words, "optimizer.learning_rate=1e-30"], 1)
    changed = {name for name in start if not np.array_equal(start[name], frozen[name])}
    assert not changed, "the base learnt in the frozen phase"
    changed = {name for name in start if not np.array_equal(frozen[name], end[name])}
    assert changed == {"high/kernel", "high/bias"}  # neither what is below, nor any normalization


def test_one_run_has_one_curve_with_its_phases_marked(
    net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = kx.train(*PHASES, "callbacks=none", "schedule=cosine")
    assert run.history["phase"] == [1, 1, 1, 2, 2, 2]
    rates = run.history["learning_rate"]
    assert 0.005 < rates[0] < 0.02 > rates[1] > rates[2], "the schedule spans its phase"
    assert 3e-4 > rates[3] > rates[4] > rates[5] >= 0
    said = capsys.readouterr().out
    assert "frozen: 1,450 of 2,794 parameters learn, at 0.02" in said
    assert "fine_tune: 2,618 of 2,794 parameters learn, at 0.0003" in said
    assert "epoch 1/6" in said and "epoch 6/6" in said
    figure = training_curves(run.history)
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == [" phase 2"]


@pytest.mark.slow
@pytest.mark.parametrize("best_weights", [True, False])
def test_a_run_left_in_any_phase_goes_on_to_the_same_numbers(net: Path, best_weights: bool) -> None:
    # The patience ends the frozen phase early. Its best epoch counts on in the next one, if it
    # is the one to go back to.
    words = [
        *PHASES, "split.limit=600", "augment=[translate]", "epochs=7", "transfer.frozen_epochs=5",
        "optimizer.use_ema=true",
        "callbacks.early_stopping.min_delta=1.0", "callbacks.early_stopping.patience=2",
    ]  # fmt: skip
    if not best_weights:
        words.append("callbacks.early_stopping.restore_best_weights=false")
    whole = kx.train(*words, quiet=True)
    phases = whole.history["phase"]
    assert phases == [1, 1, 1, 2, 2] + ([] if best_weights else [2])
    for epoch in (phases.count(1), phases.count(1) + 1):
        left = train(compose([*words, f"tracking.run_name=left_{epoch}"]), quiet=True,
                     stop_after=epoch, evaluate=False)  # fmt: skip
        assert left.history["phase"] == phases[:epoch]
        went_on = kx.train(*words, f"resume=left_{epoch}", quiet=True)
        same_curves(whole, went_on)
        for a, b in zip(whole.model().weights, went_on.model().weights, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_finished_run_is_fine_tuned_on(net: Path) -> None:
    run = kx.train(*PHASES, "callbacks=none", "tracking.run_name=longer", quiet=True)
    longer = kx.train("resume=longer", "epochs=8", quiet=True)
    assert longer.history["phase"] == [1, 1, 1, 2, 2, 2, 2, 2]
    assert longer.history["train/loss"][:6] == run.history["train/loss"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["transfer.fine_tune_at=hihg"], "no layer 'hihg'. Did you mean 'high'"),
        (["transfer.fine_tune_at=6"], "has 6 layers, numbers 0 to 5, or -6 to -1"),
        (["transfer.base=bass"], "Did you mean 'base'"),
        (["model=cnn"], "It has none: take model=resnet"),
        (["transfer.frozen_epochs=-1"], "expected 0 or more. Received: -1"),
        (["transfer.learning_rate=0"], "expected a number greater than 0"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_training(
    net: Path, words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        kx.train(*PHASES, *words, "tracking=none", quiet=True)
    assert message in str(caught.value)


def test_a_training_too_short_to_fine_tune_says_so(
    net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = kx.train(*PHASES, "epochs=2", "tracking=none", "schedule=cosine")
    assert run.history["phase"] == [1, 1]
    assert run.history["learning_rate"][-1] < 0.002, "the schedule ends with the training"
    assert "epochs=2 ends before fine_tune begins, after epoch 3" in capsys.readouterr().out


@pytest.mark.slow
def test_what_a_net_has_learnt_of_other_classes_helps_where_examples_are_few(net: Path) -> None:
    """A base that knows five digits reads the other five from two examples of each."""
    images, digits = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("uint8") * 15
    np.savez("known.npz", x_train=images[digits < 5], y_train=digits[digits < 5])
    generator = np.random.default_rng(0)
    chosen = [generator.choice(np.flatnonzero(digits == n), 2, False) for n in range(5, 10)]
    few, rest = np.concatenate(chosen), np.setdiff1d(np.flatnonzero(digits >= 5), chosen)
    np.savez("few.npz", x_train=images[few], y_train=digits[few] - 5,
             x_test=images[rest], y_test=digits[rest] - 5)  # fmt: skip
    words = ["model=own_net", "model.filters=16", "data=arrays", "data.normalize=unit",
             "tracking=none", "report=none", "callbacks=none"]  # fmt: skip
    own = ["data.path=known.npz", "epochs=20", "augment=none", "model.training=true"]
    base_of(kx.train(*words, *own, quiet=True).model()).save_weights("known.weights.h5")
    words += ["data.path=few.npz", "split.validation_fraction=0", "task.monitor=accuracy",
              "batch_size=5", "epochs=30", "optimizer.learning_rate=0.01"]  # fmt: skip
    plan = ["model.weights=known.weights.h5", "transfer=fine_tune", "transfer.frozen_epochs=20",
            "transfer.learning_rate=1e-3"]  # fmt: skip
    transferred, scratch = (
        kx.train(*words, *more, quiet=True).metrics["test/accuracy"]
        for more in (plan, ["model.training=true"])
    )
    assert transferred > scratch + 0.1, (transferred, scratch)


# --- a rate for each layer


def blocks() -> keras.Model:
    base = keras.Sequential(
        [keras.Input((3,)), *(keras.layers.Dense(3, name=f"some_layer_{n}") for n in range(2))],
        name="base",
    )
    x = keras.Input((3,))
    return keras.Model(x, keras.layers.Dense(2, name="head")(base(x)))


@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, keras.optimizers.Adam])
@pytest.mark.parametrize("eagerly", [True, False])
def test_layers_learn_at_their_own_rates(optimizer: type, eagerly: bool) -> None:
    """Each weight moves by its factor of what it moves at one rate, in the first step."""
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y = np.random.default_rng(1).normal(size=(8, 2)).astype("float32")

    def moves(*, scaled: bool) -> dict[str, np.ndarray]:
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        model = blocks()
        made = optimizer(0.1)
        if scaled:
            [phase] = layer_decay(3, decay=0.5)
            assert phase.rates is not None
            scale_rates(made, phase.rates(model))
        model.compile(made, "mse", run_eagerly=eagerly)
        before = {w.path: np.array(w) for w in model.weights}
        model.fit(x, y, batch_size=8, verbose=0)
        return {w.path: np.array(w) - before[w.path] for w in model.weights}

    plain, scaled = moves(scaled=False), moves(scaled=True)
    for path, moved in plain.items():
        factor = 0.25 if "some_layer_0" in path else 0.5 if "some_layer_1" in path else 1.0
        np.testing.assert_allclose(scaled[path], moved * factor, rtol=1e-3, atol=1e-6)


BLOCKS = """
import keras
def blocks(inputs, outputs):
    base = keras.Sequential([keras.Input(inputs.shape), keras.layers.Flatten(name="flat"), *(
        layer for n in range(2)
        for layer in (keras.layers.Dense(8, name=f"block{n}_dense"),
                      keras.layers.BatchNormalization(name=f"block{n}_bn")))], name="base")
    x = keras.Input(inputs.shape)
    return keras.Model(x, keras.layers.Dense(outputs.units)(base(x)))
"""


def test_a_run_with_rates_of_layers_resumes_to_the_same_numbers(project: Path) -> None:
    (project / "conf" / "model").mkdir(parents=True)
    (project / "conf" / "model" / "blocks.yaml").write_text("_target_: myblocks.blocks\n")
    (project / "myblocks.py").write_text(BLOCKS)
    words = ["model=blocks", "split.limit=200", "epochs=2", "report=none", "run_eagerly=true",
             "transfer=layer_decay", "transfer.decay=0.5"]  # fmt: skip
    straight = kx.train(*words, quiet=True)
    stopped = [*words, "tracking.run_name=stopped"]
    train(compose(stopped), stop_after=1, evaluate=False, quiet=True)
    again = kx.train(*stopped, "resume=auto", quiet=True)
    same_curves(straight, again)
    plain = kx.train(*words[:5], "tracking=none", quiet=True)
    assert plain.history["train/loss"] != straight.history["train/loss"]
    model = straight.model()
    [phase] = layer_decay(2, decay=0.5)
    assert phase.rates is not None and phase.prepare is not None
    phase.prepare(model)
    rates = phase.rates(model)
    assert {r for path, r in rates.items() if "block0_dense" in path} == {0.25}
    assert not any("bn" in path for path in rates)  # as fine_tune keeps them
    with pytest.raises(ConfigError, match="tell no blocks"):
        kx.train("model=resnet", "model.depth=8", *words[1:], "tracking=none", quiet=True)
    with pytest.raises(ConfigError, match="has no such model within it"):
        kx.train("model=mlp", "transfer=layer_decay", "tracking=none", "epochs=1", quiet=True)
