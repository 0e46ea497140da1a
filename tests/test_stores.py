"""The tracking store: made once, found where it is, refused in one message within seconds."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import few

from kx.cli import main
from kx.errors import KxError, RunNotFoundError
from kx.runs import load_run
from kx.tracking import store
from kx.tracking.mlflow.client import open_client
from kx.tracking.records import all_records
from kx.tracking.store import artifact_location, refuse_unreachable, sqlite_file, store_uri

ROOT = Path(__file__).resolve().parent.parent
OPENS = "from kx.tracking.mlflow.client import open_client; open_client(None); print('opened')"
RUNS = ["-m", "kx.run", "data=wine", "model=linear", "epochs=1", "report=none"]


def python(*words: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *words], cwd=folder, text=True, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.parametrize("count", few((3, 8), 1))
def test_processes_that_open_a_new_store_at_once_make_one(new_project: Path, count: int) -> None:
    begun = [python("-c", OPENS, folder=new_project) for _ in range(count)]
    said = [process.communicate(timeout=240)[0] for process in begun]
    assert [text.strip() for text in said] == ["opened"] * count
    assert not list(new_project.glob("*.part"))


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("count", [2, 4, 8])
def test_first_runs_at_once_all_finish_ten_times(tmp_path: Path, count: int) -> None:
    for turn in range(10):
        folder = tmp_path / f"{turn}"
        folder.mkdir()
        begun = [python(*RUNS, f"seed={seed}", folder=folder) for seed in range(count)]
        said = [process.communicate(timeout=600)[0] for process in begun]
        assert [process.returncode for process in begun] == [0] * count, "\n".join(said)
        store = sqlite3.connect(folder / "mlflow.db")
        assert store.execute("SELECT count(*) FROM runs WHERE status = 'FINISHED'").fetchone() == (
            count,
        )


def test_a_store_that_was_being_made_when_its_process_died_is_made_anew(new_project: Path) -> None:
    (new_project / "mlflow.db.1234.part").write_bytes(b"half")
    (new_project / "mlflow.db.lock").touch()
    assert open_client(None).search_experiments()


@pytest.mark.parametrize(
    "name", ["my proj #1", "a%b", "q'uote\"d", "a@b:c;d,e", "br[a]{c}(e)", "do$l${lar}",
             "ünï 中文", "back\\slash", "a=b+c&d!~`^|<>*"],
)  # fmt: skip
def test_artifacts_are_within_the_project_whatever_its_name(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    project = tmp_path / name
    project.mkdir()
    shutil.copy(empty_store, project / "mlflow.db")
    monkeypatch.chdir(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client, uri = open_client(None), store_uri()
    experiment = client.create_experiment("digits", artifact_location(uri, "digits"))
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "words", "note.txt")
    [file] = tmp_path.rglob("note.txt")
    assert file.read_text() == "words" and file.is_relative_to(project / "mlartifacts" / "digits")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["qu?estion", "a%20b"])
def test_a_name_that_mlflow_cannot_open_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(KxError, match="Rename the folder"):
        open_client(None)
    assert [path.name for path in tmp_path.rglob("*")] == [name]


def test_a_project_that_was_moved_finds_its_artifacts(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = open_client(None)
    experiment = client.create_experiment("wine", artifact_location(store_uri(), "wine"))
    run_id = client.create_run(experiment).info.run_id
    client.log_text(run_id, "words", "note.txt")
    client.set_terminated(run_id)
    client.create_run(experiment)  # of a process that was killed: it is RUNNING for ever
    moved = project.with_name("moved # ä")
    project.rename(moved)
    monkeypatch.chdir(moved)
    client = open_client(None)
    captured = capsys.readouterr()
    assert "now in" in captured.err and not captured.out  # `kx runs --json` is JSON
    where = client.get_run(run_id).info.artifact_uri
    assert where.startswith((moved / "mlartifacts" / "wine").as_uri())
    assert client.get_experiment(experiment).artifact_location == (
        (moved / "mlartifacts" / "wine").as_uri()
    )
    new = client.create_run(experiment).info.run_id  # MLflow remembers where that of the other is
    client.log_text(new, "more", "more.txt")
    assert list(moved.rglob("more.txt")) and not project.exists()


def test_artifacts_that_have_gone_are_named_with_where_they_were(project: Path) -> None:
    client = open_client(None)
    experiment = client.create_experiment("wine", artifact_location(store_uri(), "wine"))
    run_id = client.create_run(experiment).info.run_id
    client.set_terminated(run_id)
    with pytest.raises(RunNotFoundError) as caught:
        load_run(run_id).bundle()
    assert (project / "mlartifacts" / "wine").as_uri() in str(caught.value)


def broken_schema(folder: Path) -> str:
    store = sqlite3.connect(folder / "mlflow.db")
    store.execute("UPDATE alembic_version SET version_num = 'bd07f7e963c5'")
    store.commit()
    return f"sqlite:///{folder}/mlflow.db"


def no_database(folder: Path) -> str:
    (folder / "text.db").write_text("no database")
    return f"sqlite:///{folder}/text.db"


def dead_server(folder: Path) -> str:
    return "http://127.0.0.1:9/"


@pytest.mark.parametrize(
    "words",
    [["runs"], ["predict", "latest", "1"], ["evaluate", "latest"], ["reproduce", "latest"],
     ["export", "latest", "--out", "x"], ["compare", "a", "b"], ["runs", "delete", "a", "--yes"]],
    ids=lambda words: words[0] + words[1][:6] if len(words) > 1 else words[0],
)  # fmt: skip
@pytest.mark.parametrize(
    "broken", few([broken_schema, dead_server, no_database, "foo://bar", "dbs:x"], 2)
)
def test_every_command_says_in_one_message_what_is_wrong_with_a_store(
    project: Path, words: list[str], broken, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    uri = broken if isinstance(broken, str) else broken(project)
    begun = time.monotonic()
    assert main([*words, "--uri", uri]) == 1
    assert time.monotonic() - begun < 15
    said = capsys.readouterr().err
    assert said.startswith("kx: The tracking store ") and " cannot be used: " in said
    assert "tracking=none" in said and "Traceback" not in said


def test_a_server_that_takes_no_connection_keeps_nobody_waiting(project: Path) -> None:
    with socket.socket() as deaf:  # it listens, and its queue is full
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        begun = time.monotonic()
        for scheme in ("http", "postgresql"):
            with pytest.raises(KxError, match="cannot be used"):
                open_client(f"{scheme}://127.0.0.1:{port}/x")
        assert time.monotonic() - begun < 15
        for one in waiting:
            one.close()


def test_the_file_of_a_store_is_named_in_full() -> None:
    assert sqlite_file("postgresql://host/db") is None
    assert sqlite_file("sqlite:////a/b/mlflow.db") == Path("/a/b/mlflow.db")
    assert sqlite_file("sqlite:///mlflow.db") == Path.cwd() / "mlflow.db"


def test_a_record_of_a_store_that_mlflow_cannot_open_stops_no_other_command(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project / "runs" / "old"
    folder.mkdir(parents=True)
    values = {"name": "old", "identity": "x", "config": {}, "overrides": [], "run_id": "1"}
    uri = "sqlite:////somewhere/old%20dir/mlflow.db"
    (folder / "run.json").write_text(json.dumps({**values, "uri": uri}))
    assert [record.uri for record in all_records()] == [uri]
    assert main(["runs"]) == 0


@pytest.mark.parametrize(
    "uri",
    [
        "mysql+pymysql://me:pw@localhost/db?unix_socket=/run/mysqld.sock",
        "postgresql://me@localhost/db?host=/var/run/postgresql",
    ],
)
def test_a_database_behind_a_socket_is_not_asked_by_its_port(uri: str) -> None:
    refuse_unreachable(uri)


def test_a_server_is_awaited_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(address: str, timeout: float) -> contextlib.nullcontext[None]:
        asked.append(address)
        return contextlib.nullcontext()

    monkeypatch.setattr(store, "urlopen", answer)
    store.await_server("http://token@host:5000/", 5)
    assert asked == ["http://host:5000/health"]


def test_a_run_whose_config_has_gone_is_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = open_client(None)
    experiment = client.create_experiment("wine", artifact_location(store_uri(), "wine"))
    run_id = client.create_run(experiment).info.run_id
    client.set_terminated(run_id)
    for verb in ("evaluate", "reproduce"):
        assert main([verb, run_id]) == 1
        said = capsys.readouterr().err
        assert "no artifact 'config.yaml'" in said and "Traceback" not in said


def test_what_can_be_no_store_is_refused_at_once(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mlflow.db").unlink()
    (project / "mlflow.db").mkdir()
    begun = time.monotonic()
    for uri in (None, "sqlite:////proc/x.db", f"sqlite:///{project}/pyproject.toml/x.db"):
        with pytest.raises(KxError, match="cannot be used"):
            open_client(uri)
    assert main(["run", "data=wine", "model=linear", "epochs=1", "report=none"]) == 1
    assert main(["runs"]) == 1
    assert "is a folder" in capsys.readouterr().err and time.monotonic() - begun < 30
