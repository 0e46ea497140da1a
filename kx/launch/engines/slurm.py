"""Jobs on a Slurm cluster, by submitit."""

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
_ASK_SECONDS = 10.0  # between questions to Slurm, which many users ask
_GRACE_SECONDS = 30.0
_NEAR_SECONDS = 60.0  # to the limit, at which a job that must leave has reached it
_ANY_NUMBER = 1_000_000  # of turns, for submitit: its count takes preemption for a time-out


@dataclass
class Slurm:
    """Runs jobs on a Slurm cluster: those that are started together are one job array.

    A job that reaches its time limit, or is preempted, ends after its last
    epoch, and goes on once Slurm gives it a turn again. Launcher and nodes
    share the project's folder, and the environment with Python and kx.

    Args:
        workers: jobs at a time; None for as many as Slurm gives a turn.
        timeout_minutes: Slurm's time limit for one turn of a job.
        max_turns: turns of a job that its time limit ended, after which it
            fails. Preemption does not count.
        max_retries: how often a job is started again whose node was lost.
        partition: in which to wait. None is the cluster's default.
        cpus: for each job.
        gpus: for each job.
        memory_gb: for each job. None is the cluster's default.
        signal_seconds: before the limit at which a job is told to end.
        setup: shell commands before a job: `["module load cuda"]`.
        parameters: further parameters of `sbatch`: `{"account": "vision"}`.
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
    limit_minutes: float | None = field(default=None, init=False)  # Slurm's own, with a next turn
    queues: bool = field(default=True, init=False)

    def open(self, backend: str) -> None:
        """Asks whether there is a Slurm, and makes a folder for words to and from jobs.

        Raises:
            MissingExtraError: if submitit is not installed.
            KxError: if this machine knows no Slurm.
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
        # A job that is gone without a result is gone: no file system keeps that back for long.
        submitit.Job._results_timeout_s = 1
        self._asked = time.monotonic()

    def start(self, orders: Mapping[int, JobSpec], workers: int) -> dict[int, SlurmJob]:
        """Starts jobs, as one array."""
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
        except Exception as error:  # what sbatch says, in submitit's words
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
        """Waits a moment for what jobs say; now and then, asks Slurm for those that say nothing."""
        time.sleep(_LOOK_SECONDS)
        ask = time.monotonic() - self._asked > _ASK_SECONDS
        if ask:
            self._asked = time.monotonic()
            next(iter(handles.values())).ask()  # of all jobs at once
        for slot, handle in handles.items():
            for said in handle.read():
                yield slot, said
            if not handle.ended and ask and handle.is_lost():
                yield from ((slot, said) for said in handle.read())  # its last words
                handle.cancel()  # Slurm may run again what it counts as lost; kx does
            if handle.ended:
                yield slot, None

    def close(self) -> None:
        """Removes the folder of words; what Slurm wrote of failed jobs is in their logs."""
        self._beat.end()
        shutil.rmtree(self._folder, ignore_errors=True)


class SlurmJob:
    """Holds on to a job that waits, or runs, on a cluster.

    Args:
        job: submitit's.
        folder: for words to and from it.
    """

    def __init__(self, job: Any, folder: Path) -> None:
        self.ended = False
        self._job = job
        self._events, self._commands = JsonLines(folder / EVENTS), JsonLines(folder / COMMANDS)
        self._running = False
        self._ending = ""
        self._stop_by: float | None = None

    def read(self) -> Iterator[Message]:
        """Yields what the job has said since."""
        for kind, values in self._events.read():
            if kind == "exit":
                self.ended, self._ending = True, values["ending"]
                return
            self._running = kind != "queued"
            yield kind, values

    def ask(self) -> None:
        """Asks Slurm how all jobs are, which submitit does ever more rarely."""
        self._job.done(force_check=True)

    def is_lost(self) -> bool:
        """Says whether the job is over, by Slurm's last word, and has not said so."""
        return self._job.done()

    def cancel(self) -> None:
        """Takes the job from Slurm."""
        self._job.cancel(check=False)
        self.ended = True

    def answer(self, goes_on: bool) -> None:
        """Tells a job that asks whether it is to go on."""
        self._commands.write(goes_on)

    def stop(self) -> None:
        """Asks the job to end, or takes it out of the queue."""
        self._stop_by = time.monotonic() + _GRACE_SECONDS
        if self._running:
            self._commands.write(STOP)
        else:
            self.cancel()

    def insist(self) -> None:
        """Cancels a job that was asked to end and has not."""
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            self.cancel()

    def ending(self) -> str:
        """Returns how the job ended."""
        if self._ending:
            return self._ending
        text = f"Slurm ended job {self._job.job_id}: {self._job.state}"
        said = (self._job.stderr() or "").strip().splitlines()
        return f"{text}. {said[-1][:300]}" if said else text

    def close(self) -> None:
        """Does nothing: the folder is removed with all others."""


@dataclass
class Turn:
    """Holds what a node is told: a job, and where to say how it goes.

    Args:
        order: the job.
        beat: file in which the launcher beats.
        folder: for words to and from the job.
        turns_left: that the time limit may end, this one included.
        limit_seconds: after which a job that must leave has reached the limit.
    """

    order: JobSpec
    beat: Path
    folder: Path
    turns_left: int
    limit_seconds: float


class SlurmTask:
    """Runs a job on a node; Slurm gives it another turn if its time is up."""

    def __init__(self) -> None:
        self._relay: Relay | None = None
        self._channel: Folder | None = None
        self._begun = 0.0

    def __call__(self, turn: Turn) -> None:
        """Runs the job to its end.

        Args:
            turn: what to run.
        """
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from submitit.core.utils import UncompletedJobError

        self._begun = time.monotonic()
        self._channel = Folder(turn.folder, turn.beat)
        if not self._channel.awaits_beat():  # it waited longer than its launcher lived
            return
        if STOP in self._channel.commands():  # the answers to an earlier turn count no more
            self._channel.say("exit", {"ending": "stopped"})
            return
        self._relay = Relay(turn.order, self._channel, has_turns=True)
        try:
            self._relay.run()
        except UncompletedJobError:  # `checkpoint` has asked for no other turn
            error = "its time was up once more than launcher.max_turns allows"
            self._channel.say("end", {"state": "FAILED", "error": error})
            self._channel.say("exit", {"ending": error})
            return
        if self._relay.lost:  # by a SIGTERM, where Slurm sends preempted jobs no other signal
            _requeue()

    def checkpoint(self, turn: Turn) -> Any:
        """Ends the job, whose last epoch is kept, and asks for another turn if it may have one.

        Args:
            turn: as it was called with.
        """
        from submitit.helpers import DelayedSubmission

        if time.monotonic() - self._begun >= turn.limit_seconds:  # else it is preempted
            turn = replace(turn, turns_left=turn.turns_left - 1)
        if self._relay is not None and self._channel is not None:
            self._relay.interrupt()
            if turn.turns_left:
                self._channel.say("queued", {})
        return DelayedSubmission(SlurmTask(), turn) if turn.turns_left else None


def _requeue() -> None:
    """Asks Slurm for another turn of this job, and ends this one without a result."""
    variables = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")
    job = "_".join(os.environ[name] for name in variables)
    done = subprocess.run(["scontrol", "requeue", job], timeout=60, check=False)
    if done.returncode == 0:
        sys.exit(-1)  # as submitit ends a preempted job
