"""Resume: killed anywhere, a run continues and ends in the numbers of the uninterrupted one."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import family_overrides, few
from mlflow import MlflowClient
from processes import Forked

import kx
from kx.callbacks import TIMINGS, Checkpoint
from kx.config import compose
from kx.errors import ConfigError, KxError
from kx.tracking import state
from kx.tracking.records import Record, all_records, is_locked, lock
from kx.training import train

QUICK = ["report=none", "tracking.system_metrics=false"]
LARGEST_LOSS = ["callbacks.early_stopping.monitor=val_loss", "callbacks.early_stopping.mode=max"]

# Everything that has a state: averages, accumulated gradients, patience, dropout, augmentation.
KINDS = {
    "table": [
        "model=mlp", "data=wine", "epochs=16", "batch_size=16", "model.dropout=0.3",
        "optimizer.gradient_accumulation_steps=3", "schedule=cosine", "callbacks=none",
        "data.cache=disk",
    ],
    "image": [
        "model=cnn", "data=digits", "split.limit=400", "model.filters=[4,8]", "epochs=8",
        "augment=[flip,translate]", "optimizer.use_ema=true", "batch_size=32",
        "callbacks.early_stopping.patience=3", "callbacks.reduce_lr_on_plateau.patience=1",
    ],
    "text": ["epochs=8"],
}  # fmt: skip


def words_of(kind: str, texts: Path) -> list[str]:
    return [*(family_overrides("text", texts) if kind == "text" else []), *KINDS[kind], *QUICK]


def compared(history: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: values for name, values in history.items() if name not in TIMINGS}


def weights_of(run: kx.Run) -> list[np.ndarray]:
    return run.model().get_weights()


def command(*words: str, **env: str) -> Forked:
    return Forked(*words, environment={**os.environ, **env})


def epochs_printed(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"^epoch +(\d+)/", text, re.MULTILINE)]


def run_with_kills(words: Sequence[str], num_kills: int, seed: int) -> tuple[str, int]:
    """Runs a command, killed at random moments of its training, until it finishes.

    Returns what all attempts printed, and how often it was killed.
    """
    generator = random.Random(seed)
    printed, kills = "", 0
    while True:
        process = command(*words, "resume=auto")
        assert process.stdout
        if kills < num_kills:
            lines = []
            for line in process.stdout:  # to the first epoch's end of this attempt
                lines.append(line)
                if line.startswith("epoch"):
                    break
            time.sleep(generator.uniform(0, 0.6))
            process.kill()
            lines += process.stdout.readlines()
            kills += process.wait() == -signal.SIGKILL
            printed += "".join(lines)
        else:
            printed += process.stdout.read()
        if process.wait() == 0:
            return printed, kills
        assert process.returncode == -signal.SIGKILL, printed


@pytest.mark.usefixtures("graphs")
@pytest.mark.parametrize("kind", few(KINDS, 1))
def test_a_killed_run_ends_in_the_numbers_of_the_uninterrupted_one(
    project: Path, texts: Path, kind: str
) -> None:
    kills = check_kills(project, words_of(kind, texts), num_kills=2, seed=len(kind))
    assert kills >= 1


def check_kills(
    project: Path, words: Sequence[str], num_kills: int, seed: int, num_others: int = 0
) -> int:
    """Holds a killed run against one that was not; returns how often it was killed."""
    straight = kx.train(*words, quiet=True)
    (project / "runs").rename(project / "straight")  # else resume=auto finds it finished
    printed, kills = run_with_kills(words, num_kills, seed)
    again = kx.load_run("latest")
    assert again.id != straight.id
    assert compared(again.history) == compared(straight.history)
    for one, other in zip(weights_of(straight), weights_of(again), strict=True):
        np.testing.assert_array_equal(one, other)
    # Each epoch was trained to its end once: it went on, and did not begin anew.
    done = epochs_printed(printed)
    num_epochs = len(straight.history["epoch_seconds"])
    assert len(done) == len(set(done)) and len(done) >= num_epochs - kills
    for name, value in straight.metrics.items():
        if name.startswith(("test/", "best/")) and not np.isnan(value):
            assert again.metrics[name] == value or name.endswith(TIMINGS), name
    client = MlflowClient(again.uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert len(runs) == 2 + num_others and all(run.info.status == "FINISHED" for run in runs)
    return kills


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    import ml_dtypes

    half = np.asarray([1.5, -2.0], ml_dtypes.bfloat16)
    kept = state.State(
        epoch=3,
        epochs=9,
        model=[np.arange(6, dtype="float32").reshape(2, 3), half],
        optimizer=[np.asarray(7, "int64")],
        callbacks={"a.B#1": {"best": float("inf"), "weights": [half], "pair": (1, None, "x")}},
        stopped=True,
        data_fingerprint="abc",
    )
    back = state.load(state.save(tmp_path, kept))
    assert (back.epoch, back.stopped, back.data_fingerprint) == (3, True, "abc")
    for one, other in zip(kept.model + kept.optimizer, back.model + back.optimizer, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    counts = back.callbacks["a.B#1"]
    assert counts["best"] == float("inf") and counts["pair"] == (1, None, "x")
    assert counts["weights"][0].dtype == half.dtype


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_state_gives_way_to_the_one_before(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for epoch in (1, 2, 3):
        arrays = [np.full(1000, epoch, "float32")]
        path = state.save(tmp_path, state.State(epoch, 9, arrays, [], {}, data_fingerprint="d"))
    assert len(list(tmp_path.iterdir())) == 2  # the last two, and nothing half-written
    whole = bytearray(path.read_bytes())
    if damage == "flipped":
        whole[len(whole) // 2] ^= 0xFF
    path.write_bytes({"cut": whole[: len(whole) // 2], "flipped": whole, "empty": b""}[damage])
    found = state.load_last(tmp_path, "d")
    assert found is not None and found.epoch == 2
    assert "going back an epoch" in capsys.readouterr().out
    with pytest.raises(KxError, match="data was changed"):
        state.load_last(tmp_path, "other")


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    path = tmp_path / "best-{epoch}.weights.h5"
    checkpoint = Checkpoint(str(path), save_weights_only=True)
    checkpoint.set_model(model)
    checkpoint.on_epoch_begin(0)
    checkpoint.on_epoch_end(0, {})
    [written] = tmp_path.iterdir()
    before = written.read_bytes()
    assert written.name == "best-1.weights.h5"

    def full_disk(place: str, overwrite: bool) -> None:
        Path(place).write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "save_weights", full_disk)
    with pytest.raises(OSError, match="No space"):
        checkpoint.on_epoch_end(0, {})
    assert written.read_bytes() == before


def test_a_state_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.save(tmp_path, state.State(1, 9, [np.zeros(3)], [], {}))
    true_savez = np.savez

    def full_disk(file, **arrays) -> None:  # type: ignore[no-untyped-def]
        true_savez(file, **{k: v for k, v in list(arrays.items())[:1]})
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space"):
        state.save(tmp_path, state.State(2, 9, [np.zeros(3)], [], {}))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-000001.npz"]


def test_a_run_is_extended_to_the_numbers_of_a_long_one(project: Path) -> None:
    words = ["data=wine", "model.hidden_units=[8]", "model.dropout=0.2", *QUICK,
             "optimizer.use_ema=true"]  # fmt: skip
    long = kx.train(*words, "epochs=6", quiet=True)
    short = kx.train(*words, "epochs=3", quiet=True)
    longer = kx.train(f"resume={short.name}", "epochs=6", quiet=True)
    assert longer.id == short.id
    assert compared(longer.history) == compared(long.history)
    for one, other in zip(weights_of(long), weights_of(longer), strict=True):
        np.testing.assert_array_equal(one, other)
    assert kx.load_run(short.id).history["train/loss"] == long.history["train/loss"]
    with pytest.raises(ConfigError, match="is finished: 6 of 6 epochs"):
        kx.train(f"resume={short.name}", quiet=True)
    with pytest.raises(ConfigError, match="began with 0.2. Received: 0.5"):
        kx.train(f"resume={short.name}", "epochs=8", "model.dropout=0.5", quiet=True)


def test_auto_keeps_a_finished_run_and_never_begins_anew(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from kx.run import main

    words = ["data=wine", "model=linear", "epochs=1", "report=none", "tracking=none"]
    assert main(words) == 0 and main([*words, "resume=auto"]) == 0
    assert "is finished: a run of this very config" in capfd.readouterr().out
    assert len(all_records()) == 1
    assert main(words) == 0
    assert len(all_records()) == 2


def test_an_unfinished_run_is_hinted_at_and_gone_on_with(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=wine", "model=linear", "epochs=4", *QUICK]

    def stop_after_an_epoch(kind: str, values: object) -> None:
        if kind == "epoch":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(compose(words), quiet=True, watch=stop_after_an_epoch)
    [killed] = all_records()
    assert killed.status == "KILLED" and killed.epochs_done == 1
    assert MlflowClient(killed.uri).get_run(killed.run_id).info.status == "KILLED"
    kx.train(*words, "epochs=3", quiet=True)
    assert "was not finished" not in capsys.readouterr().out  # another config
    new = kx.train(*words, quiet=True)
    assert f"{killed.name}, a run of this config, was not finished" in capsys.readouterr().out
    assert new.id != killed.run_id
    with lock(killed.folder):
        assert is_locked(killed.folder)
        with pytest.raises(KxError, match="being written by another process"):
            kx.train(f"resume={killed.name}", quiet=True)
    went_on = kx.train(f"resume={killed.name}", quiet=True)
    assert went_on.id == killed.run_id
    assert compared(went_on.history) == compared(new.history)


def test_the_best_weights_are_restored_from_before_a_stop(project: Path) -> None:
    """With mode=max the first epoch's loss is the best one; Normalization has a scalar weight."""
    words = ["data=wine", "model.hidden_units=[8]", "epochs=5", *LARGEST_LOSS, *QUICK]
    straight = kx.train(*words, quiet=True)
    assert straight.metrics["best/epoch"] == 1

    def stop(kind: str, values: dict) -> None:  # type: ignore[type-arg]
        if kind == "epoch" and values["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(compose(words), quiet=True, watch=stop)
    again = kx.train(*words, "resume=auto", quiet=True)
    assert again.metrics["test/loss"] == straight.metrics["test/loss"]
    for one, other in zip(weights_of(straight), weights_of(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_that_was_stopped_early_is_patient_anew_when_it_is_extended(project: Path) -> None:
    words = ["data=wine", "model=linear", *LARGEST_LOSS, *QUICK]
    run = kx.train(*words, "epochs=6", "callbacks.early_stopping.patience=2", quiet=True)
    assert len(run.history["train/loss"]) == 3  # the first epoch is the best one
    longer = kx.train(f"resume={run.name}", "epochs=8", quiet=True)
    assert len(longer.history["train/loss"]) == 5


def test_a_run_whose_folder_is_elsewhere_is_found(project: Path, tmp_path: Path) -> None:
    words = ["data=wine", "model=linear", "report=none", "tracking=none"]
    elsewhere = tmp_path / "elsewhere" / "run"
    run = kx.train(*words, "epochs=1", f"run_dir={elsewhere}", quiet=True)
    assert [record.folder for record in all_records()] == [elsewhere]
    longer = kx.train(f"resume={run.name}", "epochs=2", quiet=True)
    assert len(longer.history["train/loss"]) == 2
    kx.train(f"resume={elsewhere}", "epochs=3", quiet=True)
    assert Record.read(elsewhere).epochs_done == 3  # type: ignore[union-attr]


def test_a_run_whose_mlflow_run_was_deleted_cannot_go_on(project: Path) -> None:
    words = ["data=wine", "model=linear", "epochs=2", *QUICK]
    run = kx.train(*words, quiet=True)
    MlflowClient(run.uri).delete_run(run.id)
    with pytest.raises(KxError, match=rf"was deleted.*resume=never.*--run-id {run.id}"):
        kx.train(f"resume={run.name}", "epochs=3", quiet=True)
    untracked = kx.train(f"resume={run.name}", "epochs=3", "tracking=none", quiet=True)
    assert len(untracked.history["train/loss"]) == 3


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_a_run_goes_on_with_the_threads_it_began_with(project: Path) -> None:
    words = ["data=wine", "epochs=3", *QUICK]
    code = (
        "import os\nos.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])\n"
        "from kx.config import compose\nfrom kx.training import train\n"
        "def stop(kind, values):\n    if kind == 'epoch':\n        raise KeyboardInterrupt\n"
        f"train(compose({words!r}), quiet=True, watch=stop)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    [killed] = all_records()
    assert killed.epochs_done == 1 and killed.threads == {"intra_op": 1, "inter_op": 1}
    process = command(*words, "resume=auto")
    text, _ = process.communicate()
    assert process.returncode == 0, text
    tags = MlflowClient(killed.uri).get_run(str(killed.run_id)).data.tags
    assert tags["threads.intra_op"] == "1"


def test_a_run_begins_with_the_weights_of_another(project: Path) -> None:
    words = ["data=wine", *QUICK]
    first = kx.train(*words, "epochs=5", quiet=True)
    second = kx.train(*words, "epochs=1", f"init_from={first.name}", "seed=1", quiet=True)
    assert second.id != first.id
    assert second.history["train/loss"][0] < first.history["train/loss"][1]
    with pytest.raises(ConfigError, match="Both need the same model"):
        kx.train(*words, "model.hidden_units=[3]", f"init_from={first.name}", quiet=True)


def test_a_record_tells_what_it_was_told(project: Path) -> None:
    kx.train("data=wine", "epochs=1", "tracking=none", "report=none", quiet=True)
    [record] = all_records()
    assert json.loads((record.folder / "run.json").read_text())["status"] == "FINISHED"
    assert Record.read(record.folder) == record
    assert record.metrics["test/accuracy"] > 0


# --- faults


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB; skips the test where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_is_a_clear_error_and_nothing_is_lost(
    project: Path, small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is full in mid-run; when there is room again, the run continues to the same numbers."""
    from kx.run import main

    words = ["data=wine", "epochs=6", "model.hidden_units=[64]", "callbacks=none", *QUICK]
    straight = kx.train(*words, quiet=True)
    ballast = small_disk / "ballast"
    here = [*words, f"run_dir={small_disk}/run"]

    def fill(kind: str, values: dict) -> None:  # type: ignore[type-arg]
        if kind == "epoch" and values["epoch"] == 3:
            free = shutil.disk_usage(small_disk).free
            ballast.write_bytes(bytes(max(0, free - 8192)))

    with pytest.raises(KxError, match="cannot be written|is full"):
        train(compose(here), quiet=True, watch=fill)
    assert not list(small_disk.rglob("*.part"))
    ballast.unlink()
    assert main([*here, "resume=auto"]) == 0
    assert "continues after epoch 3" in capfd.readouterr().out
    again = kx.load_run("latest")
    assert compared(again.history) == compared(straight.history)


def test_a_folder_that_cannot_be_written_is_refused_before_the_training(
    project: Path, small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from kx.run import main

    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    words = ["data=wine", "epochs=1", *QUICK, f"run_dir={small_disk}/run"]
    assert main(words) == 1
    said = capfd.readouterr().err
    assert "cannot be made" in said and "run_dir=FOLDER" in said and "Traceback" not in said


# Epochs enough for six kills.
LONG = {"image": 24, "table": 200, "text": 40}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_many_kills(project: Path, texts: Path, kind: str, seed: int) -> None:
    """Fifty-four kills in all, six of each run, and not one run ends otherwise."""
    words = [*words_of(kind, texts), f"epochs={LONG[kind]}"]
    if kind != "table":
        words.append("callbacks.early_stopping.patience=50")
    assert check_kills(project, words, num_kills=6, seed=seed) == 6


# Epochs enough for ten kills.
LONG_FAMILIES = {
    "fields": 60, "masks": 250, "reconstruction": 60, "distillation": 80, "adversarial": 60,
    "agent": 120,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("family", LONG_FAMILIES)
def test_many_kills_of_a_family(project: Path, texts: Path, family: str) -> None:
    """Sixty kills in all, ten of each family, and not one run ends otherwise."""
    words = [*family_overrides(family, texts), f"epochs={LONG_FAMILIES[family]}", *QUICK]
    if family == "masks":  # which stops early: it learns nothing more
        words.append("callbacks.early_stopping.patience=1000")
    needs_teacher = any("TEACHER" in word for word in words)
    if needs_teacher:
        teacher = kx.train(*family_overrides("image", texts), *QUICK, quiet=True)
        words = [word.replace("TEACHER", teacher.id) for word in words]
        (project / "runs").rename(project / "of_teacher")
    words = [word for word in words if word != "report=none"] if family == "agent" else words
    others = int(needs_teacher)
    assert check_kills(project, words, num_kills=10, seed=len(family), num_others=others) == 10


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_checkpoint_costs_one_epoch(project: Path) -> None:
    words = ["data=wine", "epochs=5", "model.dropout=0.3", *QUICK]
    code = (
        "import os, signal\nimport numpy as np\nimport kx\n"
        "whole, calls = np.savez, []\n"
        "def half(file, **arrays):\n"
        "    calls.append(1)\n"
        "    if len(calls) < 4:\n        return whole(file, **arrays)\n"
        "    file.write(b'PK half a file')\n    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"np.savez = half\nkx.train(*{words!r}, quiet=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    [killed] = all_records()
    assert killed.epochs_done == 3 and list(killed.states.glob("*.part"))
    again = kx.train(*words, "resume=auto", quiet=True)
    assert not list(killed.states.glob("*.part"))
    straight = kx.train(*words, quiet=True)
    assert again.id != straight.id and compared(again.history) == compared(straight.history)


def test_what_callbacks_count_goes_on_and_their_settings_are_the_configs(project: Path) -> None:
    """With a large `min_delta` every epoch is a plateau; Keras flips its sign at first use."""
    words = [
        "data=wine", "epochs=8", "callbacks.reduce_lr_on_plateau.patience=2", *QUICK,
        "+callbacks.reduce_lr_on_plateau.min_delta=0.7", "callbacks.early_stopping.patience=5",
        "+callbacks.csv={_target_: keras.callbacks.CSVLogger, filename: '${run_dir}/log.csv'}",
    ]  # fmt: skip
    straight = kx.train(*words, quiet=True)
    assert len(set(straight.history["learning_rate"])) > 1

    def stop(kind: str, values: dict) -> None:  # type: ignore[type-arg]
        if kind == "epoch" and values["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(compose(words), quiet=True, watch=stop)
    killed, first = all_records()
    with (killed.folder / "log.csv").open("a") as log:
        log.write("3,of an epoch whose state was not kept\n")
    again = kx.train(*words, "resume=auto", quiet=True)
    assert again.id != straight.id and compared(again.history) == compared(straight.history)
    assert (killed.folder / "log.csv").read_text() == (first.folder / "log.csv").read_text()
    stored = MlflowClient(again.uri).get_run(again.id)
    assert "kx.error" not in stored.data.tags and stored.info.status == "FINISHED"
    patient = "callbacks.early_stopping.patience=50"
    longer = kx.train(f"resume={again.name}", "epochs=12", patient, quiet=True)
    assert len(longer.history["train/loss"]) == 12
