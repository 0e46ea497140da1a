"""`backend=jax`: the same models and tasks, pipeline and tracking; several devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import family_overrides

import kx
from kx.config import compose
from kx.errors import ConfigError
from kx.fit.model.builder import compile_options
from kx.run import main

pytestmark = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("jax") is None, reason="needs the extra kx[jax]"
)
QUICK = ["report=none", "tracking.system_metrics=false", "backend=jax"]


def in_jax(script: str, *arguments: Any) -> Any:
    """Runs a script in a process whose Keras is on JAX, and returns what it prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(arguments, default=str)],
        capture_output=True, text=True, check=False,
        # As strategy.logical_devices does: a pool of as many threads as devices may lock itself.
        env={**os.environ, "KERAS_BACKEND": "jax", "NPROC": "16"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


FAMILIES_SCRIPT = """
import json, os, sys
import keras, kx
assert keras.backend.backend() == "jax"
[families] = json.loads(sys.argv[1])
found = {}
for name, words in families.items():
    run = kx.train(*words, "tracking.system_metrics=false", "backend=jax", quiet=True)
    loss = run.history["train/loss"]
    found[name] = [run.id, loss[0], loss[-1], sorted(run.metrics)]
assert "--xla_gpu_deterministic_ops=true" in os.environ["XLA_FLAGS"]  # as deterministic=true asks
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    "names",
    [
        ("row",),
        pytest.param(
            ("image", "number", "text", "binary", "multilabel", "residual"), marks=pytest.mark.slow
        ),
        pytest.param(("translation", "language"), marks=pytest.mark.slow),
    ],
)
def test_families_of_models_and_tasks_train_on_jax(
    project: Path, texts: Path, names: tuple[str, ...]
) -> None:
    """With reports; what was trained answers alike on TensorFlow, and exports."""
    families = {name: family_overrides(name, texts) for name in names if name != "residual"}
    if "residual" in names:
        small = [word for word in families["image"] if not word.startswith("model")]
        families["residual"] = [*small, "model=resnet", "model.depth=8", "epochs=1"]
    found = in_jax(FAMILIES_SCRIPT, families)
    for name, (_, first, last, metrics) in found.items():
        assert last < first or name == "residual", name
        assert any(metric.startswith("test/") for metric in metrics)
    if "row" not in names:
        return
    here = kx.load_run(found["row"][0])
    assert here.config["backend"] == "jax"
    answer = here.predict([",".join(["13"] * 13)])[0]
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    here.export(project / "exported")  # compared with what JAX answered


RESUME_SCRIPT = """
import json, sys
import kx
[words] = json.loads(sys.argv[1])
from kx.config import compose
from kx.training import train
whole = kx.train(*words, quiet=True)

job = compose([*words, "seed=0", "run_dir=half"])
try:
    def interrupt(kind, values):
        if kind == "epoch" and values["epoch"] == 2:
            raise KeyboardInterrupt
    train(job, quiet=True, watch=interrupt)
except KeyboardInterrupt:
    pass
again = train(compose([*words, "seed=0", "run_dir=half", "resume=auto"]), quiet=True)
equal = all((a == b).all() for a, b in
            zip(whole.model().get_weights(), again.model().get_weights(), strict=True))
names = [n for n in whole.history if n.startswith(("train/", "val/", "learning"))]
print(json.dumps([bool(equal), [whole.history[n] == again.history[n] for n in names],
                  len(again.history["train/loss"])]))
"""


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit_on_jax(project: Path) -> None:
    words = [
        "data=digits", "split.limit=300", "model=cnn", "model.filters=[4,8]", "epochs=5",
        "model.dropout=0.3", "optimizer.use_ema=true", "schedule=cosine",
        "callbacks.reduce_lr_on_plateau=null", *QUICK,
    ]  # fmt: skip
    equal, histories, epochs = in_jax(RESUME_SCRIPT, words)
    assert equal and all(histories) and epochs == 5


DEVICES_SCRIPT = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", 4)
import kx
import numpy as np
[words, strategies] = json.loads(sys.argv[1])
one = kx.train(*words, quiet=True)
found = {}
for name, more in strategies.items():
    half = kx.train(*words, *more, "epochs=2", f"run_dir={name}", quiet=True)
    run = kx.train(f"resume={half.id}", "epochs=4", quiet=True)
    largest = max(float(abs(a - b).max()) for a, b in
                  zip(one.model().get_weights(), run.model().get_weights(), strict=True))
    parted = sum(len({tuple(map(str, s.index)) for s in w.value.addressable_shards}) > 1
                 for w in half.model().weights)
    found[name] = {"weights": largest, "parted": parted, "epochs": len(run.history["train/loss"]),
                   "rates": run.history["learning_rate"] == one.history["learning_rate"],
                   "losses": float(max(abs(np.array(run.history[n]) - one.history[n]).max()
                                       for n in ("val/loss", "train/loss", "val/accuracy"))),
                   "test": abs(run.metrics["test/accuracy"] - one.metrics["test/accuracy"])}
print(json.dumps(found))
"""


@pytest.mark.slow
def test_four_devices_train_to_the_weights_of_one(project: Path) -> None:
    """Stopped half-way, with callbacks; validation and test end in an odd batch each."""
    words = [
        "data=digits", "split.limit=505", "model=cnn", "model.filters=[4,8]", "optimizer=momentum",
        "epochs=4", "optimizer.learning_rate=0.05", "model.dropout=0.0", *QUICK,
        "callbacks.reduce_lr_on_plateau.patience=1", "+callbacks.reduce_lr_on_plateau.min_delta=9",
    ]  # fmt: skip
    layout = "strategy.layout={dense.*/kernel: [null, model]}"
    strategies = {
        "grid": ["strategy=model_parallel"],
        "data": ["strategy=model_parallel", "strategy.model_devices=1"],
        "own": ["strategy=model_parallel", layout],
    }
    found = in_jax(DEVICES_SCRIPT, words, strategies)
    for name, values in found.items():
        assert values["weights"] < 1e-5 and values["losses"] < 1e-4, (name, values)
        assert values["rates"] and values["epochs"] == 4 and values["test"] < 0.01, (name, values)
    assert found["data"]["parted"] == 0 < found["own"]["parted"] < found["grid"]["parted"]


LAYOUT_SCRIPT = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", 4)
import kx
from kx.errors import KxError
said = []
[words, variants] = json.loads(sys.argv[1])
for more in variants:
    try:
        kx.train(*words, *more, quiet=True)
        said.append("nothing")
    except KxError as error:
        said.append(str(error))
print(json.dumps(said))
"""


@pytest.mark.slow
def test_what_does_not_fit_several_devices_is_refused(project: Path) -> None:
    words = ["data=wine", "model=mlp", "epochs=1", *QUICK, "strategy=model_parallel"]
    variants = {
        "strategy.layout={wrong/kernel: [null, model]}": "no weight's whole path matches",
        "strategy.layout={.*dense/kernel: [model]}": "does not fit dense/kernel of shape",
        "strategy.layout={.*dense/kernel: [null, modle]}": "expected model, batch or null",
        "strategy.model_devices=3": "Received: 4 devices",
        "batch_size=31": "multiple of 2",
        "strategy=mirrored": "On JAX: strategy=model_parallel",
    }
    said = in_jax(LAYOUT_SCRIPT, words, [[variant] for variant in variants])
    for text, expected in zip(said, variants.values(), strict=True):
        assert expected in text
    assert not list(project.glob("runs/*"))


@pytest.mark.slow
def test_a_sweep_over_backends(project: Path) -> None:
    words = ["data=wine", "model=linear", "epochs=2", "report=none", "tracking=none"]
    assert main(["-m", *words, "backend=tensorflow,jax"]) == 0


def test_jax_compiles_the_step_whatever_tensorflow_does() -> None:
    assert compile_options(compose(["backend=jax"]).config)["jit_compile"] is True
    eager = compose(["backend=jax", "run_eagerly=true"])
    assert compile_options(eager.config)["jit_compile"] is False
    assert compile_options(compose([]).config)["jit_compile"] is False
    compose(["backend=jax", "jit_compile=true", "deterministic=true"])  # refused on TensorFlow


def test_a_backend_that_cannot_be_is_refused_with_the_reason(project: Path) -> None:
    with pytest.raises(ConfigError, match="this process has Keras on tensorflow"):
        kx.train("data=wine", "backend=jax")
    with pytest.raises(ConfigError, match="one of tensorflow, jax"):
        compose(["backend=torch"])
    with pytest.raises(ConfigError, match="Add backend=jax"):
        kx.train("data=wine", "strategy=model_parallel", quiet=True)
