"""The process of one job of a sweep."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from kx.config import Composed, add_project_to_path
from kx.errors import KxError
from kx.launch.signals import stoppable

_GRACE_SECONDS = 15.0


@dataclass
class Order:
    """Holds what a job's process is told.

    Args:
        config: composed, interpolations unresolved.
        overrides: the words of the job.
        choices: group to chosen option.
        tags: of its run.
        log: file for what it prints.
        cores: the CPU cores that it may use; None for all.
        environment: further environment variables.
        options: further arguments of `kx.training.train`.
        asks: whether it asks after every epoch if it is to go on.
    """

    config: dict[str, Any]
    overrides: list[str]
    choices: dict[str, str]
    tags: dict[str, str]
    log: Path
    cores: list[int] | None
    environment: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    asks: bool = False


def main(order: Order, events: Connection, alive: Connection) -> None:
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
        try:
            events.send((kind, dict(values)))
        except OSError:  # no launcher listens: the listening thread ends this process
            pass
        return kind == "epoch" and order.asks and not answers.get()

    say("process", {"pid": os.getpid()})
    code = 1
    try:
        with stoppable():
            run = _train(order, say)
        say("end", {"state": "FINISHED", "metrics": run.metrics})
        code = 0
    except KeyboardInterrupt:
        say("end", {"state": "KILLED", "error": "stopped"})
        code = 130
    except KxError as error:
        print(f"kx: {error}", file=sys.stderr)
        say("end", {"state": "FAILED", "error": str(error)})
    except BaseException as error:
        traceback.print_exc()
        say("end", {"state": "FAILED", "error": f"{type(error).__name__}: {error}"})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # TensorFlow's own end can take seconds, and nothing is left to do


def _prepare(order: Order) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in the terminal is the launcher's, which stops its jobs
    os.environ.update(order.environment)
    if order.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order.cores)
    order.log.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="replace")
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="replace")


def _train(order: Order, say: Any) -> Any:
    add_project_to_path()
    job = Composed(OmegaConf.create(order.config), order.overrides, order.choices)
    from kx.launch.here import import_quietly

    import_quietly()
    from kx.training import train

    return train(job, tags=order.tags, watch=say, **order.options)


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
