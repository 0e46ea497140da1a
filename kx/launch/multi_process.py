"""Distributed training of one run in several processes, local or on a Ray cluster."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.text import Text

from kx.config import Composed, project_dir
from kx.errors import ConfigError, KxError
from kx.launch.engines import Engine, make_engine
from kx.launch.jobs import DONE, FAILED, KILLED, UNDERWAY, Job
from kx.launch.pool import spec_of
from kx.process import quiet_log_level
from kx.signals import Stop, noting_stop
from kx.tracking.records import mark

# Environment variables of a process that trains with others, and their values in one that does not.
_TOGETHER = {"TF_CONFIG": "", "SLURM_STEP_NUM_TASKS": "1"}
_GRACE_SECONDS = 60.0  # for the other processes to end, once one has ended
# Names of TensorFlow's errors for a process that cannot be reached.
_UNREACHED = ("UnavailableError", "DeadlineExceededError", "AbortedError")


def is_team(job: Composed) -> bool:
    """Returns whether kx starts the run in several processes.

    Args:
        job: Config of the run.
    """
    several = job.config.strategy.get("processes")
    return bool(several) and not os.environ.get("TF_CONFIG")


def refuse_teams(jobs: Sequence[Composed]) -> None:
    """Raises if a job of a sweep or a search would train in several processes.

    Args:
        jobs: Configs of the jobs.

    Raises:
        ConfigError: If a config or the environment sets up several processes.
    """
    if any(map(is_team, jobs)):
        raise ConfigError(
            "strategy.processes is for one run of the command line: a job of a sweep, a search or a"
            " program has one process. Take strategy=mirrored there."
        )
    if any(os.environ.get(name, fine) != fine for name, fine in _TOGETHER.items()):
        raise ConfigError(
            "This process trains together with others (TF_CONFIG, srun), each of which would start"
            " the whole sweep. Start a sweep from one process."
        )


def run_team(job: Composed) -> int:
    """Trains one run in several processes, and returns the exit code.

    If a process is lost, all are started again (at most `launcher.max_retries`
    times), and resume after the last saved epoch.

    Args:
        job: Composed config, with `strategy.processes`.

    Returns:
        0 if the run has finished, 130 after Ctrl-C, else 1.

    Raises:
        ConfigError: If the backend is not TensorFlow, or if the batch size is not a
            multiple of the number of processes.
        KxError: If the launcher cannot start processes that connect to each other.
    """
    count = int(job.config.strategy.processes)
    if job.config.backend != "tensorflow":
        raise ConfigError("strategy=multi_worker is TensorFlow's: backend=tensorflow.")
    if job.config.batch_size % count:
        raise ConfigError(
            f"batch_size={job.config.batch_size}: {count} processes share each batch evenly."
            f" Expected a multiple of {count}."
        )
    engine = make_engine(job.config.launcher)
    if not hasattr(engine, "places"):
        raise KxError(
            "strategy.processes: this launcher cannot start processes that find each other. On"
            " Slurm: srun -n 2 python -m kx.run strategy=multi_worker … (docs/guides/scale.md)."
        )
    quiet_log_level()
    engine.open(job.config.backend)
    folder = project_dir() / "runs" / f"team-{time.strftime('%m%d-%H%M%S')}"
    members = [
        Job(index + 1, job, [f"process {index + 1}"], folder / f"process-{index + 1}.log")
        for index in range(count)
    ]
    team = _Team(engine, members)
    try:
        with noting_stop() as stop:
            code = team.run(stop)
    finally:
        engine.close()
    if code:
        print(f"what the processes printed: {folder}")
    return code


class _Team:
    def __init__(self, engine: Engine, members: Sequence[Job]) -> None:
        self._engine, self._members = engine, members
        self._handles: dict[int, Any] = {}
        self._console = Console(highlight=False, soft_wrap=True)

    def run(self, stop: Stop) -> int:
        """Runs the processes to their end, with retries, and returns the exit code."""
        leader = self._members[0]
        while True:
            self._start()
            lost = self._follow(stop)
            if leader.state in DONE:  # only the leader writes the run
                self._say(f"finished: {leader.run_name} ({leader.run_id[:8]}). kx runs; kx ui")
                return 0
            if stop.asked:
                self._say("stopped; the same command with resume=auto continues")
                return 130
            if not lost or leader.retries >= self._engine.max_retries:
                failed = next((m for m in self._members if m.state == FAILED), leader)
                self._say(lost or f"{failed.label} FAILED: {failed.error}")
                if lost:
                    self._say(
                        "the same command with resume=auto continues; launcher.max_retries=3 does"
                        " so by itself"
                    )
                return 1
            for member in self._members:
                member.retries += 1
            self._say(f"{lost}; all start again ({leader.retries} of {self._engine.max_retries})")

    def _start(self) -> None:
        count = len(self._members)
        places = self._engine.places(count)  # type: ignore[attr-defined]
        orders = {}
        for index, member in enumerate(self._members):
            member.begin(queued=self._engine.queues)
            order = spec_of(member)
            task = {"type": "worker", "index": index}
            cluster = json.dumps({"cluster": {"worker": places}, "task": task})
            # All processes resume the run of the first one.
            begun = order.begun.with_name("process-1.folder")
            own = {**order.environment, "TF_CONFIG": cluster}
            orders[index] = replace(order, environment=own, begun=begun, leads=index == 0)
        self._handles = dict(self._engine.start(orders, count))
        wrong = [handle for handle in self._handles.values() if isinstance(handle, Exception)]
        if wrong:
            self._handles = {k: v for k, v in self._handles.items() if v not in wrong}
            for handle in self._handles.values():
                handle.stop()
            raise KxError(f"a process cannot be started: {wrong[0]}") from wrong[0]

    def _follow(self, stop: Stop) -> str:
        """Handles messages until all processes have ended; returns which was lost first."""
        lost, end_by, stopping = "", None, False
        while self._handles:
            for index, said in list(self._engine.listen(self._handles)):
                member = self._members[index]
                if said is None:
                    ending = self._ended(index, stopping)
                    lost = lost or ending  # the loss of the first process causes the others
                    continue
                member.update(*said)
                if index == 0:
                    self._tell(*said)
            for handle in self._handles.values():
                handle.insist()
            self._members[0].end_if_longer(self._engine.limit_minutes)
            over = 0 not in self._handles or any(m.state == FAILED for m in self._members)
            if self._handles and not stopping and (over or stop.asked):
                now = time.monotonic()
                latest = now + (0 if stop.asked or lost else _GRACE_SECONDS)
                end_by = latest if end_by is None else min(end_by, latest)
                if now >= end_by:  # they may wait long for a lost process
                    stopping = True
                    for handle in self._handles.values():
                        handle.stop()
        return lost or self._lost_each_other()

    def _lost_each_other(self) -> str:
        """Returns a message if all failures are connection errors between processes."""
        failed = [member for member in self._members if member.state == FAILED]
        if failed and all(member.error.startswith(_UNREACHED) for member in failed):
            return f"the processes lost each other: {failed[0].error.splitlines()[0][:200]}"
        return ""

    def _ended(self, index: int, stopping: bool) -> str:
        """Handles the end of a process; returns how it ended if it was lost."""
        from kx.launch.group import end_run

        member, handle = self._members[index], self._handles.pop(index)
        ending = handle.ending()
        handle.close()
        lost = ""
        if member.state == KILLED and not stopping:  # by a user or a scheduler
            member.end(FAILED, "stopped from outside")
            lost = f"{member.label} was lost: {member.error}"
        if member.state in UNDERWAY:
            member.end(KILLED if stopping else FAILED, "stopped" if stopping else ending)
            lost = "" if stopping else f"{member.label} was lost: {ending}"
        if index == 0 and member.state in (FAILED, KILLED) and member.run_id:
            mark(member.run_id, member.state, member.error)
            end_run(member)
        return lost

    def _tell(self, kind: str, values: Mapping[str, Any]) -> None:
        """Prints the progress of the first process."""
        if kind == "run":
            self._say(f"{values['name']}: {len(self._members)} processes")
        elif kind == "epoch":
            shown = values["values"].items()
            words = [f"{k} {v:.4g}" for k, v in shown if k.startswith(("train/", "val/"))]
            self._say(f"epoch {values['epoch']}  {'  '.join(words)}")

    def _say(self, text: str) -> None:
        self._console.print(Text(text))
