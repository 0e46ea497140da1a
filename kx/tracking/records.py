"""Reads and writes the record of a run, `run.json` in its folder, and locks the folder.

The record does not depend on the tracking store, and is read without TensorFlow or MLflow.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kx.config import Composed, project_dir, resolved
from kx.config.moved import translated, translated_overrides
from kx.errors import KxError
from kx.paths import expanded
from kx.secrets import redact, redact_word, scrub
from kx.tracking.store import uri_now

FILE = "run.json"
_LOCK = "lock"
_POINTER = ".folder"
_PLACES = ("runs/*", "studies/*/trials/*", "studies/*/winner-*")  # in the project folder
_STATE = re.compile(r"epoch-(\d{6})\.npz")
_SHUFFLE = {"_target_": "kx.data.samplers.shuffle"}
# These keys change neither the weights nor the order of their updates.
_OUTSIDE_IDENTITY = ("resume", "run_dir", "tracking", "report", "launcher")


@dataclass
class Record:
    """Holds the record of a run, which does not depend on the tracking store.

    Args:
        folder: Folder of the run.
        name: Name of the run.
        identity: Hash of the config, equal for runs of the same config.
        config: Resolved config, with secrets hidden.
        overrides: Overrides that started the run, with secrets hidden.
        status: `"RUNNING"`, `"FINISHED"`, `"PAUSED"` (a trial of a search),
            `"FAILED"` or `"KILLED"`. A process that is killed leaves `"RUNNING"`.
        run_id: Id of the run in the tracking store. Defaults to None: not known yet.
        uri: URI of the tracking store. Defaults to None (`tracking=none`).
        metrics: Final metrics of a finished run.
        error: Last error, if the run failed.
        host: Name of the machine that wrote the record last.
        pid: Id of the process that wrote the record last.
        started: Start time, in seconds since 1970.
        threads: Number of TensorFlow's threads by kind: the results depend on them.
    """

    folder: Path
    name: str
    identity: str
    config: dict[str, Any]
    overrides: list[str]
    status: str = "RUNNING"
    run_id: str | None = None
    uri: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    error: str = ""
    host: str = field(default_factory=platform.node)
    pid: int = field(default_factory=os.getpid)
    started: float = field(default_factory=time.time)
    threads: dict[str, int] = field(default_factory=dict)

    @property
    def states(self) -> Path:
        """Returns the folder of the training's states."""
        return self.folder / "state"

    @property
    def epochs_done(self) -> int:
        """Returns the number of finished epochs, according to the states that are kept."""
        found = state_files(self.states)
        return int(_STATE.fullmatch(found[-1].name)[1]) if found else 0  # type: ignore[index]

    def write(self) -> None:
        """Writes the record atomically."""
        values = dataclasses.asdict(self)
        del values["folder"]
        values["uri"], values["error"] = redact(self.uri), scrub(self.error)
        path = self.folder / FILE
        half = path.with_suffix(f".{os.getpid()}.part")
        try:
            half.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
            half.replace(path)
        except BaseException:
            half.unlink(missing_ok=True)
            raise

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Returns the record of a folder, or None if it has no readable one."""
        try:
            values = json.loads((folder / FILE).read_text(encoding="utf-8"))
            known = {item.name for item in dataclasses.fields(cls)}
            record = cls(folder=folder, **{k: v for k, v in values.items() if k in known})
            record.overrides = translated_overrides(record.overrides, record.config)
            record.config = translated(record.config)
            record.uri = uri_now(record.uri)
            return record
        except (OSError, ValueError, TypeError):
            return None

    @classmethod
    def of(cls, job: Composed, folder: Path, name: str) -> Record:
        """Returns the record of a new run.

        Args:
            job: Composed config.
            folder: Folder of the run.
            name: Name of the run.
        """
        config = redact(resolved(job.config))
        return cls(folder, name, identity(job), config, [redact_word(w) for w in job.overrides])


def state_files(folder: Path) -> list[Path]:
    """Returns the files of a training's states, sorted by epoch, the latest last."""
    return sorted(path for path in folder.glob("epoch-*.npz") if _STATE.fullmatch(path.name))


