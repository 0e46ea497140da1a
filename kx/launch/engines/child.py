"""The process of one job of a sweep."""

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
_STORE_SECONDS = 600.0  # for which a tracking server may be away when a job begins


@dataclass
class JobSpec:
    """Holds what a job's process is told.

    Args:
        config: composed, interpolations unresolved.
        overrides: the words of the job.
        choices: group to chosen option.
        tags: of its run.
        log: file for what it prints.
        begun: file that says where its run is, once that has begun: it goes on there.
        project: the launcher's folder; the job's too, where there is one.
        marker: file that the launcher has put into its folder: a machine that sees
            it shares that folder. None where all do.
        cores: the CPU cores that it may use; None for all.
        environment: further environment variables.
        threads: of TensorFlow, where the config leaves them open; None for all cores.
        options: further arguments of `kx.training.train`.
        asks: whether it asks after every epoch if it is to go on.
        leads: whether the run is its own, and not another process's.
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
        """Whether this machine shares the launcher's folder."""
        return self.marker is None or self.marker.is_file()


def main(order: JobSpec, events: Connection, alive: Connection) -> None:
    """Trains a job, and says how it goes.

    Args:
        order: the job.
        events: where it says so: `(kind, values)`.
        alive: closed when the launcher is gone. Its answers come from there, too.
    """
    _prepare(order)
    answers: queue.Queue[bool] = queue.Queue()
    threading.Thread(target=_hear_launcher, args=(alive, answers), daemon=True).start()

    def say(kind: str, values: Mapping[str, Any]) -> bool:
        """Says a thing, and returns whether the training is to stop."""
        if kind == "folder" and order.leads:
            order.begun.write_text(str(values["folder"]), encoding="utf-8")
        try:
            events.send((kind, dict(values)))
        except OSError:  # no launcher listens: the listening thread ends this process
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
    os._exit(code)  # TensorFlow's own end can take seconds, and nothing is left to do


def _prepare(order: JobSpec) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in the terminal is the launcher's, which stops its jobs
    os.environ.update(order.environment)
    tempfile.tempdir = None  # read anew
    if order.shared:
        os.chdir(order.project)
    else:  # another machine, with a folder of its own
        own = Path.cwd() / "runs"
        own.mkdir(exist_ok=True)
        order.log, order.begun = own / order.log.name, own / f"{uuid.uuid4().hex}.folder"
        if order.config.get("run_dir"):
            there = Path(order.config["run_dir"])  # of which other projects have one of that name
            unique = hashlib.sha256(str(there).encode()).hexdigest()[:8]
            order.config["run_dir"] = literal(own / f"{there.name}-{unique}")
    if order.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order.cores)
    order.log.parent.mkdir(parents=True, exist_ok=True)
    new = 0 if order.begun.exists() else os.O_TRUNC  # what an earlier attempt said stays
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | new, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    sys.stdout, sys.stderr = _Scrubbed(1), _Scrubbed(2)


class _Scrubbed(io.TextIOWrapper):
    """Writes what is printed to a file of the system, without the secrets that kx knows."""

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
        if ours and ours.status == "FINISHED":  # and nobody had heard of it
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
    """Refuses to track into a file of a machine where nobody would find it; awaits a server."""
    from kx.tracking.store import await_server, store_uri

    uri = store_uri(job.config.tracking.uri)
    if job.config.tracking.enabled:  # the launcher has seen it: it is away, and not wrong
        await_server(uri, _STORE_SECONDS)
    in_a_file = uri.startswith(("sqlite:", "file:"))
    if in_a_file and job.config.tracking.enabled and not order.shared:
        raise KxError(
            f"{platform.node()} does not share the folder {order.project}, in which the tracking"
            " store is. Share the project's folder among the machines, or track into a server:"
            " tracking.uri=http://…"
        )


def _hear_launcher(alive: Connection, answers: queue.Queue[bool]) -> None:
    """Passes on what the launcher answers, and ends this process when it is gone."""
    try:
        while True:
            answers.put(alive.recv())
    except (EOFError, OSError):
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # cleanly, marked KILLED …
    time.sleep(_GRACE_SECONDS)
    os._exit(1)  # … or not
