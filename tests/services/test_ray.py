"""`launcher=ray` on a real cluster of two nodes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import kx
from kx.run import main
from kx.search.study import PRUNED, find_study
from kx.tracking.records import Record, all_records
from services.helpers import alone, launched, underway, wait_for, without_times

QUICK = ["report=none", "tracking.system_metrics=false", "launcher=ray"]
LONG = [
    "data=digits", "split.limit=600", "model=cnn", "model.filters=[8]", "epochs=60",
    "callbacks=none", *QUICK,
]  # fmt: skip


def own_option(project: Path, group: str, name: str, function: str, code: str) -> None:
    """Adds an option of the user's own to the project."""
    (project / "mine.py").write_text(code, encoding="utf-8")
    folder = project / "conf" / group
    folder.mkdir(parents=True)
    (folder / f"{name}.yaml").write_text(f"_target_: mine.{function}\n", encoding="utf-8")


def at(cluster: Any) -> str:
    return f"launcher.address={cluster.address}"


def threads_of_one() -> list[str]:
    return ["threads.intra_op=1", "threads.inter_op=1"]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["worker", "node"])
def test_a_sweep_on_two_nodes_has_the_numbers_of_runs_of_their_own_though_one_is_lost(
    ray_nodes: Any, project: Path, what: str
) -> None:
    """A model of the user's own; the one that is lost is not that of the launcher's mailbox."""
    own_option(
        project, "model", "small", "small",
        "import keras, kx\n\ndef small(inputs, outputs, *, filters=8):\n"
        "    open('kx_is_at', 'w').write(kx.__file__)\n"
        "    given = keras.Input(inputs.shape)\n"
        "    hidden = keras.layers.Conv2D(filters, 3)(given)\n"
        "    flat = keras.layers.Flatten()(hidden)\n"
        "    return keras.Model(given, keras.layers.Dense(outputs.units)(flat))\n\n\n"
        "class Slow(keras.callbacks.Callback):\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        __import__('time').sleep(0.4)\n",
    )  # fmt: skip
    words = [word for word in LONG if not word.startswith("model")] + ["model=small"]
    slowly = "+callbacks.slow._target_=mine.Slow"  # long enough to be killed twice
    process = launched("-m", *words, slowly, "seed=0,1", at(ray_nodes))
    wait_for(lambda: len([r for r in all_records() if r.epochs_done >= 2]) == 2)
    raylets = {_ancestor(record.pid, "raylet").pid: record for record in all_records()}
    mailbox = _ancestor(_process("ray::Mailbox").pid, "raylet").pid
    lost, record = next((pid, record) for pid, record in raylets.items() if pid != mailbox)
    worker = _ancestor(record.pid, "ray::")
    if what == "node":
        node = next(n for n in ray_nodes.worker_nodes if _raylet_pid(n) == lost)
        ray_nodes.remove_node(node, allow_graceful=False)
    worker.kill()
    if what == "worker":  # twice
        before = record.pid
        wait_for(lambda: (now := Record.read(record.folder)) and now.pid != before and now)
        again = Record.read(record.folder)
        assert again is not None
        done = again.epochs_done  # as it is now: a record looks at what is kept
        wait_for(lambda: again.epochs_done > done + 1)
        _ancestor(again.pid, "ray::").kill()
    said, _ = process.communicate(timeout=200)
    if what == "node":
        ray_nodes.add_node(num_cpus=1)
    assert process.returncode == 0, said
    assert "job 1 of 2 is queued" in said and "job 2 of 2 began on " in said
    assert said.count("is run again (1 of 2)") == 1 and "Ray lost it" in said
    assert said.count("is run again (2 of 2)") == (what == "worker")
    assert "runtime_resources" in (project / "kx_is_at").read_text(), "kx travels, too"
    own = [word for word in words if word != "launcher=ray"]
    jobs = [kx.load_run(record.run_id or "") for record in all_records()]
    assert [job.status for job in jobs] == ["FINISHED"] * 2
    for job in jobs:
        whole = alone(*own, *threads_of_one(), f"seed={job.config['seed']}")
        assert without_times(job) == without_times(whole)


def _process(name: str) -> Any:
    import psutil

    return next(p for p in psutil.process_iter(["name"]) if p.info["name"].startswith(name))


def _ancestor(pid: int, name: str) -> Any:
    import psutil

    return next(p for p in psutil.Process(pid).parents() if p.name().startswith(name))


