"""`-m`: each job in a fresh process, some at a time, none of which harms another."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient
from scripted import ScriptedEngine, accuracy

import kx
from kx.config import compose, plain
from kx.console import clock
from kx.errors import KxError
from kx.launch.engines import child
from kx.launch.engines.local import cores_for, gpu_for
from kx.launch.jobs import Job
from kx.launch.pool import JobList
from kx.launch.table import ranked, seconds_left
from kx.run import main
from kx.search.study import find_study
from kx.tracking.mlflow.run_list import list_runs
from kx.tracking.records import all_records
from kx.tracking.store import store_uri

QUICK = ["report=none", "tracking.system_metrics=false"]


def sweep(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "kx.run", "-m", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def run_sweep(*words: str) -> tuple[int, str]:
    """Sweeps from this process, whose fork server is started only once; returns code and text."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(["-m", *words])
    return code, said.getvalue()


def results(project: Path) -> list[dict[str, str]]:
    [path] = (project / "runs").glob("sweep-*/results.csv")
    return list(csv.DictReader(path.open()))


def test_a_sweep_runs_each_job_and_tells_of_the_failed(project: Path) -> None:
    code, text = run_sweep(
        "model=linear,mlp,cnn", "data=wine", "epochs=3", "launcher.workers=2", *QUICK
    )
    assert code == 1, text
    assert "1 of 3 jobs failed: 3" in text
    assert "model=cnn expects images" in text and "Traceback" not in text
    rows = results(project)
    assert [row["state"] for row in rows] == ["FINISHED", "FINISHED", "FAILED"]
    scores = [float(row["best/val_accuracy"]) for row in rows[:2]]
    assert scores == sorted(scores, reverse=True)  # the best first
    assert {row["model"] for row in rows} == {"linear", "mlp", "cnn"}
    runs = list_runs(store_uri())
    [parent] = [run for run in runs if run.data.tags.get("kx.kind") == "sweep"]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.data.params["model"] for run in children} == {"linear", "mlp"}
    assert parent.info.status == "FAILED"
    names = {
        item.path for item in MlflowClient(store_uri()).list_artifacts(parent.info.run_id, "sweep")
    }
    assert names == {"sweep/results.csv", "sweep/comparison.png"}


def test_a_job_has_the_numbers_of_a_run_of_its_own(project: Path) -> None:
    words = ["data=wine", "epochs=3", "model.dropout=0.2", *QUICK]
    _, text = run_sweep("seed=3,4", *words)
    alone = kx.train(*words, "seed=4", quiet=True)
    [row] = [row for row in results(project) if row["seed"] == "4"]
    job = kx.load_run(row["run_id"])
    assert job.history["val/loss"] == alone.history["val/loss"], text
    logs = sorted((project / "runs").glob("sweep-*/job-*.log"))
    assert len(logs) == 2
    assert all(re.search(r"^epoch 3/3", log.read_text(), re.MULTILINE) for log in logs)


def test_every_mistake_of_a_sweep_is_told_before_the_first_job(project: Path) -> None:
    code, text = run_sweep(
        "model=mlp,mpl", "data=wine", "optimizer.learning_rate=1e-3,-1", "epochz=3"
    )
    assert code == 1
    for said in ("'mpl'", "greater than 0", "epochz"):
        assert said in text
    assert not (project / "runs").exists() and "Traceback" not in text


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra/launcher=joblib", "launcher.workers=N"),
        ("hydra/sweeper=optuna", "Use -m with"),
        ("launcher.workers=0", "at least 1"),
        ("launcher.workers=1,2", "one sweep has one launcher"),
        ("seed=0,0", "the same config"),
        ("run_dir=x", "a folder of its own"),
        ("resume=latest", "continues one run"),
        ("seed=range(0,0)", "has no job"),
    ],
)
def test_other_launchers_are_refused_with_our_way(project: Path, word: str, said: str) -> None:
    code, text = run_sweep("model=mlp,linear", "data=wine", word)
    assert code == 1 and said in text and "Traceback" not in text


def wait_for(text: str, process: subprocess.Popen[str]) -> str:
    assert process.stdout
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} did not come:\n{seen}")


def training_jobs() -> list[psutil.Process]:
    """The processes of jobs that were begun in this test's folder."""
    here, found = os.getcwd(), []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if "forkserver" in words and process.cwd() == here:
                found.append(process)
        except psutil.Error:
            continue
    return found


LONG = ["data=digits", "model.filters=[4]", "epochs=400", "callbacks=none", *QUICK]


def epochs_of_all() -> list[int]:
    return [record.epochs_done for record in all_records()]


