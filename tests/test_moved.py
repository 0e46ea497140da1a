"""Runs of earlier versions: their configs are translated when they are read."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import REPOSITORY

import kx
from kx.cli import main
from kx.config.moved import new_target, translated, translated_overrides
from kx.errors import ConfigError

OLD = "265072b"  # the last commit with keys of the split in data
ONE_FIELD = "6f289bf"  # the last commit with one tensor in, and one out
TEXT = {
    "model": {"_target_": "kx.models.recurrent.lstm", "units": 4},
    "data": {
        "_target_": "kx.data.text.text_csv", "path": "a.csv", "split": "character", "group": "who",
        "validation_fraction": 0.2, "test_fraction": 0.1, "limit": 100, "split_seed": 3,
        "fold": None, "drop_remainder": True, "max_tokens": 50, "sequence_length": 8,
        "standardize": None,
    },
    "task": {"_target_": "kx.tasks.classification.classification", "monitor": "val_accuracy"},
    "augment": {"erase": {"_target_": "kx.data.augment.holes.erase"}},
    "callbacks": {"own": {"_target_": "mine.Callback"}, "gone": None},
    "epochs": 3,
}  # fmt: skip


def test_a_recorded_config_is_read_as_this_version_has_it() -> None:
    now = translated(TEXT)
    assert now["model"]["_target_"] == "kx.models.text.recurrent.lstm"
    assert now["task"]["_target_"] == "kx.tasks.prediction.classification.classification"
    assert now["augment"]["erase"]["_target_"] == "kx.data.augment.erasing.erase"
    assert now["callbacks"] == TEXT["callbacks"], "what is the user's own stays"
    assert now["data"] == {
        "_target_": "kx.data.sources.text.text_csv.text_csv", "path": "a.csv",
        "drop_remainder": True,
    }  # fmt: skip
    assert now["split"] == {
        "_target_": "kx.data.split.rules.group", "column": "who", "validation_fraction": 0.2,
        "test_fraction": 0.1, "limit": 100, "seed": 3, "fold": None,
    }  # fmt: skip
    assert now["tokenizer"] == {
        "_target_": "kx.data.tokenizers.words.characters", "max_tokens": 50, "sequence_length": 8,
        "standardize": None,
    }  # fmt: skip
    assert translated(now) == now, "what is of this version stays"


def test_recorded_overrides_say_the_same_now() -> None:
    words = ["data=text_csv", "data.path=a.csv", "data.split=character", "data.group=who",
             "data.limit=100", "data.max_tokens=50", "model._target_=kx.models.recurrent.lstm",
             "+data.new=1"]  # fmt: skip
    now = translated_overrides(words, TEXT)
    assert now[:5] == [
        "tokenizer=characters", "tokenizer.standardize=null", "tokenizer.max_tokens=50",
        "tokenizer.sequence_length=8", "split=group",
    ]  # fmt: skip
    assert now[5:7] == ["split.column=who", "split.validation_fraction=0.2"]
    assert now[11:] == [
        "data=text_csv", "data.path=a.csv",
        "model._target_=kx.models.text.recurrent.lstm", "+data.new=1",
    ]  # fmt: skip
    assert translated_overrides(now, translated(TEXT)) == now


def test_fractions_of_all_images_become_fractions_of_the_rest() -> None:
    data = {
        "_target_": "kx.data.folder.images.image_folder", "split": "hash", "test_fraction": 0.2,
        "validation_fraction": 0.2, "split_seed": 0,
    }  # fmt: skip
    split = translated({"data": data})["split"]
    assert split["_target_"].endswith("by_hash") and split["test_fraction"] == 0.2
    assert split["validation_fraction"] == pytest.approx(0.25)


def test_every_function_that_moved_is_where_it_is_said(project: Path) -> None:
    from hydra.utils import get_object

    from kx.config import moved

    for module in moved._MODULES.values():
        get_object(module)
    assert new_target("kx.models.dense.mlp") == "kx.models.tables.dense.mlp"
    with pytest.raises(ConfigError, match="It is kx.models.tables.dense.mlp now"):
        kx.train("model._target_=kx.models.dense.mlp", quiet=True)


def runner(folder: Path, commit: str) -> Callable[..., None]:
    """Returns a function that runs the code of an earlier commit, where the history has it."""
    found = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, capture_output=True)
    if found.returncode:
        pytest.skip(f"needs the commit {commit} in the git history")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(folder, filter="data")

    def run(*words: str, fails: bool = False) -> None:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        command = [sys.executable, "-m", "kx.run", *words, "tracking.system_metrics=false"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, done.stderr

    return run


@pytest.mark.slow
def test_everything_can_be_done_with_runs_of_an_earlier_version(
    project: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    old = runner(tmp_path_factory.mktemp("old"), OLD)
    authors = [f"{'good' if i % 2 else 'bad'} {i % 7},{i % 2},author {i % 20}" for i in range(120)]
    Path("texts.csv").write_text("\n".join(["text,label,author", *authors]))
    old("data=text_csv", "data.path=texts.csv", "data.group=author", "model.units=4",
        "data.sequence_length=4", "data.limit=100", "epochs=2",
        "tracking.run_name=text")  # fmt: skip
    old("model=linear", "data.test_fraction=0.3", "augment=erase", "epochs=2",
        "tracking.run_name=image")  # fmt: skip
    Path("stops.py").write_text(STOPS)
    words = ["model=mlp", "data=wine", "epochs=5", STOPPED_BY, "tracking.run_name=stopped"]
    old(*words, fails=True)
    Path("stops.py").write_text(STOPS.replace("epoch < 2", "True"))
    assert main(["runs"]) == 0
    assert {"text", "image", "stopped"} <= set(capsys.readouterr().out.split())
    for name, raw in (("text", "good 1"), ("image", None)):
        before = kx.load_run(name).metrics["test/accuracy"]
        assert main(["evaluate", name]) == 0
        assert f"{before:.4f}" in capsys.readouterr().out
        assert main(["export", name, "--out", f"exports/{name}"]) == 0
        assert main(["reproduce", name]) == 0
        assert "equal bit for bit" in capsys.readouterr().out
        if raw is not None:
            assert kx.load_run(name).predict([raw])[0]["label"] in ("0", "1")
    run = kx.train("resume=stopped", quiet=True)
    assert len(run.history["train/loss"]) == 5


STOPPED_BY = "+callbacks.stop={_target_: stops.Stop}"
STOPS = """import keras

