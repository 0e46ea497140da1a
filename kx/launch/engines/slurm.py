"""Slurm engine: jobs on a Slurm cluster, submitted with submitit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kx.config import project_dir
from kx.errors import KxError, MissingExtraError, first_line
from kx.launch.engines import Message
from kx.launch.engines.child import JobSpec
from kx.launch.engines.remote_job import COMMANDS, EVENTS, STOP, Folder, Heartbeat, JsonLines, Relay
from kx.types import Count, NonNegativeInt, Positive

_LOOK_SECONDS = 0.5
_ASK_SECONDS = 10.0  # between queries of Slurm, which many users share
_GRACE_SECONDS = 30.0
_NEAR_SECONDS = 60.0  # a job interrupted this close to the time limit has reached it
_ANY_NUMBER = 1_000_000  # disables submitit's own limit, which counts preemption as a time-out


@dataclass
class Slurm:
    """Runs jobs on a Slurm cluster. Jobs that are started together are one job array.

    A job that reaches its time limit, or is preempted, is queued again, and resumes
    after its last saved epoch. Launcher and nodes must share the project's folder,
    and the environment with Python and kx.

    Args:
        workers: Number of jobs that run at a time. Defaults to None: as many as Slurm runs.
        timeout_minutes: Slurm's time limit for one turn of a job. Defaults to 60.
        max_turns: Number of time-outs after which a job fails. Preemption does not
            count. Defaults to 20.
        max_retries: How often a job is run again after its node was lost. Defaults to 1.
        partition: Slurm partition. Defaults to None: the cluster's default.
        cpus: Number of CPUs of each job, and of its threads. Defaults to 1.
        gpus: Number of GPUs of each job. Defaults to 0.
        memory_gb: Memory of each job in GB. Defaults to None: the cluster's default.
        signal_seconds: Seconds before the limit at which a job is interrupted. Defaults to 90.
        setup: Shell commands run before a job, such as `["module load cuda"]`.
        parameters: Further `sbatch` parameters, such as `{"account": "vision"}`.
    """

    workers: Count | None = None
    timeout_minutes: Count = 60
    max_turns: Count = 20
    max_retries: NonNegativeInt = 1
    partition: str | None = None
    cpus: Count = 1
    gpus: NonNegativeInt = 0
    memory_gb: Positive | None = None
    signal_seconds: NonNegativeInt = 90
    setup: list[str] | None = None
    parameters: dict[str, Any] | None = None
    limit_minutes: float | None = field(default=None, init=False)  # Slurm itself limits each turn
    queues: bool = field(default=True, init=False)

    def open(self, backend: str) -> None:
        """Checks that Slurm is available, and creates a folder for messages.

        Raises:
            MissingExtraError: If submitit is not installed.
            KxError: If this machine has no `sbatch`.
        """
        try:
            import submitit
        except ImportError as error:
            raise MissingExtraError(
                'launcher=slurm needs submitit; it is not installed: pip install "kx[slurm]"'
            ) from error
        if shutil.which("sbatch") is None:
            raise KxError(
                "launcher=slurm: there is no `sbatch` on this machine. Start the sweep on a login"
                " node of the cluster, or take launcher=local or launcher=ray."
            )
        shared = project_dir() / "runs"
        shared.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=".slurm-", dir=shared))
        self._beat = Heartbeat(self._folder / "beat")
        # Seconds to wait for the result of a job that is gone: file systems delay it no longer.
        submitit.Job._results_timeout_s = 1
        self._asked = time.monotonic()

    def start(self, orders: Mapping[int, JobSpec], workers: int) -> dict[int, SlurmJob]:
        """Starts jobs as one array, and returns a handle for each slot."""
        executor = self._executor(workers)
        folders = {slot: Path(tempfile.mkdtemp(prefix="job-", dir=self._folder)) for slot in orders}
        turns = [
            Turn(
                replace(order, threads=self.cpus), self._beat.path, folders[slot], self.max_turns,
                self.timeout_minutes * 60 - self.signal_seconds - _NEAR_SECONDS,
            )
            for slot, order in orders.items()
        ]  # fmt: skip
        try:
            jobs = executor.map_array(SlurmTask(), turns)
        except Exception as error:  # submitit's errors, with sbatch's message
            raise KxError(f"Slurm refuses the job: {first_line(error, 500)}") from error
        return {slot: SlurmJob(job, folders[slot]) for slot, job in zip(orders, jobs, strict=True)}

    def _executor(self, workers: int) -> Any:
        import submitit

        given = {
            "slurm_partition": self.partition,
            "mem_gb": self.memory_gb,
            "slurm_setup": self.setup or None,
            "slurm_additional_parameters": self.parameters or None,
            "gpus_per_node": self.gpus or None,
        }
        executor = submitit.AutoExecutor(
            folder=self._folder / "submitit", cluster="slurm", slurm_python=sys.executable,
            slurm_max_num_timeout=_ANY_NUMBER,
        )  # fmt: skip
        executor.update_parameters(
            name="kx",
            timeout_min=self.timeout_minutes,
            cpus_per_task=self.cpus,
            slurm_array_parallelism=workers,
            slurm_signal_delay_s=self.signal_seconds,
            **{key: value for key, value in given.items() if value is not None},
        )
        return executor

    def listen(self, handles: Mapping[int, SlurmJob]) -> Iterator[tuple[int, Message | None]]:
        """Waits briefly for messages of jobs; every 10 s, queries Slurm for lost jobs."""
        time.sleep(_LOOK_SECONDS)
        ask = time.monotonic() - self._asked > _ASK_SECONDS
        if ask:
            self._asked = time.monotonic()
            next(iter(handles.values())).ask()  # one query covers all jobs
        for slot, handle in handles.items():
            for said in handle.read():
                yield slot, said
            if not handle.ended and ask and handle.is_lost():
                yield from ((slot, said) for said in handle.read())  # its last messages
                handle.cancel()  # Slurm may requeue a lost job, but kx runs it again itself
            if handle.ended:
                yield slot, None

    def close(self) -> None:
        """Removes the folder for messages; the logs of failed jobs contain Slurm's output."""
        self._beat.end()
        shutil.rmtree(self._folder, ignore_errors=True)