def mark(run_id: str, status: str, error: str) -> None:
    """Records in a run's folder how it ended, if its own process could not.

    Args:
        run_id: Id of the run.
        status: `"FAILED"` or `"KILLED"`.
        error: Reason for the end.
    """
    for record in all_records():
        if record.run_id == run_id and record.status == "RUNNING":
            record.status, record.error = status, error
            record.write()


def point_to(folder: Path) -> None:
    """Writes a pointer file to `runs/` for a run's folder elsewhere, so that it can be found."""
    project = project_dir()
    if any(folder in project.glob(place) for place in _PLACES):
        return
    pointer = _pointer(folder)
    try:
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.write_text(f"{folder}\n", encoding="utf-8")
    except OSError:  # `runs/` may be read-only: the run is then found by its run_dir alone
        pass


def remove_pointer(folder: Path) -> None:
    """Removes the pointer file to a folder in which no run has begun."""
    _pointer(folder).unlink(missing_ok=True)


def _pointer(folder: Path) -> Path:
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    return project_dir() / "runs" / f"{folder.name}-{digest}{_POINTER}"


def identity(job: Composed) -> str:
    """Returns a hash that is equal for jobs with the same training.

    Args:
        job: Composed config.
    """
    config = {k: v for k, v in resolved(job.config).items() if k not in _OUTSIDE_IDENTITY}
    if config.get("sampler") == _SHUFFLE:  # so that runs of before there were samplers are found
        del config["sampler"]
    if not config.get("tokenizer"):  # the same of runs of before there were tokenizers
        config.pop("tokenizer", None)
    chosen = {k: job.choices.get(k) for k in ("model", "data")}  # a user's own objects, too
    text = json.dumps([config, chosen], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def all_records() -> list[Record]:
    """Returns the records of the project's runs, most recently started first.

    They are read from `runs/`, the folders of studies, and the folders chosen with `run_dir`.
    """
    project = project_dir()
    folders = [path.parent for place in _PLACES for path in project.glob(f"{place}/{FILE}")]
    for pointer in (project / "runs").glob(f"*{_POINTER}"):
        folders.append(Path(pointer.read_text(encoding="utf-8").strip()))
    found = [Record.read(folder) for folder in folders]
    return sorted((r for r in found if r), key=lambda record: record.started, reverse=True)


def same_config(job: Composed) -> list[Record]:
    """Returns the records of runs with exactly this config, most recently started first."""
    wanted = identity(job)
    given = job.config.run_dir
    if given:
        record = Record.read(expanded(given).absolute())
        return [record] if record and record.identity == wanted else []
    return [r for r in all_records() if r.identity == wanted and not is_trial(r)]


def is_trial(record: Record) -> bool:
    """Returns whether a run belongs to a search; only the search resumes such a run."""
    return project_dir() / "studies" in record.folder.parents


def finished_record(job: Composed) -> Record | None:
    """Returns the record of the config's last run if finished and `resume=auto`, or None."""
    same = same_config(job) if job.config.resume == "auto" else []
    return same[0] if same and same[0].status == "FINISHED" else None


def lock(folder: Path, wait_seconds: float = 0.0) -> FileLock:
    """Acquires and returns the lock of a run's folder. It is released when its process ends.

    Args:
        folder: Folder of the run.
        wait_seconds: Maximum time to wait for the lock, in seconds. Defaults to 0.

    Raises:
        KxError: If another process holds the lock.
    """
    taken = FileLock(folder / _LOCK, timeout=wait_seconds)
    try:
        taken.acquire()
    except Timeout as error:
        record = Record.read(folder)
        who = f" (process {record.pid} on {record.host})" if record else ""
        raise KxError(
            f"The run in {folder} is being written by another process{who}. Wait for it, stop it,"
            " or start a run of its own: resume=never, without run_dir."
        ) from error
    return taken


def is_locked(folder: Path) -> bool:
    """Returns whether a process is writing to a run's folder now."""
    if not (folder / _LOCK).exists():
        return False
    try:
        with FileLock(folder / _LOCK, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a read-only folder
        return False
