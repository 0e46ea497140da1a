"""Strategies: several devices train to the weights of one; what does not work is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from processes import run as command

import kx
from kx.cluster import cluster_of_environment
from kx.config import compose
from kx.errors import ConfigError
from kx.launch.multi_process import run_team
from kx.tracking.records import all_records

WORDS = [
    "data=digits", "split.limit=500", "model.filters=[4,8]", "optimizer=momentum", "epochs=4",
    "optimizer.learning_rate=0.05", "model.dropout=0.0", "report=none", "callbacks=none",
    "tracking.system_metrics=false", "data.drop_remainder=true",
]  # fmt: skip
TWO = ["strategy=mirrored", "strategy.logical_devices=2"]
NORMALIZED = ["model.batch_normalization=true", "split.limit=505"]  # 50 and 359 to evaluate


def assert_alike(one: kx.Run, several: kx.Run) -> None:
    """Also of an evaluation that no number of devices divides: each example counts once."""
    for a, b in zip(one.model().get_weights(), several.model().get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for name in ("train/loss", "val/loss", "val/accuracy", "learning_rate"):
        np.testing.assert_allclose(one.history[name], several.history[name], atol=1e-4)
    assert several.metrics["test/accuracy"] == pytest.approx(one.metrics["test/accuracy"], abs=0.01)
    assert several.metrics["test/loss"] == pytest.approx(one.metrics["test/loss"], abs=1e-4)


CALLBACKS = [
    "callbacks=default", "callbacks.reduce_lr_on_plateau.patience=1",
    "+callbacks.reduce_lr_on_plateau.min_delta=9",  # so that it acts
]  # fmt: skip


@pytest.mark.usefixtures("graphs")
def test_two_devices_train_to_the_weights_of_one(project: Path) -> None:
    """Also where the run on two is stopped half-way; batch normalization over the whole batch."""
    one = kx.train(*WORDS, *NORMALIZED, *CALLBACKS, quiet=True)
    words = [*WORDS, *NORMALIZED, *CALLBACKS, *TWO]
    half = command(*words, "epochs=2")
    assert half.returncode == 0, half.stdout + half.stderr
    done = command("resume=latest", "epochs=4")
    assert done.returncode == 0, done.stdout + done.stderr
    two = kx.load_run("latest")
    assert two.id != one.id and len(two.history["train/loss"]) == 4
    assert len(set(two.history["learning_rate"])) > 1
    assert_alike(one, two)


@pytest.mark.slow
def test_four_devices_train_to_the_weights_of_one(project: Path) -> None:
    one = kx.train(*WORDS, *NORMALIZED, "epochs=2", quiet=True)
    done = command(
        *WORDS, *NORMALIZED, "epochs=2", "strategy=mirrored", "strategy.logical_devices=4"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert_alike(one, kx.load_run("latest"))


# --- several processes


@pytest.mark.slow
def test_two_processes_train_to_the_weights_of_one_though_one_is_killed(project: Path) -> None:
    """They start again, all of them, and continue after the last epoch that was kept."""
    words = [*WORDS, *NORMALIZED, *CALLBACKS, "epochs=6"]
    one = kx.train(*words, quiet=True)
    team = ["strategy=multi_worker", "strategy.processes=2", "launcher.max_retries=1"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "kx.run", *words, *team],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("epoch 3") and not any("start again" in said for said in lines):
            os.kill(follower_of(process.pid), signal.SIGKILL)
    said = "".join(lines)
    assert process.wait() == 0, said
    assert "process 2 was lost" in said and "all start again (1 of 1)" in said
    [kept] = [record for record in all_records() if record.run_id != one.id]
    assert kept.status == "FINISHED"
    two = kx.load_run(kept.run_id or "")
    assert len(two.history["train/loss"]) == 6
    assert_alike(one, two)
    folders = {path.name.partition("-")[0] for path in (project / "runs").iterdir()}
    assert folders == {"cnn", "team"}, "only the first process keeps a run"


class TwoProcesses:
    """An engine, in place of a real one: says what two processes would, in a given order."""

    workers, limit_minutes, max_retries, queues = None, None, 0, False

    def __init__(self, said: list[tuple[int, tuple[str, dict[str, object]] | None]]) -> None:
        self.said, self.stopped = said, 0

    def open(self, backend: str) -> None: ...

    def close(self) -> None: ...

    def places(self, count: int) -> list[str]:
        return ["a:1", "b:1"][:count]

    def start(self, orders: dict[int, object], workers: int) -> dict[int, TwoProcesses]:
        return dict.fromkeys(orders, self)

    def listen(self, handles: dict[int, object]) -> list[object]:
        assert self.said, "it waits for ever"
        slot, _ = self.said[0]
        return [self.said.pop(0)] if slot in handles else []

    def insist(self) -> None: ...

    def stop(self) -> None:
        self.stopped += 1

    def ending(self) -> str:
        return "killed"


END = ("end", {"state": "FINISHED", "metrics": {}})


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([(1, None), (0, None)], 1),
        ([(0, None), (1, None)], 1),
        ([(0, END), (0, None), (1, None)], 0),
        ([(1, END), (1, None), (0, END), (0, None)], 0),
    ],
    ids=["other first", "leader first", "leader is done", "all are done"],
)
def test_a_launcher_ends_in_whatever_order_its_processes_do(
    project: Path, monkeypatch: pytest.MonkeyPatch, said: list[object], code: int
) -> None:
    engine = TwoProcesses(said)  # type: ignore[arg-type]
    monkeypatch.setattr("kx.launch.multi_process.make_engine", lambda launcher: engine)
    monkeypatch.setattr("kx.launch.multi_process._GRACE_SECONDS", 0.0)
    words = ["data=wine", "strategy=multi_worker", "strategy.processes=2", "tracking=none"]
    assert run_team(compose(words)) == code
    assert not engine.said


def follower_of(launcher: int) -> int:
    """The process of a team that keeps no run, by what it has open."""
    children = psutil.Process(launcher).children(recursive=True)
    logs = {p.pid: {Path(f.path).name for f in p.open_files()} for p in children}
    return next(pid for pid, names in logs.items() if "process-2.log" in names)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("strategy.processes=two", "a whole number, at least 1"),
        ("strategy.processes=0", "a whole number, at least 1"),
        ("batch_size=33", "Expected a multiple of 2"),
        ("backend=jax", "is TensorFlow's"),
    ],
)
def test_processes_that_cannot_train_together_are_not_started(
    project: Path, word: str, said: str
) -> None:
    words = ["data=wine", "strategy=multi_worker", "strategy.processes=2", word]
    with pytest.raises(ConfigError, match=said):
        run_team(compose(words))
    assert not (project / "runs").exists()


def test_processes_that_kx_starts_are_for_one_run(project: Path) -> None:
    words = ["-m", "data=wine", "strategy=multi_worker", "strategy.processes=2", "seed=0,1"]
    done = command(*words)
    assert done.returncode == 1 and "one run of the command line" in done.stderr


CHIEF = {"chief": ["a:1"], "worker": ["b:2"]}


@pytest.mark.parametrize(
    ("cluster", "kind", "given", "index"),
    [({"worker": ["a:1", "b:2"]}, "worker", 1, 1), (CHIEF, "worker", 0, 1), (CHIEF, "chief", 0, 0)],
)
def test_a_cluster_of_kubernetes_is_read(
    monkeypatch: pytest.MonkeyPatch,
    cluster: dict[str, list[str]],
    kind: str,
    given: int,
    index: int,
) -> None:
    text = json.dumps({"cluster": cluster, "task": {"type": kind, "index": given}})
    monkeypatch.setenv("TF_CONFIG", text)
    found = cluster_of_environment()
    assert found is not None
    assert found["cluster"]["worker"] == ["a:1", "b:2"] and found["task"]["index"] == index


def test_a_cluster_that_cannot_be_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no cluster is described"):
        kx.train("data=wine", "strategy=multi_worker", quiet=True)
    servers = {"cluster": {"worker": ["a:1"], "ps": ["b:2"]}, "task": {"type": "ps", "index": 0}}
    for text in ("{", json.dumps(servers)):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(ConfigError, match="TF_CONFIG: expected"):
            kx.train("data=wine", "strategy=multi_worker", quiet=True)
    assert not list(project.glob("runs/*"))


def test_a_step_of_slurm_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    step = {
        "SLURM_STEP_NUM_TASKS": "5", "SLURM_PROCID": "3", "SLURM_STEP_NODELIST": "n[1-3]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    }  # fmt: skip
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("kx.cluster._hosts", lambda: ["n1", "n2", "n3"])
    found = cluster_of_environment(port=100)
    assert found == {
        "cluster": {"worker": ["n1:100", "n1:101", "n2:100", "n2:101", "n3:100"]},
        "task": {"type": "worker", "index": 3},
    }


@pytest.mark.parametrize(
    ("word", "said"),
    [("data.drop_remainder=false", "shared out unevenly"), ("batch_size=31", "multiple of 2")],
)
def test_uneven_shares_are_refused(project: Path, word: str, said: str) -> None:
    done = command(*WORDS, *TWO, word)
    assert done.returncode == 1 and said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr and not list(project.glob("runs/*"))


def test_devices_that_come_too_late_are_refused(project: Path) -> None:
    kx.train("data=wine", "epochs=1", "report=none", "tracking=none", quiet=True)
    with pytest.raises(ConfigError, match="comes too late"):
        kx.train("data=wine", *TWO, quiet=True)


@pytest.mark.parametrize(
    "name", ["multi_worker_mirrored", "parameter_server", "central_storage", "data_parallel"]
)
def test_what_does_not_work_is_refused_with_the_reason(project: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="What works: default .one device., mirrored"):
        compose([f"strategy={name}"])