def wait_until(condition, seconds: float = 90.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_no_job_outlives_its_launcher(project: Path, how: int) -> None:
    process = sweep("seed=0,1,2", *LONG, "launcher.workers=2")
    wait_until(lambda: len([n for n in epochs_of_all() if n > 1]) == 2)
    process.send_signal(how)
    begun = time.monotonic()
    text, _ = process.communicate(timeout=60)
    wait_until(lambda: not training_jobs(), 30)
    assert time.monotonic() - begun < 20
    wait_until(lambda: {r.status for r in all_records()} == {"KILLED"}, 20)
    stored = [r for r in list_runs(store_uri()) if "kx.job" in r.data.tags]
    assert {run.info.status for run in stored} == {"KILLED"}
    assert process.returncode == 130
    assert "resume=auto continues" in text and "Traceback" not in text


def test_a_sweep_that_was_killed_leaves_no_job_and_goes_on_with_what_is_missing(
    project: Path,
) -> None:
    words = ["seed=0,1,2", "data=wine", "epochs=60", "callbacks=none", *QUICK]
    process = sweep(*words)
    wait_until(lambda: len(epochs_of_all()) == 2 and epochs_of_all()[0] > 1)  # the last begun first
    process.kill()
    killed = time.monotonic()
    process.communicate()
    wait_until(lambda: not training_jobs(), 30)
    assert time.monotonic() - killed < 20
    assert [record.status for record in all_records()] == ["KILLED", "FINISHED"]
    stored = [r for r in list_runs(store_uri()) if "kx.job" in r.data.tags]
    assert {run.info.status for run in stored} == {"KILLED", "FINISHED"}
    before = {record.name: record.epochs_done for record in all_records()}
    _, text = run_sweep(*words, "resume=auto")
    rows = results(project)
    assert sorted(row["state"] for row in rows) == ["FINISHED", "FINISHED", "KEPT"], text
    assert set(before) < {row["run_name"] for row in rows} and len(all_records()) == 3
    [cut] = [row for row in rows if 0 < before.get(row["run_name"], 0) < 60]
    alone = kx.train(*words[1:], f"seed={cut['seed']}", quiet=True)
    assert kx.load_run(cut["run_id"]).history["val/loss"] == alone.history["val/loss"]
    parents = [r for r in list_runs(store_uri()) if r.data.tags.get("kx.kind") == "sweep"]
    assert [run.info.status for run in parents] == ["FINISHED"]


def test_a_job_that_hangs_is_ended_and_the_others_go_on(
    project: Path, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock of its own, which only the second job lets run: a minute an epoch."""
    now = [1.0]
    monkeypatch.setattr("kx.launch.jobs.time", SimpleNamespace(monotonic=lambda: now[0]))

    def scores(config: Any, epoch: int) -> float:
        now[0] += 60.0 * (config.seed == 1)
        return accuracy(config, epoch)

    scripted.scores = scores
    code, text = run_sweep("seed=0,1", "data=wine", "epochs=20", "launcher.timeout_minutes=5")
    assert code == 1
    assert "stopped after 5 minutes" in text
    assert [row["state"] for row in results(project)] == ["FINISHED", "FAILED"]
    assert sorted(epochs_of_all()) == [6, 20]


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group of the kernel with a limit of memory; skips where none can be made."""
    for folder, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        group = Path("/sys/fs/cgroup", folder, f"kx-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(2 << 30))
            yield group
            return
        except OSError:
            continue
        finally:
            group.rmdir()
    pytest.skip("needs the right to make a control group with a limit of memory")


HUNGRY = """
import resource
from pathlib import Path

import keras
import psutil


class Hungry(keras.callbacks.Callback):
    def __init__(self, group: str = ""):
        super().__init__()
        self.group = group

    def on_epoch_end(self, epoch, logs=None):
        if self.group == "address space":
            limit = psutil.Process().memory_info().vms + (1 << 30)
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        elif self.group:
            Path(self.group, "cgroup.procs").write_text("0")
        else:
            return
        eaten = []
        while len(eaten) < 200:
            eaten.append(bytearray(50_000_000))
        raise AssertionError("there was no limit")
"""


def test_a_job_that_the_kernel_kills_for_memory_harms_no_other(
    project: Path, memory_group: Path
) -> None:
    (project / "hungry.py").write_text(HUNGRY)
    words = ["+callbacks.hungry._target_=hungry.Hungry", "data=wine", "epochs=2", *QUICK]
    _, text = run_sweep(f"+callbacks.hungry.group={memory_group},''", *words)
    assert "killed (SIGKILL)" in text and "1 of 2 jobs failed: 1" in text
    [failed] = [row for row in results(project) if row["state"] == "FAILED"]
    assert MlflowClient(store_uri()).get_run(failed["run_id"]).info.status == "FAILED"


def test_a_job_without_memory_says_so_and_harms_no_other(project: Path) -> None:
    (project / "hungry.py").write_text(HUNGRY)
    words = ["+callbacks.hungry._target_=hungry.Hungry", "data=wine", "epochs=2", *QUICK]
    _, text = run_sweep("+callbacks.hungry.group='address space',''", *words, "tracking=none")
    assert "Memory ran out" in text and "1 of 2 jobs failed: 1" in text
    assert "a smaller batch_size" in " ".join(text.split())


@pytest.mark.slow
def test_a_fork_server_that_dies_is_started_again(project: Path) -> None:
    process = sweep("seed=0,1", "data=digits", "model.filters=[4]", "epochs=8", *QUICK)
    wait_until(lambda: any(n > 0 for n in epochs_of_all()))
    servers = [p for p in training_jobs() if p.ppid() == process.pid]
    assert servers
    for server in servers:
        server.kill()
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    assert [row["state"] for row in results(project)] == ["FINISHED"] * 2


def job(number: int, state: str, score: float | None = None) -> Job:
    from kx.config import compose

    made = Job(number, compose(["data=wine", "epochs=10"]), [f"seed={number}"], Path("none"))
    made.state = state
    if score is not None:
        made.metrics = {"best/val_accuracy": score}
    return made


def test_a_job_that_begins_again_has_its_whole_time_limit() -> None:
    again = job(1, "WAITING")
    again.begin()
    again.end("FAILED", "its process was lost")
    again.begin()
    time.sleep(0.01)
    assert 0 < again.seconds < 60 and not again.end_if_longer(1)
    assert again.end_if_longer(1e-9) and again.state == "FAILED"


def test_results_are_ranked_by_the_tasks_metric() -> None:
    jobs = [job(1, "FINISHED", 0.5), job(2, "FAILED"), job(3, "FINISHED", 0.9), job(4, "KEPT", 0.7)]
    assert [item.number for item in ranked(jobs)] == [3, 4, 1, 2]


def test_time_left_is_told_from_the_epochs_so_far() -> None:
    first = job(1, "FINISHED")
    first._begun, first._ended, first.epoch = 1.0, 21.0, 10
    assert seconds_left([first, job(2, "WAITING"), job(3, "WAITING")], workers=2) == 20
    assert seconds_left([job(1, "WAITING")], workers=1) is None
    assert (clock(75), clock(3725)) == ("1:15", "1:02:05")


def test_cores_are_shared_out() -> None:
    cores = sorted(os.sched_getaffinity(0))
    shares = [cores_for(slot, 2) for slot in range(2)]
    assert sorted(core for share in shares for core in share or []) == sorted(
        set(cores) | set(cores[:1] * (2 - min(2, len(cores))))
    )
    assert cores_for(0, 1) is None
    assert all(cores_for(slot, 99) for slot in range(99))


def test_workers_share_out_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_each(gpus: str, workers: int) -> list[str | None]:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
        found = [gpu_for(slot, workers) for slot in range(workers)]
        grow = [share.get("TF_FORCE_GPU_ALLOW_GROWTH") for share in found]
        assert all((word == "true") is (workers > len(gpus.split(","))) for word in grow)
        return [share.get("CUDA_VISIBLE_DEVICES") for share in found]

    assert of_each("0,1,2,3", 2) == ["0,2", "1,3"]
    assert of_each("5,7", 2) == ["5", "7"]
    assert of_each("0", 2) == ["0", "0"]
    assert of_each("0,1", 1) == [None], "a single worker has all"


def test_a_machine_that_shares_no_folder_refuses_a_store_in_a_file(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runs would be where nobody finds them; with a server they are in its own folder."""
    there = tmp_path / "node"
    there.mkdir()
    monkeypatch.chdir(there)
    job = compose(["data=wine", f"run_dir={project}/runs/a"])
    order = child.JobSpec(
        plain(job.config), job.overrides, job.choices, {}, project / "a.log", project / "a.folder",
        project, marker=project / "not there",
    )  # fmt: skip
    assert not order.shared
    with pytest.raises(KxError, match="does not share the folder"):
        child._refuse_lost_store(order, job)
    job.config.tracking.uri = "http://127.0.0.1:1"
    monkeypatch.setattr(child, "_STORE_SECONDS", 0.0)
    child._refuse_lost_store(order, job)
    (project / "not there").touch()
    assert order.shared


# --- an engine that cannot start jobs


@pytest.mark.parametrize(
    ("refused", "code", "states"),
    [
        ({2, 3}, 0, ["FINISHED"] * 3),
        (set(range(2, 99)), 1, ["FINISHED"]),
    ],
    ids=["for a moment", "for good"],
)
def test_a_job_that_cannot_be_started_is_tried_again_and_the_others_wait(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    scripted: ScriptedEngine, refused: set[int], code: int, states: list[str],
) -> None:  # fmt: skip
    scripted.refused = refused
    monkeypatch.setattr("kx.launch.pool._BACK_OFF_SECONDS", 0.1)
    words = ["data=wine", "model=linear", "epochs=1", "report=none", "tracking=none"]
    assert main(["-m", *words, "seed=0,1,2"]) == code
    said = capsys.readouterr().out
    assert [record.status for record in all_records()] == states
    if code:
        assert scripted.starts == 4
        assert "resume=auto continues" in said and "Socket timed out" in said


def test_a_search_whose_trials_cannot_be_started_is_not_finished(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    scripted: ScriptedEngine,
) -> None:  # fmt: skip
    scripted.refused = set(range(2, 99))
    words = ["data=wine", "model=linear", "epochs=1", "report=none", "tracking=none",
             "tuner=random", "tuner.max_trials=3", "tuner.study=s", "tuner.winner=none",
             "tuner.space.batch_size={type: choice, values: [16, 32, 48, 64]}"]  # fmt: skip
    monkeypatch.setattr("kx.launch.pool._BACK_OFF_SECONDS", 0.1)
    assert main(words) == 1
    scripted.refused = set()
    assert "the same command continues" in capsys.readouterr().out
    assert [trial.state for trial in find_study("s").trials] == ["COMPLETED", "RUNNING"]
    assert main(words) == 0
    assert [trial.state for trial in find_study("s").trials] == ["COMPLETED"] * 3


def test_a_job_ends_though_what_it_has_forked_lives_on(project: Path) -> None:
    """The pipe by which it is heard is still open in a process that it has left behind."""
    (project / "mine.py").write_text(
        "import multiprocessing, time\nimport kx.data.sources.tables.embedded as tables\n\n"
        "def load():\n"
        "    method = multiprocessing.get_context('fork')\n"
        "    method.Process(target=time.sleep, args=(60,), daemon=True).start()\n"
        "    return tables.wine()\n",
        encoding="utf-8",
    )
    (project / "conf" / "data").mkdir(parents=True)
    (project / "conf" / "data" / "mine.yaml").write_text("_target_: mine.load\n")
    begun = time.monotonic()
    words = ["data=mine", "model=linear", "epochs=1", "report=none", "tracking=none"]
    assert main(["-m", *words, "seed=0"]) == 0
    assert time.monotonic() - begun < 50


def test_a_job_that_is_killed_before_its_training_goes_on_in_its_folder(project: Path) -> None:
    (project / "mine.py").write_text(
        "import os, pathlib, signal\nimport kx.data.sources.tables.embedded as tables\n\n"
        "def load():\n"
        "    if not pathlib.Path('tried').exists():\n"
        "        pathlib.Path('tried').touch()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return tables.wine()\n",
        encoding="utf-8",
    )
    (project / "conf" / "data").mkdir(parents=True)
    (project / "conf" / "data" / "mine.yaml").write_text("_target_: mine.load\n")
    words = ["data=mine", "model=linear", "epochs=1", "report=none", "tracking=none"]
    assert main(["-m", *words, "run_dir=here", "seed=0", "launcher.max_retries=1"]) == 0
    [record] = all_records()
    assert record.status == "FINISHED" and record.folder == project / "here"


@pytest.mark.parametrize(
    ("states", "errors", "begins"),
    [
        (["FAILED"] * 5, ["no such file"] * 5, False),
        (["FAILED"] * 4, ["no such file"] * 4, True),
        (["FAILED"] * 5, ["no such file"] * 4 + ["NaN"], True),
        (["FAILED"] * 4 + ["FINISHED"], ["no such file"] * 4 + [""], True),
        (["KILLED"] * 5, ["stopped"] * 5, True),
    ],
)
def test_jobs_that_all_fail_alike_begin_no_other(
    states: list[str], errors: list[str], begins: bool
) -> None:
    jobs = [job(number, "WAITING") for number in range(1, 9)]
    for one, state, error in zip(jobs, states, errors, strict=False):
        one.state, one.error = state, error
    listed = JobList(jobs)
    assert (listed.next() is not None) == begins
    assert listed.same_error == ("" if begins else "no such file")
