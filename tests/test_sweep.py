"""`-m`: each job in a process of its own; one that fails does not stop the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kx.tracking.run_list import list_runs
from kx.tracking.store import store_uri


def test_a_sweep_runs_each_job_and_tells_of_the_failed(project: Path) -> None:
    words = ["-m", "model=linear,mlp,cnn", "data=wine", "epochs=1", "report=none"]
    done = subprocess.run(
        [sys.executable, "-m", "kx.run", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "2 of 3 jobs finished; failed: [3]" in done.stdout
    assert "model=cnn expects images" in done.stderr and "Traceback" not in done.stderr
    models = [run.data.params["model"] for run in list_runs(store_uri())]
    assert models == ["mlp", "linear"]  # the last one started first