class SlurmJob:
    """Controls a job that is queued or runs on a Slurm cluster.

    Args:
        job: A submitit job.
        folder: Path to the folder for messages to and from the job.
    """

    def __init__(self, job: Any, folder: Path) -> None:
        self.ended = False
        self._job = job
        self._events, self._commands = JsonLines(folder / EVENTS), JsonLines(folder / COMMANDS)
        self._running = False
        self._ending = ""
        self._stop_by: float | None = None

    def read(self) -> Iterator[Message]:
        """Yields the messages of the job since the last call."""
        for kind, values in self._events.read():
            if kind == "exit":
                self.ended, self._ending = True, values["ending"]
                return
            self._running = kind != "queued"
            yield kind, values

    def ask(self) -> None:
        """Queries Slurm for the state of all jobs; submitit's own polling slows down."""
        self._job.done(force_check=True)

    def is_lost(self) -> bool:
        """Returns whether the job is over, by the last state that Slurm reported."""
        return self._job.done()

    def cancel(self) -> None:
        """Cancels the Slurm job."""
        self._job.cancel(check=False)
        self.ended = True

    def answer(self, continues: bool) -> None:
        """Answers a job that asked whether it should continue."""
        self._commands.write(continues)

    def stop(self) -> None:
        """Requests the end of the job, or cancels it if it is queued."""
        self._stop_by = time.monotonic() + _GRACE_SECONDS
        if self._running:
            self._commands.write(STOP)
        else:
            self.cancel()

    def insist(self) -> None:
        """Cancels a job that did not end within 30 s after `stop`."""
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            self.cancel()

    def ending(self) -> str:
        """Returns a description of how the job ended."""
        if self._ending:
            return self._ending
        text = f"Slurm ended job {self._job.job_id}: {self._job.state}"
        said = (self._job.stderr() or "").strip().splitlines()
        return f"{text}. {said[-1][:300]}" if said else text

    def close(self) -> None:
        """Does nothing: the engine's `close` removes the folder."""


@dataclass
class Turn:
    """Holds the specification of one turn of a job on a node.

    Args:
        order: Specification of the job.
        beat: Path to the launcher's heartbeat file.
        folder: Path to the folder for messages to and from the job.
        turns_left: Number of further time-outs allowed, this turn's included.
        limit_seconds: Run time in seconds from which an interruption counts as a time-out.
    """

    order: JobSpec
    beat: Path
    folder: Path
    turns_left: int
    limit_seconds: float


class SlurmTask:
    """Runs a job on a node; Slurm requeues it after a time-out or preemption."""

    def __init__(self) -> None:
        self._relay: Relay | None = None
        self._channel: Folder | None = None
        self._begun = 0.0

    def __call__(self, turn: Turn) -> None:
        """Runs the job to its end.

        Args:
            turn: Specification of the turn.
        """
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from submitit.core.utils import UncompletedJobError

        self._begun = time.monotonic()
        self._channel = Folder(turn.folder, turn.beat)
        if not self._channel.awaits_beat():  # the launcher is gone
            return
        if STOP in self._channel.commands():  # answers to an earlier turn are discarded
            self._channel.say("exit", {"ending": "stopped"})
            return
        self._relay = Relay(turn.order, self._channel, has_turns=True)
        try:
            self._relay.run()
        except UncompletedJobError:  # `checkpoint` has not requested another turn
            error = "its time was up once more than launcher.max_turns allows"
            self._channel.say("end", {"state": "FAILED", "error": error})
            self._channel.say("exit", {"ending": error})
            return
        if self._relay.lost:  # by SIGTERM: some clusters send preempted jobs no other signal
            _requeue()

    def checkpoint(self, turn: Turn) -> Any:
        """Ends the job after its last saved epoch, and requests another turn if one is left.

        Args:
            turn: Specification of the current turn.
        """
        from submitit.helpers import DelayedSubmission

        if time.monotonic() - self._begun >= turn.limit_seconds:  # else it was preempted
            turn = replace(turn, turns_left=turn.turns_left - 1)
        if self._relay is not None and self._channel is not None:
            self._relay.interrupt()
            if turn.turns_left:
                self._channel.say("queued", {})
        return DelayedSubmission(SlurmTask(), turn) if turn.turns_left else None


def _requeue() -> None:
    """Requeues this job in Slurm, and exits without a result."""
    variables = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")
    job = "_".join(os.environ[name] for name in variables)
    done = subprocess.run(["scontrol", "requeue", job], timeout=60, check=False)
    if done.returncode == 0:
        sys.exit(-1)  # as submitit ends a preempted job
