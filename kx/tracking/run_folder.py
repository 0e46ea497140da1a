"""Manages a run's folder, `runs/NAME` in the project, for state, checkpoints, logs and caches."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kx.config import Composed, project_dir
from kx.errors import ConfigError, KxError
from kx.paths import expanded
from kx.tracking.records import Record, is_locked, lock, point_to, remove_pointer, same_config

_WAIT_SECONDS = 20.0
_RESERVED = ("latest", "best")  # names with a meaning of their own in kx's commands


@dataclass
class RunFolder:
    """Holds the folder of a run.

    Args:
        record: Record of the run.
        resumed: Whether the run was begun earlier. Defaults to False.
        paused: Whether the run ends as PAUSED, to be resumed, and not FINISHED. Defaults to False.
        leads: Whether the folder is kept; False for a process that trains with others and does not
            lead. Defaults to True.
        others: Names of what the folder held before the run: a user's own. Defaults to none.
    """

    record: Record
    resumed: bool = False
    paused: bool = False
    leads: bool = True
    others: frozenset[str] = frozenset()
    _begun: bool = field(default=False, repr=False)

    @property
    def path(self) -> Path:
        """Returns the folder."""
        return self.record.folder

    @property
    def name(self) -> str:
        """Returns the name of the run."""
        return self.record.name

    def begin(self, run_id: str, uri: str | None) -> None:
        """Marks the run as begun: its folder is kept from now on.

        Args:
            run_id: Id of the run in the tracking store.
            uri: URI of the tracking store, or None if the run is not tracked.
        """
        self._begun = True
        self.record.run_id, self.record.uri = run_id, uri
        self.record.write()
        if self.leads:
            point_to(self.path)


def literal(path: Path) -> str:
    """Returns a path with `${` escaped, so that OmegaConf does not interpolate it."""
    return str(path).replace("${", "\\${")


def run_name(job: Composed) -> str:
    """Returns the name of a run: the given one, else its main options and its start time."""
    given = job.config.tracking.run_name
    if given:
        if str(given) in _RESERVED:
            raise ConfigError(
                f"tracking.run_name={given}: this word names another run in kx's commands. Choose"
                " another name."
            )
        return str(given)
    what = job.choices.get("experiment") or f"{job.choices['model']}-{job.choices['data']}"
    return f"{what}-{time.strftime('%m%d-%H%M%S')}"


@contextmanager
def open_run_folder(job: Composed) -> Iterator[RunFolder]:
    """Opens the folder of a run, new or resumed, and sets the config's `run_dir` to it.

    The folder is locked within the context. Its caches are removed at the end;
    the whole folder is removed if a new run does not begin.

    Raises:
        KxError: If the folder cannot be made, or another process is writing to it.
    """
    given = job.config.run_dir
    try:
        folder = _resumed(job) or _new(job)
        # A process that was just killed may still hold the lock.
        held = lock(folder.path, _WAIT_SECONDS if job.config.resume == "auto" else 0.0)
    except OSError as error:
        raise KxError(
            f"The run's folder cannot be made: {error}. Choose another: run_dir=FOLDER."
        ) from error
    if folder.resumed:
        print(f"{folder.name} continues after epoch {folder.record.epochs_done}")
    job.config.run_dir = literal(folder.path)
    shutil.rmtree(folder.path / "cache", ignore_errors=True)  # may be incomplete after a kill
    try:
        if not folder.resumed:
            folder.record.write()
        yield folder
        folder.record.status = "PAUSED" if folder.paused else "FINISHED"
    except KeyboardInterrupt:
        folder.record.status = "KILLED"
        raise
    except BaseException as error:
        folder.record.status, folder.record.error = "FAILED", f"{type(error).__name__}: {error}"
        raise
    finally:
        job.config.run_dir = given
        shutil.rmtree(folder.path / "cache", ignore_errors=True)
        if folder._begun:
            _write_at_end(folder.record)
        held.release()
        if not folder._begun and not folder.resumed:
            _remove(folder.path, folder.others)


@contextmanager
def open_followers_folder(job: Composed) -> Iterator[RunFolder]:
    """Opens a temporary folder for a process that trains with others but does not lead.

    The process resumes where the leading process does, from a copy of the run's state.
    """
    given = job.config.run_dir
    with tempfile.TemporaryDirectory(prefix="kx-follower-") as name:
        path = Path(name) / "run"
        path.mkdir()
        found = _resumed(job, quiet=True)
        record = Record.of(job, path, path.name)
        if found is not None and not found.record.epochs_done:  # or the leader's run, just begun
            found = None
        if found is not None:
            shutil.copytree(found.record.states, record.states)
            record.threads = found.record.threads
        job.config.run_dir = literal(path)
        try:
            yield RunFolder(record, resumed=found is not None, leads=False)
        finally:
            job.config.run_dir = given


def _write_at_end(record: Record) -> None:
    try:
        record.write()
    except OSError as error:  # e.g. a full disk: an earlier error of the run is more important
        print(f"{record.folder}: how the run ended could not be noted: {error}")


def _resumed(job: Composed, *, quiet: bool = False) -> RunFolder | None:
    """Returns the folder of the run to resume, or None for a new run."""
    resume = job.config.resume
    if resume in ("auto", "never"):
        unfinished = [r for r in same_config(job) if r.status != "FINISHED"]
        if not unfinished:
            return None
        if resume == "never":
            if not quiet:
                _hint(unfinished)
            return None
        record = unfinished[0]
    else:
        from kx.tracking.resume import find_record, refuse_other_config

        record = find_record(str(resume))
        refuse_other_config(job, record)
        planned = int(record.config["epochs"])
        if record.status == "FINISHED" and job.config.epochs <= planned:
            raise ConfigError(
                f"{record.name} is finished: {record.epochs_done} of {planned} epochs. To continue"
                f" with it, ask for more: epochs={2 * planned}."
            )
    before = Record.of(job, record.folder, record.name)
    before.started, before.threads = record.started, record.threads
    if record.uri is not None:  # else it was not tracked, and is from now on
        before.run_id, before.uri = record.run_id, record.uri
    folder = RunFolder(before, resumed=True)
    return folder


def _hint(unfinished: list[Record]) -> None:
    """Prints a note if a run of this config can be resumed."""
    idle = [record for record in unfinished if not is_locked(record.folder)]
    if idle:
        print(
            f"note: {idle[0].name}, a run of this config, was not finished:"
            " resume=auto continues it"
        )


def _new(job: Composed) -> RunFolder:
    name = run_name(job)
    given = job.config.run_dir
    if given:
        path = expanded(given).absolute()
        if path == project_dir() or path in project_dir().parents:
            raise ConfigError(
                f"run_dir={given} is the project's folder. A run needs one of its own: runs/NAME."
            )
        path.mkdir(parents=True, exist_ok=True)
        there = Record.read(path)
        if there is not None:
            raise ConfigError(
                f"run_dir={given} has the run {there.name} ({there.status}) in it. Choose another"
                " folder, remove this one, or continue that run: resume=auto."
            )
        others = frozenset(item.name for item in path.iterdir())
        return RunFolder(Record.of(job, path, name), others=others)
    path = _make(project_dir() / "runs", re.sub(r"[^\w.\-]+", "_", name))
    return RunFolder(Record.of(job, path, name if job.config.tracking.run_name else path.name))


def _make(parent: Path, name: str) -> Path:
    """Makes a new folder, numbered if another run already has the name."""
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = parent / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def _remove(path: Path, others: Collection[str]) -> None:
    """Removes the folder of a run that did not begin; of a user's own one, only kx's files."""
    remove_pointer(path)
    if not others:
        shutil.rmtree(path, ignore_errors=True)
        return
    for item in path.iterdir():
        if item.name in others:
            continue
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)