def _runs(pid: int) -> bool:
    import psutil

    try:  # where nobody reaps it, a process that has ended stays as a zombie
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _raylet_pid(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


@pytest.mark.slow
def test_a_job_that_always_dies_is_tried_a_bounded_number_of_times(
    ray_nodes: Any, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_option(
        project, "data", "mine", "load",
        "import os, signal\n\ndef load():\n"
        "    open('tries', 'a').write('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out\n",
    )  # fmt: skip
    words = ["data=mine", "model=linear", *QUICK, at(ray_nodes)]
    assert main(["-m", *words]) == 1
    said = capsys.readouterr().out
    assert "is run again (2 of 2)" in said and "killed (SIGKILL)" in said
    assert (project / "tries").read_text(encoding="utf-8") == "xxx"


@pytest.mark.slow
def test_a_search_asks_after_each_epoch_from_another_machine(ray_nodes: Any, project: Path) -> None:
    words = ["data=wine", "model=linear", "epochs=5", *QUICK, at(ray_nodes)]
    space = "tuner.space.optimizer.learning_rate={type: choice, values: [1e-2, 1e-7, 1e-6]}"
    search = ["tuner=grid", "tuner.study=there", "tuner.pruner=asha", "tuner.workers=2", space]
    assert main([*words, *search, "tuner.start_with_defaults=false"]) == 0
    study = find_study("there")
    assert study.best() is not None and study.best().values == {"optimizer.learning_rate": 1e-2}
    assert any(trial.state == PRUNED for trial in study.trials)


@pytest.mark.slow
def test_one_training_on_two_nodes(
    ray_nodes: Any, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=wine", "model=mlp", "epochs=3", "report=none", "tracking.system_metrics=false"]
    words.append("data.drop_remainder=true")  # as several processes have it
    team = ["strategy=multi_worker", "strategy.processes=2", "launcher=ray", at(ray_nodes)]
    assert main([*words, *team]) == 0
    assert "2 processes" in capsys.readouterr().out
    [record] = all_records()
    own_run = alone(*words)
    two = kx.load_run(record.run_id or "")
    assert two.history["train/loss"] == pytest.approx(own_run.history["train/loss"], abs=1e-5)


@pytest.mark.slow
def test_a_stop_ends_all_jobs(ray_nodes: Any, project: Path) -> None:
    process = launched("-m", *LONG, "seed=0,1,2", at(ray_nodes))
    wait_for(underway)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=90)
    assert process.returncode == 130 and "resume=auto continues" in said
    wait_for(lambda: {record.status for record in all_records()} == {"KILLED"}, 30)


@pytest.mark.slow
def test_a_ray_of_this_machine_listens_on_loopback_alone(project: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra kx[ray]")
    import psutil

    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "kx.run", "-m", *LONG],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
    )  # fmt: skip
    wait_for(underway)
    children = psutil.Process(process.pid).children(recursive=True)
    everybody = [process.pid, *(child.pid for child in children)]
    agents = [child.pid for child in children if child.name().endswith("Agent")]
    listening = {
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.pid in everybody
    }
    assert listening and listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, listening
    process.kill()  # and what it began ends with it
    process.communicate()
    wait_for(lambda: all(record.status == "KILLED" for record in all_records()), 60)
    ours = set(everybody) - set(agents)  # Ray's agents look for their parent now and then
    wait_for(lambda: not any(map(_runs, ours)), 60)


@pytest.mark.slow
def test_a_search_after_another_and_what_no_node_has(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clusters of this machine, one after the other, from one process."""
    pytest.importorskip("ray", reason="needs the extra kx[ray]")
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    script = (
        "import sys; from kx.run import main\n"
        "words = sys.argv[1:]\n"
        "codes = [main(['-m', *words, f'seed={seed}']) for seed in (0, 1)]\n"
        "codes.append(main(['-m', *words, 'launcher.cpus=64']))\n"
        "print(codes)"
    )
    words = ["data=wine", "model=linear", "epochs=1", "tracking=none", *QUICK]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=300
    )
    assert "[0, 0, 1]" in done.stdout, done.stdout + done.stderr
    assert "no node has what a job needs" in done.stderr


def test_what_is_missing_is_said(
    new_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["-m", "data=wine", "launcher=ray"]) == 1
    assert 'pip install "kx[ray]"' in capsys.readouterr().err
    assert not (new_project / "runs").exists() and not (new_project / "mlflow.db").exists()


@pytest.mark.parametrize("listens", [False, True], ids=["nobody", "a service that is silent"])
def test_a_cluster_that_is_not_there_is_said_soon(new_project: Path, listens: bool) -> None:
    pytest.importorskip("ray", reason="needs the extra kx[ray]")
    begun = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1] if listens else 1}"
        done = subprocess.run(
            [sys.executable, "-m", "kx.run", "-m", "data=wine", "launcher=ray",
             f"launcher.address={address}"],
            capture_output=True, text=True, check=False,
            env={**os.environ, "RAY_AUTH_MODE": "disabled"},
        )  # fmt: skip
    assert done.returncode == 1 and f"there is no cluster at {address}" in done.stderr
    assert ("does not answer as a Ray cluster" in done.stderr) == listens
    assert "Traceback" not in done.stderr and time.monotonic() - begun < 60
    assert not all_records() and not (new_project / "mlflow.db").exists()
