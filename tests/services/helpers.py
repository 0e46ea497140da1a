"""What the tests of services share."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import kx
from kx.callbacks import TIMINGS
from kx.tracking.records import Record, all_records

BEGUN: list[subprocess.Popen[str]] = []  # what a test that fails leaves behind is killed


def launched(*words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "kx.run", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    BEGUN.append(process)
    return process


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def asked(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


def queue() -> list[str]:
    return asked("squeue", "-h", "-o", "%A %T %P").splitlines()


def underway() -> Record | None:
    """The run that has trained for some epochs, and has some to go."""
    found = [record for record in all_records() if record.status == "RUNNING"]
    return next((record for record in found if 2 <= record.epochs_done <= 40), None)


def alone(*words: str) -> kx.Run:
    """Trains a run in a fresh process, which has the threads that it is told."""
    done = subprocess.run(
        [sys.executable, "-m", "kx.run", *words, "tracking.run_name=alone"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = [one for one in all_records() if one.name == "alone"]
    run = kx.load_run(record.run_id or "")
    record.name = "was alone"
    record.write()
    return run


def without_times(run: kx.Run) -> dict[str, list[float]]:
    return {name: values for name, values in run.history.items() if name not in TIMINGS}
