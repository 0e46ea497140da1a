"""Runs of earlier versions: their configs are translated when they are read."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from conftest import REPOSITORY

import kx
from kx.cli import main
from kx.config.moved import new_target, translated, translated_overrides
from kx.errors import ConfigError

OLD = "265072b"  # the last commit with keys of the split in data
TEXT = {
    "model": {"_target_": "kx.models.recurrent.lstm", "units": 4},
    "data": {
        "_target_": "kx.data.text.text_csv", "path": "a.csv", "split": "character", "group": "who",
        "validation_fraction": 0.2, "test_fraction": 0.1, "limit": 100, "split_seed": 3,
        "fold": None, "drop_remainder": True,
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
        "tokenizer": "character", "drop_remainder": True,
    }  # fmt: skip
    assert now["split"] == {
        "_target_": "kx.data.split.rules.group", "column": "who", "validation_fraction": 0.2,
        "test_fraction": 0.1, "limit": 100, "seed": 3, "fold": None,
    }  # fmt: skip
    assert translated(now) == now, "what is of this version stays"


def test_recorded_overrides_say_the_same_now() -> None:
    words = ["data=text_csv", "data.path=a.csv", "data.split=character", "data.group=who",
             "data.limit=100", "model._target_=kx.models.recurrent.lstm",
             "+data.new=1"]  # fmt: skip
    now = translated_overrides(words, TEXT)
    assert now[:3] == ["split=group", "split.column=who", "split.validation_fraction=0.2"]
    assert now[7:] == [
        "data=text_csv", "data.path=a.csv", "data.tokenizer=character",
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


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an earlier commit, where the history has it."""
    found = subprocess.run(["git", "archive", OLD], cwd=REPOSITORY, capture_output=True)
    if found.returncode:
        pytest.skip(f"needs the commit {OLD} in the git history")
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.slow
def test_everything_can_be_done_with_runs_of_an_earlier_version(
    project: Path, old_code: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def old(*words: str, fails: bool = False) -> None:
        environment = {**os.environ, "PYTHONPATH": str(old_code)}
        command = [sys.executable, "-m", "kx.run", *words, "tracking.system_metrics=false"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, done.stderr

    authors = [f"{'good' if i % 2 else 'bad'} {i % 7},{i % 2},author {i % 20}" for i in range(120)]
    Path("texts.csv").write_text("\n".join(["text,label,author", *authors]))
    old("data=text_csv", "data.path=texts.csv", "data.group=author", "model.units=4",
        "data.sequence_length=4", "data.limit=100", "epochs=2",
        "tracking.run_name=text")  # fmt: skip
    old("model=linear", "data.test_fraction=0.3", "augment=erase", "epochs=2",
        "tracking.run_name=image")  # fmt: skip
    stops = "callbacks.stop={_target_: stops.Stop}"
    Path("stops.py").write_text(
        "import keras\n\nclass Stop(keras.callbacks.Callback):\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        assert epoch < 2, 'stop'\n"
    )
    old("model=mlp", "data=wine", "epochs=5", f"+{stops}", "tracking.run_name=stopped", fails=True)
    Path("stops.py").write_text("import keras\n\nclass Stop(keras.callbacks.Callback):\n    pass\n")
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


def test_a_recorded_config_of_a_users_own_data_has_a_split_now() -> None:
    old = {"data": {"_target_": "mine.points", "limit": 5}, "epochs": 3}
    now = translated(old)
    assert now["data"] == old["data"]
    assert now["split"]["_target_"] == "kx.data.split.rules.stratified"
    assert translated_overrides(["data=mine", "data.limit=5"], old) == ["data=mine", "data.limit=5"]
