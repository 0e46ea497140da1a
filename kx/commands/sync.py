"""`kx sync`: sends the requests that could not reach the tracking store during a run."""

from __future__ import annotations

from kx.config import project_dir
from kx.errors import KxError
from kx.process import hidden_stderr
from kx.secrets import redact, scrub
from kx.tracking.mlflow.client import open_client
from kx.tracking.mlflow.outbox import Sender, waiting
from kx.tracking.records import Record, all_records, lock
from kx.tracking.store import full_uri


def sync() -> int:
    """Sends the requests in the outboxes of the project's runs.

    Returns:
        Exit code: 0 if all were sent, else 1.
    """
    code = 0
    found = [record for record in all_records() if waiting(record.folder / "outbox")]
    if not found:
        print(f"nothing waits in {project_dir() / 'runs'}: the tracking store has all")
    for record in found:
        try:
            held = lock(record.folder)
        except KxError:
            print(f"{record.name}: is running, and sends by itself")
            continue
        try:
            print(f"{record.name}: sending what {redact(record.uri)} lacks …", flush=True)
            code |= _send(record)
        except KxError as error:
            print(f"{record.name}: {error}")
            code = 1
        finally:
            held.release()
    return code


def _send(record: Record) -> int:
    """Sends the requests in a run's outbox, and returns the exit code."""
    outbox = record.folder / "outbox"
    count = waiting(outbox)
    sender = Sender(open_client(full_uri(record.uri)), str(record.run_id), outbox, quiet=True)
    with hidden_stderr():  # TensorFlow's logs, if a model is sent
        sender.flush(timeout_seconds=None)
        left = sender.close()
    if left:
        print(
            f"{record.name}: {left} of {count} requests still wait; {redact(record.uri)} says:"
            f" {scrub(sender.error)}"
        )
        return 1
    print(f"{record.name}: sent")
    return 0
