"""`kx sync`: sends what the tracking store lacks of runs that went on without it."""

from __future__ import annotations

from mlflow import MlflowClient

from kx.config import project_dir
from kx.tracking.provenance import redact
from kx.tracking.records import all_records, is_locked
from kx.tracking.sender import Sender, waiting


def sync() -> int:
    """Sends what waits in the outboxes of the project's runs, and returns the exit code."""
    code = 0
    found = [record for record in all_records() if waiting(record.folder / "outbox")]
    if not found:
        print(f"nothing waits in {project_dir() / 'runs'}: the tracking store has all")
    for record in found:
        if is_locked(record.folder):
            print(f"{record.name}: is running, and sends by itself")
            continue
        count = waiting(record.folder / "outbox")
        sender = Sender(
            MlflowClient(record.uri), str(record.run_id), record.folder / "outbox", quiet=True
        )
        sender.flush()
        left = sender.close()
        if left:
            code = 1
            print(
                f"{record.name}: {left} of {count} requests still wait; {redact(record.uri)} says:"
                f" {sender.error}"
            )
        else:
            print(f"{record.name}: sent")
    return code
