"""`kx ui`: MLflow's UI for the tracking store of the runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

from kx.errors import KxError
from kx.secrets import redact
from kx.tracking.store import artifact_location, store_uri


def open_ui(uri: str | None, host: str, port: int) -> int:
    """Starts MLflow's UI, and waits until it is stopped.

    Args:
        uri: URI of the tracking store. None: `MLFLOW_TRACKING_URI`, or the project's.
        host: Host name or address to listen on.
        port: Port to listen on.

    Returns:
        Exit code of the server; 0 if it is stopped with Ctrl-C.

    Raises:
        KxError: If the port cannot be used.
    """
    where = store_uri(uri)
    if where.startswith(("http://", "https://")):
        print(f"The runs are on a server that has its own UI: {redact(where)}")
        return 0
    _refuse_busy(host, port)
    print(
        f"MLflow UI on {redact(where)}\n\n  http://{host}:{port}/?workflowType=machine_learning\n"
    )
    print("Stop it with Ctrl-C.", flush=True)
    command = [
        sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    root = artifact_location(where, "other")
    if root is not None:  # for experiments created in the UI
        command += ["--default-artifact-root", root.rpartition("/")[0]]
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": where,  # not an argument: it may contain a password
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # needs 0.5 GB instead of 3
    }
    # A separate session, so that the server's worker processes end with it.
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _end(process)


def _refuse_busy(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise KxError(
                f"Port {port} of {host} cannot be used: {error.strerror}. Is another kx ui"
                f" running? Choose another port: kx ui --port {port + 1}"
            ) from error


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the server and its workers."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.terminate()
    except ProcessLookupError:
        return
    process.wait()
