"""`launcher=slurm` on a real Slurm."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

import kx
from kx.launch.engines import remote_job as relay
from kx.run import main
from kx.search.study import find_study
from kx.tracking.mlflow.run_list import list_runs
from kx.tracking.records import Record, all_records
from kx.tracking.store import store_uri
from services.helpers import alone, asked, launched, queue, underway, wait_for, without_times

QUICK = ["report=none", "tracking.system_metrics=false", "launcher=slurm"]
# Some ten seconds, so that it can be interrupted.
LONG = [
    "data=digits", "split.limit=600", "model=cnn", "model.filters=[8]", "epochs=60",
    "callbacks=none", *QUICK,
]  # fmt: skip


def test_a_sweep_is_one_array_and_tells_of_the_failed(
    slurm: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=wine", "model=linear,cnn", "epochs=3", *QUICK]
    assert main(["-m", *words]) == 1
    said = capsys.readouterr().out
    assert "job 1 of 2 is queued" in said and "job 1 of 2 began on " in said
    assert "finished in" in said and "expects images" in said and "1 of 2 jobs failed" in said
    runs = {run.data.tags.get("kx.kind", "job"): run for run in list_runs(store_uri())}
    jobs = [run for run in list_runs(store_uri()) if "kx.job" in run.data.tags]
    assert {run.info.status for run in jobs} == {"FINISHED"}, "the other one never began"
    group = runs["sweep"].info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in jobs} == {group}
    names = {file.path for file in MlflowClient(store_uri()).list_artifacts(group, "sweep")}
    assert "sweep/results.csv" in names
    assert len({line.split()[0] for line in queue()}) == 0
    assert not list((project / "runs").glob(".slurm-*"))
    numbers = asked("scontrol", "-o", "show", "jobs")
    assert "ArrayTaskId=0" in numbers and "ArrayTaskId=1" in numbers


def preempt(job: str) -> None:
    asked("sbatch", "-p", "high", "-c", "2", "-o", "/dev/null", "--wrap", "sleep 1")


def tell_to_end(job: str) -> None:  # as preempted jobs are, where Slurm sends no other signal
    asked("scancel", "--signal=TERM", job)


def say_that_time_is_up(job: str) -> None:  # as Slurm does before the limit
    asked("scancel", "--signal=USR2", job)


@pytest.mark.slow
@pytest.mark.parametrize("reasons", [(preempt, tell_to_end), (say_that_time_is_up,)])
def test_a_job_that_must_leave_goes_on_with_its_next_turn(
    slurm: Path, project: Path, reasons: tuple[Callable[[str], None], ...]
) -> None:
    process = launched("-m", *LONG, "launcher.cpus=2")
    pids: set[int] = set()
    for leave in reasons:
        wait_for(lambda: (record := underway()) is not None and record.pid not in pids)
        pids.update(record.pid for record in all_records())
        [line] = [line for line in queue() if not line.endswith("high")]
        leave(line.split()[0])
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    turns = len(reasons) + 1
    assert said.count("job 1 began on") + said.count("job 1 of 1 began on") == turns, said
    [record] = all_records()
    assert record.status == "FINISHED"
    kept = kx.load_run(record.run_id or "")
    assert kept.status == "FINISHED" and len(kept.history["train/loss"]) == 60
    log = next((project / "runs").glob("sweep-*/job-001.log")).read_text(encoding="utf-8")
    assert log.count("continues after epoch") == len(reasons)
    # Threads change the numbers: two, as that job had.
    words = [word for word in LONG if word != "launcher=slurm"]
    whole = alone(*words, "threads.intra_op=2", "threads.inter_op=2")
    assert without_times(kept) == without_times(whole)


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_goes_on_and_a_stop_empties_the_queue(
    slurm: Path, project: Path
) -> None:
    space = "tuner.space.optimizer.learning_rate={type: float, min: 1e-4, max: 1e-2, sampling: log}"
    words = [*LONG, "tuner=random", "tuner.max_trials=2", "tuner.workers=2", space]
    process = launched(*words, "tuner.study=here")
    wait_for(underway)
    record = underway()
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    wait_for(lambda: Record.read(record.folder).pid != record.pid)  # type: ignore[union-attr]
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=90)
    assert process.returncode == 130 and "is run again (1 of 1)" in said, said
    wait_for(lambda: not queue(), 60)
    done = launched(*words, "tuner.study=here")
    said, _ = done.communicate(timeout=240)
    assert done.returncode == 0, said
    study = find_study("here")
    assert [trial.state for trial in study.trials] == ["COMPLETED"] * 2
    for trial in study.trials:
        run = kx.load_run(trial.executions[0].run_id)
        assert len(run.history["train/loss"]) == 60


@pytest.mark.slow
def test_the_tasks_of_a_step_train_together(slurm: Path, project: Path) -> None:
    words = ["data=wine", "model=mlp", "epochs=3", "report=none", "tracking.system_metrics=false"]
    step = ["srun", "-K", "-n", "2", "-c", "1", "--overcommit", sys.executable, "-m", "kx.run"]
    said = asked(*step, *words, "strategy=multi_worker")
    assert said.count("in mlflow.db") == 1, "one of them keeps the run"
    [record] = all_records()
    own_run = alone(*words)
    two = kx.load_run(record.run_id or "")
    assert two.history["train/loss"] == pytest.approx(own_run.history["train/loss"], abs=1e-5)


def test_what_is_missing_is_said(
    new_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("submitit", reason="needs the extra kx[slurm]: submitit")
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["-m", "data=wine", "launcher=slurm"]) == 1
    assert "there is no `sbatch` on this machine" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert main(["-m", "data=wine", "launcher=slurm"]) == 1
    assert 'pip install "kx[slurm]"' in capsys.readouterr().err
    assert not (new_project / "runs").exists() and not (new_project / "mlflow.db").exists()


def test_a_parameter_that_slurm_refuses_is_told_in_its_words(
    slurm: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", "data=wine", *QUICK, "launcher.partition=moon"]) == 1
    assert "invalid partition" in capsys.readouterr().out


def test_a_launcher_that_is_silent_for_long_counts_as_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(relay, "_BEAT_SECONDS", 0.1)
    beat = relay.Heartbeat(tmp_path / "beat")
    channel = relay.Folder(tmp_path, beat.path)
    assert channel.awaits_beat()
    for _ in range(15):
        time.sleep(0.1)
        assert not channel.gone()
    beat.end()
    wait_for(channel.gone, 5)
    assert not relay.Folder(tmp_path, beat.path).awaits_beat()


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    lines = relay.JsonLines(tmp_path / "events")
    assert lines.read() == []
    lines.write(["epoch", {"loss": float("nan")}])
    [[kind, values]] = lines.read()
    assert kind == "epoch" and values["loss"] != values["loss"]
    with (tmp_path / "events").open("a") as file:
        file.write('["ex')
        file.flush()
        assert lines.read() == []
        file.write('it", {}]\n')
    assert lines.read() == [["exit", {}]]
