"""`kx ui`: MLflow's UI on the store that the runs went to."""

from __future__ import annotations

import os
import subprocess
import sys

from kx.provenance import redact
from kx.store import artifact_location, store_uri


def open_ui(uri: str | None, *, host: str, port: int) -> int:
    """Starts MLflow's UI, and waits until it is stopped.

    Args:
        uri: of the store. None is the project's.
        host: to listen on.
        port: to listen on.
    """
    where = store_uri(uri)
    if where.startswith(("http://", "https://")):
        print(f"The runs are on a server that has its own UI: {redact(where)}")
        return 0
    print(
        f"MLflow UI on {redact(where)}\n\n  http://{host}:{port}/?workflowType=machine_learning\n"
    )
    print("Stop it with Ctrl-C.", flush=True)
    command = [
        sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", where,
        "--host", host, "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    root = artifact_location(where, "other")
    if root is not None:  # where experiments go that are made in the UI
        command += ["--default-artifact-root", root.rpartition("/")[0]]
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 0.5 GB in place of 3
    }
    process = subprocess.Popen(command, env=environment)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        return 0