class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        assert epoch < 2, "stop"
"""
OWN_FILES = {
    "own.py": """import keras
import numpy as np

import kx

def rings(num_examples: int = 200):
    x = np.random.default_rng(0).normal(size=(num_examples, 2)).astype("float32")
    spec = kx.Spec((), "int32", class_names=("inner", "outer"))
    y = (np.linalg.norm(x, axis=1) > 1.2).astype("int32")
    return kx.Examples(x, y, kx.Spec((2,), "float32"), spec, name="rings")

def net(inputs, outputs, *, units: int = 8):
    x = keras.Input(inputs.shape)
    h = keras.layers.Dense(units, activation="relu")(x)
    return keras.Model(x, keras.layers.Dense(outputs.units)(keras.layers.Dropout(0.1)(h)))

def centred(targets, *, monitor="val_accuracy", monitor_mode="max"):
    from kx.tasks.prediction.classification import classification

    return classification(targets, monitor=monitor, monitor_mode=monitor_mode)
""",
    "conf/data/rings.yaml": "_target_: own.rings\nnum_examples: 200\n",
    "conf/model/net.yaml": "_target_: own.net\nunits: 8\n",
    "conf/task/centred.yaml": "_target_: own.centred\nmonitor: val_accuracy\nmonitor_mode: max\n",
    "experiments/mine.yaml": """defaults:
  - override /data: rings
  - override /model: net
  - override /task: centred
  - _self_
model: {units: 6}
split: {test_fraction: 0.25}
epochs: 3
""",
    "stops.py": STOPS,
}


@pytest.mark.slow
def test_files_and_runs_of_the_version_before_fields_work_unchanged(
    project: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in OWN_FILES.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    old = runner(tmp_path_factory.mktemp("before"), ONE_FIELD)
    old("experiment=mine", "tracking.run_name=own")
    old("model=mlp", "data=diabetes", "epochs=2", "tracking.run_name=numbers")
    old("experiment=digits_cnn", "augment=[flip,mixup]", "epochs=2", "split.limit=300",
        "tracking.run_name=image")  # fmt: skip
    old("experiment=mine", "epochs=5", STOPPED_BY, "tracking.run_name=stopped", fails=True)
    Path("stops.py").write_text(STOPS.replace("epoch < 2", "True"))
    for name in ("own", "numbers", "image"):
        run = kx.load_run(name)
        score = next(k for k in ("test/accuracy", "test/mae") if k in run.metrics)
        assert main(["evaluate", name]) == 0
        assert f"{run.metrics[score]:.4f}" in capsys.readouterr().out
        assert main(["export", name, "--out", f"exports/{name}"]) == 0
        assert main(["reproduce", name]) == 0
        assert "equal bit for bit" in capsys.readouterr().out
    assert kx.load_run("own").predict([[0.0, 0.1]])[0]["label"] in ("inner", "outer")
    again = kx.train("experiment=mine", quiet=True)
    assert again.history["val/loss"] == kx.load_run("own").history["val/loss"]
    whole = kx.train("experiment=mine", "epochs=5", quiet=True)
    assert kx.train("resume=stopped", quiet=True).history["val/loss"] == whole.history["val/loss"]


def test_a_recorded_config_of_a_users_own_data_has_a_split_now() -> None:
    old = {"data": {"_target_": "mine.points", "limit": 5}, "epochs": 3}
    now = translated(old)
    assert now["data"] == old["data"]
    assert now["split"]["_target_"] == "kx.data.split.rules.stratified"
    assert translated_overrides(["data=mine", "data.limit=5"], old) == ["data=mine", "data.limit=5"]
