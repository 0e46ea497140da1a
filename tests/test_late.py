"""A process that has not imported MLflow opens its run after the first step; nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import keras
import pytest
from mlflow import MlflowClient

import kx
from kx.callbacks import TIMINGS
from kx.errors import KxError
from kx.tracking.late import LateTracker
from kx.tracking.mlflow.client import open_client
from kx.tracking.records import all_records
from kx.tracking.tracker import Tracker

QUICK = ["data=wine", "model=linear", "report=none", "tracking.system_metrics=false"]


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not imported MLflow."""
    monkeypatch.setattr("kx.tracking.open._mlflow_is_imported", lambda: False)


def damage(project: Path) -> None:
    """Writes a store that looks like SQLite, and that only MLflow finds damaged."""
    (project / "mlflow.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 16)


class Noting(Tracker):
    def __init__(self) -> None:
        super().__init__("id", "name")
        self.noted: list[tuple[str, int]] = []

    def metrics(self, values: Any, step: int = 0, time_ms: int | None = None) -> None:
        self.noted += [(name, step) for name in values]


def test_what_is_logged_before_the_run_is_open_is_logged_in_order() -> None:
    may_open, noting = threading.Event(), Noting()

    def opening() -> Tracker:
        assert may_open.wait(30)
        return noting

    tracker = LateTracker("name", opening)
    tracker.begin(lambda: True)
    for step in (1, 2):
        tracker.metrics({"loss": 1.0}, step)  # does not wait
    assert not noting.noted
    may_open.set()
    assert tracker.run_id == "id"  # waits
    tracker.metrics({"loss": 1.0}, 3)
    assert noting.noted == [("loss", 1), ("loss", 2), ("loss", 3)]


def test_a_run_that_is_opened_late_is_tracked_whole(project: Path, late: None) -> None:
    run = kx.train(*QUICK, "epochs=3", quiet=True)
    stored = MlflowClient(run.uri).get_run(run.id)
    assert stored.info.status == "FINISHED" and stored.data.params["model"] == "linear"
    assert kx.load_run(run.id).history == run.history
    assert {name: stored.data.metrics[name] for name in run.metrics} == run.metrics
    assert run.artifact("model_summary.txt").is_file() and run.predict([",".join(["1"] * 13)])
    assert len(stored.inputs.dataset_inputs) == 3
    assert stored.info.start_time == pytest.approx(all_records()[0].started * 1000, abs=2)


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_a_store_that_fails_late_ends_the_training_soon_and_leaves_nothing(
    project: Path, late: None, handler: Any
) -> None:
    """Also in a script in the background, where a shell has SIGINT ignored."""
    damage(project)
    before = signal.signal(signal.SIGINT, handler)
    epochs: list[int] = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            epochs.append(epoch)

    try:
        with pytest.raises(KxError, match="cannot be used"):
            kx.train(*QUICK, "epochs=5000", callbacks=[Count()], quiet=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(epochs) < 4000 and not list((project / "runs").iterdir())


def test_a_store_that_fails_does_not_hide_an_error_of_the_training(
    project: Path, late: None
) -> None:
    damage(project)

    class Wrong(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            raise ValueError("of the training")

    with pytest.raises(ValueError, match="of the training"):
        kx.train(*QUICK, "epochs=2", callbacks=[Wrong()], quiet=True)


def test_a_run_in_a_thread_is_opened_at_once(project: Path, late: None) -> None:
    """An error of the store would interrupt the main thread, which may be a user's own."""
    damage(project)
    epochs: list[int] = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            epochs.append(epoch)

    raised: list[BaseException] = []

    def train() -> None:
        try:
            kx.train(*QUICK, "epochs=2", callbacks=[Count()], quiet=True)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    [error] = raised
    assert isinstance(error, KxError) and "cannot be used" in str(error)
    assert not epochs


@pytest.mark.parametrize("holds", [False, True], ids=["new", "with a file"])
def test_a_folder_elsewhere_is_found_before_the_run_is_open_and_not_if_it_fails(
    project: Path, late: None, tmp_path: Path, holds: bool
) -> None:
    found: list[Path] = []

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            found.extend(record.folder for record in all_records())

    damage(project)
    elsewhere = tmp_path / "elsewhere"
    if holds:
        elsewhere.mkdir()
        (elsewhere / "notes.txt").touch()
    words = [*QUICK, "epochs=2", f"run_dir={elsewhere}"]
    with pytest.raises(KxError, match="cannot be used"):
        kx.train(*words, callbacks=[Look()], quiet=True)
    assert found == [elsewhere] and not all_records()
    assert not list((project / "runs").glob("*.folder"))
    left = [path.name for path in elsewhere.iterdir()] if elsewhere.exists() else None
    assert left == (["notes.txt"] if holds else None)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:9", "refused"),
        ("sqlite:///{project}/conf", "is a folder"),
        ("sqlite:///{project}/pyproject.toml", "is no SQLite database"),
    ],
)
def test_a_store_that_is_absent_is_refused_before_the_training(
    project: Path, late: None, uri: str, said: str
) -> None:
    (project / "conf").mkdir()
    (project / "pyproject.toml").write_text("[project]")
    with pytest.raises(KxError, match=said):
        kx.train(*QUICK, f"tracking.uri={uri.format(project=project)}", quiet=True)
    assert not list((project / "runs").iterdir())


def test_a_run_that_is_stopped_before_its_first_step_is_killed_in_the_store_too(
    project: Path, late: None
) -> None:
    class Stop(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kx.train(*QUICK, "epochs=3", callbacks=[Stop()], quiet=True)
    [record] = all_records()
    assert record.status == "KILLED" and record.run_id
    stored = MlflowClient(record.uri).get_run(record.run_id)
    assert stored.info.status == "KILLED"


def test_a_new_store_is_a_copy_of_an_empty_one(
    new_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KX_CACHE_DIR", str(tmp_path / "cache"))
    made = []
    import kx.tracking.mlflow.new_store as new_store

    by_mlflow = new_store._make_by_mlflow
    monkeypatch.setattr(new_store, "_make_by_mlflow", lambda *a: (made.append(a), by_mlflow(*a)))
    for number, name in enumerate("abc"):
        if name == "c":  # a damaged copy is made anew
            [prepared] = (tmp_path / "cache" / "stores").iterdir()
            prepared.write_bytes(prepared.read_bytes()[:3000])
        folder = tmp_path / name
        folder.mkdir()
        client = open_client(f"sqlite:///{folder}/mlflow.db")
        [default] = client.search_experiments()
        assert default.artifact_location == f"{(folder / 'mlartifacts').as_uri()}/0"
        assert client.create_run("0").info.artifact_uri.startswith(default.artifact_location)
        assert len(made) == (1, 1, 2)[number]
        assert [path.name for path in folder.iterdir() if "part" in path.name] == []


@pytest.mark.slow
def test_a_run_that_is_killed_before_it_is_open_goes_on(project: Path) -> None:
    """A cold process, killed as soon as its first state is kept."""
    words = [*QUICK, "epochs=40", "callbacks=none"]
    straight = kx.train(*words, quiet=True)
    (project / "runs").rename(project / "straight")
    process = subprocess.Popen([sys.executable, "-m", "kx.run", *words], stdout=subprocess.DEVNULL)
    while not list(project.glob("runs/*/state/*.npz")):
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = kx.train(*words, "resume=auto", quiet=True)
    for name in set(straight.history) - set(TIMINGS):
        assert again.history[name] == straight.history[name]
    stored = kx.load_run(again.id)
    assert stored.history["val/loss"] == straight.history["val/loss"]
