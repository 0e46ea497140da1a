"""Tracking that loses nothing: the store is away for a while, or until long after the run."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

import kx
from kx.cli import main
from kx.tracking.mlflow.outbox import Sender, waiting
from kx.tracking.records import all_records, lock

QUICK = ["report=none", "data=wine"]


class Away:
    """A store that can be switched off."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.off = False
        for name in ("log_batch", "log_artifacts", "set_terminated"):
            true = getattr(MlflowClient, name)
            monkeypatch.setattr(MlflowClient, name, self._switched(true))
        import mlflow.keras

        monkeypatch.setattr(mlflow.keras, "log_model", self._switched(mlflow.keras.log_model))

    def _switched(self, function):  # type: ignore[no-untyped-def]
        def call(*args, **kwargs):  # type: ignore[no-untyped-def]
            if self.off:
                raise OSError("no route to host")
            return function(*args, **kwargs)

        return call


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Away:
    return Away(monkeypatch)


def train_while_away(away: Away, first: int, last: int, *words: str) -> kx.Run:
    """Trains; the store is away from the end of one epoch to that of another."""
    from kx.config import compose
    from kx.training import train

    def watch(kind: str, values: dict) -> None:  # type: ignore[type-arg]
        if kind == "epoch":
            away.off = first <= values["epoch"] < last
            time.sleep(0.2)

    return train(compose([*QUICK, *words]), quiet=True, watch=watch)


