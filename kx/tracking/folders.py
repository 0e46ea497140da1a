"""The run's own folder: `runs/NAME` in the project, for checkpoints, logs and caches."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kx.config import Composed, project_dir
from kx.errors import KxError


@dataclass
class RunFolder:
    """Holds the folder of a run.

    Args:
        path: the folder.
        name: of the run.
    """

    path: Path
    name: str
    _keep: bool = field(default=False, repr=False)

    def keep(self) -> None:
        """Says that the run has begun: its folder stays, whatever happens."""
        self._keep = True


def run_name(job: Composed) -> str:
    """Returns a run's name: the given one, else what it is and when it began."""
    given = job.config.tracking.run_name
    if given:
        return str(given)
    what = job.choices.get("experiment") or f"{job.choices['model']}-{job.choices['data']}"
    return f"{what}-{time.strftime('%m%d-%H%M%S')}"


@contextmanager
def new_run_folder(job: Composed) -> Iterator[RunFolder]:
    """Makes the folder of a new run, and sets the config's `run_dir` to it.

    The caches in it are removed at the end; all of it is, if the run does not
    begin.

    Raises:
        KxError: if it cannot be made.
    """
    name = run_name(job)
    given = job.config.run_dir
    try:
        if given:
            path = Path(given).expanduser().absolute()
            path.mkdir(parents=True, exist_ok=True)
        else:
            path = _make(project_dir() / "runs", re.sub(r"[^\w.\-]+", "_", name))
            name = name if job.config.tracking.run_name else path.name
    except OSError as error:
        raise KxError(
            f"The run's folder cannot be made: {error}. Choose another: run_dir=FOLDER."
        ) from error
    folder = RunFolder(path, name)
    job.config.run_dir = str(path)
    try:
        yield folder
    finally:
        job.config.run_dir = given
        shutil.rmtree(path / "cache", ignore_errors=True)
        if not folder._keep and not given:
            shutil.rmtree(path, ignore_errors=True)
        _remove_if_empty(path)


def _make(parent: Path, name: str) -> Path:
    """Makes a new folder; one that is there already belongs to another run."""
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = parent / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def _remove_if_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        pass
