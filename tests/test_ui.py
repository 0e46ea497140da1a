"""`kx ui`: MLflow's UI, on the store that the runs went to, from any folder of the project."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

import kx
from kx.cli import main


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_ui_serves_the_projects_runs_from_a_folder_within(
    at_home: Path, trained: Callable[[str], kx.Run]
) -> None:
    run = trained("row")
    inside = at_home / "notebooks"
    inside.mkdir(exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "kx", "ui", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=inside, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        url = f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/get?run_id={run.id}"
        for _ in range(120):
            try:
                answer = json.load(urllib.request.urlopen(url, timeout=5))
                break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None, process.stdout and process.stdout.read()
                time.sleep(0.5)
        assert answer["run"]["info"]["run_name"] == run.name
        _train_over_the_server(f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    with pytest.raises(urllib.error.URLError):  # no server stays behind
        urllib.request.urlopen(url, timeout=5)
    assert not (inside / "mlflow.db").exists()


def _train_over_the_server(uri: str) -> None:
    """A run can go to any server by its address."""
    words = ["data=wine", "epochs=2", "report=none", f"tracking.uri={uri}"]
    run = kx.train(*words, "tracking.experiment=served", quiet=True)
    again = kx.load_run(run.id, uri=uri)
    assert again.history == run.history and again.uri == uri
    raw, answers = run.bundle().examples()
    found = again.predictor.answers(raw)["probabilities"]
    assert abs(found - answers["probabilities"]).max() < 1e-5


@pytest.mark.parametrize("port", ["99999", "0", "-1", "http"])
def test_what_is_no_port_is_refused(port: str, capsys) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit):
        main(["ui", "--port", port])
    assert "expected 1 to 65535" in capsys.readouterr().err


def test_a_port_that_is_taken_is_an_error(project: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["ui", "--port", str(port)]) == 1
    assert f"kx ui --port {port + 1}" in capsys.readouterr().err


def test_ui_of_a_server_names_its_address(project: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    from kx.commands.ui import open_ui

    assert open_ui("https://me:secret@tracking.example.com", host="127.0.0.1", port=1) == 0
    printed = capsys.readouterr().out
    assert "tracking.example.com" in printed and "secret" not in printed