def test_what_a_store_missed_reaches_it_before_the_end(
    project: Path, away: Away, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_while_away(away, 2, 5, "epochs=8")
    said = capsys.readouterr().out
    assert "does not answer; the run continues" in said and "answers again" in said
    kept = kx.load_run(run.id)
    assert kept.history == run.history and kept.status == "FINISHED"
    assert not list(project.glob("runs/*/outbox"))


def test_sync_sends_what_a_store_missed_to_the_end(
    project: Path, away: Away, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train_while_away(away, 2, 100, "epochs=4")
    assert "kx sync" in capsys.readouterr().out
    assert len(MlflowClient(run.uri).get_metric_history(run.id, "train/loss")) < 4
    assert main(["sync"]) == 1
    assert "still wait" in capsys.readouterr().out
    away.off = False
    [record] = all_records()
    with lock(record.folder):
        assert main(["sync"]) == 0
    assert "is running, and sends by itself" in capsys.readouterr().out
    assert main(["sync"]) == 0
    kept = kx.load_run(run.id)
    assert kept.history == run.history and kept.status == "FINISHED"
    assert kept.metrics["test/loss"] == run.metrics["test/loss"]
    assert any(
        name.startswith("system/") for name in MlflowClient(run.uri).get_run(run.id).data.metrics
    )
    rows = [",".join(["13"] * 13)]
    assert kept.predict(rows)[0]["label"] == run.predict(rows)[0]["label"]  # the model, too
    assert main(["sync"]) == 0
    assert "nothing waits" in capsys.readouterr().out


def test_two_runs_that_log_the_same_data_first_get_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, calls = MlflowClient.log_inputs, []

    def once_in_the_way(self, run_id, datasets):  # type: ignore[no-untyped-def]
        calls.append(run_id)
        if len(calls) == 1:
            raise MlflowException("UNIQUE constraint failed: datasets.digest")
        return true(self, run_id, datasets)

    monkeypatch.setattr(MlflowClient, "log_inputs", once_in_the_way)
    run = kx.train(*QUICK, "epochs=1", quiet=True)
    stored = MlflowClient(run.uri).get_run(run.id)
    assert len(calls) == 2 and len(stored.inputs.dataset_inputs) == 3


def test_the_order_of_what_is_sent_is_kept(tmp_path: Path) -> None:
    class Store:
        tracking_uri = "none"

        def __init__(self) -> None:
            self.got: list[object] = []
            self.off = False

        def log_batch(self, run_id, metrics=(), tags=()):  # type: ignore[no-untyped-def]
            if self.off:
                raise OSError("away")
            self.got += [(m.key, m.step) for m in metrics] + [tag.key for tag in tags]

        def set_terminated(self, run_id, status, end_time):  # type: ignore[no-untyped-def]
            self.got.append(status)

    store = Store()
    sender = Sender(store, "run", tmp_path / "outbox", quiet=True)  # type: ignore[arg-type]
    for step in range(3):
        sender.put("metrics", values=[["loss", 0.5, 0, step]])
    sender.flush()
    store.off = True
    sender.put("tags", values={"a": "1"})
    sender.put("metrics", values=[["loss", 0.5, 0, 3]])
    assert not sender.flush()
    assert waiting(tmp_path / "outbox") == 2
    assert sender.close() == 2
    store.off = False  # what a process has left, another one sends
    again = Sender(store, "run", tmp_path / "outbox", quiet=True)  # type: ignore[arg-type]
    assert again.flush()
    assert store.got == [("loss", 0), ("loss", 1), ("loss", 2), "a", ("loss", 3)]
    assert not (tmp_path / "outbox").exists()


# --- a real server


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """A real `mlflow server` that can be killed and started again."""

    def __init__(self, store: str, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._words = [
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store,
            "--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1",
            "--port", str(self.port), "--workers", "1",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process = subprocess.Popen(
            self._words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        end = time.monotonic() + 90
        while True:
            try:
                with urlopen(f"{self.uri}/health", timeout=2):
                    return
            except OSError:
                assert time.monotonic() < end and self._process.poll() is None
                time.sleep(0.3)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def postgres(folder: Path) -> Iterator[str]:
    """Starts a PostgreSQL of its own, and yields its address."""
    pytest.importorskip("psycopg", reason="needs the extra kx[postgres]: psycopg[binary]")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("needs PostgreSQL's programs (Debian: apt install postgresql)")
    programs, data, port = found[-1].parent, folder / "pg", free_port()
    folder.mkdir(exist_ok=True)
    as_user: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        folder.chmod(0o755)
        for parent in folder.parents:
            if parent != Path("/tmp") and parent.is_relative_to("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o055)
        as_user = ["runuser", "-u", "postgres", "--"]
    control = [*as_user, str(programs / "pg_ctl"), "-D", str(data), "-w"]
    subprocess.run(
        [*as_user, str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "kx"],
        check=True, capture_output=True,
    )  # fmt: skip
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    subprocess.run(
        [*control, "-o", options, "-l", str(folder / "log"), "start"], check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"postgresql://kx@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_server_that_is_killed_and_started_again_misses_nothing(
    project: Path, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = (
        iter([f"sqlite:///{tmp_path}/server.db"])
        if kind == "sqlite"
        else postgres(tmp_path / "store")
    )
    store = next(stores)
    server = Server(store, tmp_path)
    server.start()
    try:
        from kx.config import compose
        from kx.training import train

        def watch(what: str, values: dict) -> None:  # type: ignore[type-arg]
            if what == "epoch" and values["epoch"] == 3:
                server.kill()
            elif what == "epoch" and values["epoch"] == 6:
                server.start()

        job = compose([*QUICK, "epochs=9", f"tracking.uri={server.uri}"])
        run = train(job, quiet=True, watch=watch)
        said = capsys.readouterr().out
        assert "does not answer" in said
        if "kx sync" in said:
            assert main(["sync"]) == 0
        kept = kx.load_run(run.id, uri=server.uri)
        assert kept.history == run.history and kept.status == "FINISHED"
        assert kept.metrics["test/loss"] == run.metrics["test/loss"]
    finally:
        server.kill()
        for _ in stores:
            pass


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_eight_writers_to_a_new_store_lose_nothing(
    project: Path, kind: str, tmp_path: Path
) -> None:
    """Eight jobs at once in one store, which did not exist before."""
    stores = (
        iter([f"sqlite:///{project}/mlflow.db"])
        if kind == "sqlite"
        else postgres(tmp_path / "store")
    )
    store = next(stores)
    words = ["-m", "seed=range(0,8)", "data=wine", "epochs=10", "report=none", "launcher.workers=8"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "kx.run", *words, "tracking.system_metrics=false",
             f"tracking.uri='{store}'"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        client = MlflowClient(store)
        runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
        jobs = [run for run in runs if "kx.job" in run.data.tags]
        assert len(jobs) == 8
        for run in jobs:
            points: list[Metric] = client.get_metric_history(run.info.run_id, "train/loss")
            assert sorted(point.step for point in points) == list(range(1, 11))
        assert not list(project.glob("runs/*/outbox"))
    finally:
        for _ in stores:
            pass


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [12, 60])
def test_a_server_that_is_away_in_mid_search_misses_nothing(
    project: Path, tmp_path: Path, seconds: int
) -> None:
    """A trial continues without it; one that is to begin waits for it; the rest is for kx sync."""
    server = Server(f"sqlite:///{tmp_path}/server.db", tmp_path)
    server.start()
    space = "tuner.space.optimizer.learning_rate={type: float, min: 1e-4, max: 1e-2, sampling: log}"
    words = ["data=wine", "epochs=60", "callbacks=none", "report=none", "tuner=random", space]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "kx.run", *words, "tuner.max_trials=4", "tuner.study=s",
         f"tracking.uri={server.uri}", "tracking.system_metrics=false"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    second = project / "studies" / "s" / "trials" / "0002" / "state"
    try:
        end = time.monotonic() + 120
        while not list(second.glob("epoch-*.npz")):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.05)
        server.kill()
        time.sleep(seconds)
        server.start()
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said
        # A trial that ended while the server was away has kept what it missed.
        subprocess.run([sys.executable, "-m", "kx", "sync"], check=True, timeout=120)
        client = MlflowClient(server.uri)
        runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
        trials = [run for run in runs if run.data.tags.get("kx.kind") in ("trial", "winner")]
        assert len(trials) == 4, said
        for run in trials:
            points = client.get_metric_history(run.info.run_id, "val/loss")
            assert sorted(point.step for point in points) == list(range(1, 61))
    finally:
        process.kill()
        server.kill()
