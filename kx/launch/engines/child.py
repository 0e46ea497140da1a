"""Entry point of the process that trains one job."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import queue
import signal
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from kx.config import Composed, add_project_to_path
from kx.errors import KxError
from kx.secrets import scrub
from kx.signals import stoppable
from kx.tracking.records import Record, identity
from kx.tracking.run_folder import literal

_GRACE_SECONDS = 15.0
_STORE_SECONDS = 600.0  # how long a starting job waits for a tracking server that is down


@dataclass
class JobSpec:
    """Holds the specification of a job for its process.

    Args:
        config: Composed config, with interpolations unresolved.
        overrides: Overrides of the job.
        choices: Chosen option of each config group.
        tags: Tags of its run.
        log: Path to the log file for its output.
        begun: Path to a file that contains the path to the run's folder once the run
            has started. A later attempt resumes that run.
        project: Path to the launcher's project folder, in which the job runs if its
            machine shares it.
        marker: Path to a file that the launcher created in its project folder: a machine
            that sees it shares that folder. Defaults to None: all machines share it.
        cores: Numbers of the CPU cores that the job may use. Defaults to None: all.
        environment: Further environment variables.
        threads: Number of TensorFlow threads, unless the config sets it. Defaults to
            None: one per core.
        options: Further arguments of `kx.training.train`.
        asks: Whether the job asks after every epoch if it should continue.
            Defaults to False.
        leads: Whether the process owns the run, instead of another one that trains
            with it. Defaults to True.
    """

    config: dict[str, Any]
    overrides: list[str]
    choices: dict[str, str]
    tags: dict[str, str]
    log: Path
    begun: Path
    project: Path
    marker: Path | None = None
    cores: list[int] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    threads: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    asks: bool = False
    leads: bool = True

    @property
    def shared(self) -> bool:
        """Returns whether this machine shares the launcher's project folder."""
        return self.marker is None or self.marker.is_file()


def main(order: JobSpec, events: Connection, alive: Connection) -> None:
    """Trains a job, and reports its progress to the launcher. Exits the process.

    Args:
        order: Specification of the job.
        events: Connection to which messages `(kind, values)` are sent.
        alive: Connection from which the launcher's answers are received. It is closed
            when the launcher is gone.
    """
    _prepare(order)
    answers: queue.Queue[bool] = queue.Queue()
    threading.Thread(target=_hear_launcher, args=(alive, answers), daemon=True).start()

    def say(kind: str, values: Mapping[str, Any]) -> bool:
        """Sends a message to the launcher, and returns whether training should stop."""
        if kind == "folder" and order.leads:
            order.begun.write_text(str(values["folder"]), encoding="utf-8")
        try:
            events.send((kind, dict(values)))
        except OSError:  # the launcher is gone: the listening thread ends this process
            pass
        return kind == "epoch" and order.asks and not answers.get()

    say("process", {"pid": os.getpid()})
    code = 1
    try:
        with stoppable():
            metrics = _train(order, say)
        say("end", {"state": "FINISHED", "metrics": metrics})
        code = 0
    except KeyboardInterrupt:
        say("end", {"state": "KILLED", "error": "stopped"})
        code = 130
    except KxError as error:
        print(f"kx: {error}", file=sys.stderr)
        say("end", {"state": "FAILED", "error": scrub(error)})
    except BaseException as error:
        traceback.print_exc()
        say("end", {"state": "FAILED", "error": scrub(f"{type(error).__name__}: {error}")})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # TensorFlow's shutdown can take seconds


def _prepare(order: JobSpec) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in the terminal reaches only the launcher, which stops its jobs
    os.environ.update(order.environment)
    tempfile.tempdir = None  # makes tempfile read TMPDIR again
    if order.shared:
        os.chdir(order.project)
    else:  # another machine, with a folder of its own
        own = Path.cwd() / "runs"
        own.mkdir(exist_ok=True)
        order.log, order.begun = own / order.log.name, own / f"{uuid.uuid4().hex}.folder"
        if order.config.get("run_dir"):
            there = Path(order.config["run_dir"])  # other projects may use the same name
            unique = hashlib.sha256(str(there).encode()).hexdigest()[:8]
            order.config["run_dir"] = literal(own / f"{there.name}-{unique}")
    if order.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order.cores)
    order.log.parent.mkdir(parents=True, exist_ok=True)
    new = 0 if order.begun.exists() else os.O_TRUNC  # keeps the log of an earlier attempt
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | new, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    sys.stdout, sys.stderr = _Scrubbed(1), _Scrubbed(2)


class _Scrubbed(io.TextIOWrapper):
    """Wraps a file descriptor as a text stream that removes known secrets."""

    def __init__(self, number: int) -> None:
        binary = os.fdopen(number, "wb", buffering=0)
        super().__init__(binary, encoding="utf-8", errors="replace", write_through=True)

    def write(self, text: str) -> int:
        super().write(scrub(text))
        return len(text)


def _train(order: JobSpec, say: Any) -> Mapping[str, float]:
    """Trains the job, and returns its final metrics."""
    add_project_to_path()
    job = Composed(OmegaConf.create(order.config), order.overrides, order.choices)
    _refuse_lost_store(order, job)
    if order.begun.exists():  # run again, after its process was lost
        folder = Path(order.begun.read_text(encoding="utf-8"))
        record = Record.read(folder)
        ours = record if record and record.identity == identity(job) else None
        if ours and ours.status == "FINISHED":  # but its end was not reported
            begun = {"name": ours.name, "id": ours.run_id or "", "folder": str(folder)}
            say("run", {**begun, "history": {}})
            return ours.metrics
        job.config.run_dir = literal(folder)
        job.config.resume = "auto"
    from kx.process import choose_backend, import_quietly

    choose_backend(job.config.backend)
    import_quietly()
    from kx.training import train

    threads = {"intra_op": order.threads, "inter_op": order.threads} if order.threads else None
    run = train(job, tags=order.tags, watch=say, threads=threads, **order.options)
    return run.metrics


def _refuse_lost_store(order: JobSpec, job: Composed) -> None:
    """Waits for a tracking server; raises if a file store is not in a shared folder."""
    from kx.tracking.store import await_server, store_uri

    uri = store_uri(job.config.tracking.uri)
    if job.config.tracking.enabled:  # the launcher has reached it: the URI is right
        await_server(uri, _STORE_SECONDS)
    in_a_file = uri.startswith(("sqlite:", "file:"))
    if in_a_file and job.config.tracking.enabled and not order.shared:
        raise KxError(
            f"{platform.node()} does not share the folder {order.project}, in which the tracking"
            " store is. Share the project's folder among the machines, or track into a server:"
            " tracking.uri=http://…"
        )


def _hear_launcher(alive: Connection, answers: queue.Queue[bool]) -> None:
    """Queues the launcher's answers, and ends this process when the launcher is gone."""
    try:
        while True:
            answers.put(alive.recv())
    except (EOFError, OSError):
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # ends cleanly, and marks the run as KILLED
    time.sleep(_GRACE_SECONDS)
    os._exit(1)  # by force, if SIGTERM had no effect in time
