"""`kx reproduce RUN`: trains a run again, and compares every metric of every epoch."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from omegaconf import OmegaConf

from kx.callbacks import TIMINGS
from kx.config import project_dir
from kx.errors import ReproductionError
from kx.fit.final import num_epochs
from kx.paths import expanded
from kx.runs import Run, load_run
from kx.secrets import REDACTED
from kx.tracking import provenance
from kx.tracking.mlflow.client import open_client

_CHILD = "import sys; from kx.commands.reproduce.child import main; main(sys.argv[1])"


def reproduce(run: Run) -> int:
    """Trains a run again in a separate process, and compares the metrics.

    Args:
        run: Recorded run. If it was stopped, only its recorded epochs are compared.

    Returns:
        Exit code: 0 if every metric of every epoch is equal bit for bit, else 1.

    Raises:
        ReproductionError: If the run cannot be trained again.
    """
    tags = open_client(run.uri).get_run(run.id).data.tags
    if own := tags.get("kx.own_objects"):
        raise ReproductionError(
            f"{run.name} was trained with objects in memory ({own}), which no config describes."
            " What can be reproduced: runs of a config alone."
        )
    if REDACTED in str(run.recorded_config()):
        raise ReproductionError(
            f"{run.name} was started with a secret in its config, which is not kept. Start it"
            " again by hand: its command is in the MLflow UI."
        )
    if not run.history:
        raise ReproductionError(f"{run.name} is {run.status} and has no epoch to compare.")
    _warn_of_versions(tags)
    _warn_of_weights(run, tags)
    with _code(tags) as code_folder:
        again = _run_again(run, tags, code_folder)
    code = _show_comparison(run, again)
    now = again.tags().get("kx.fingerprint")
    if now is not None and now != tags.get("kx.fingerprint", now):
        print("note: the data was changed, or is divided otherwise, since the run was trained")
    return code


def _warn_of_versions(tags: Mapping[str, str]) -> None:
    for name, version in provenance.package_versions().items():
        recorded = tags.get(f"version.{name}", version)
        if recorded != version:
            print(f"note: {name} was {recorded}, and is {version} here")


def _warn_of_weights(run: Run, tags: Mapping[str, str]) -> None:
    recorded, weights = tags.get("kx.weights_sha256"), run.config["model"].get("weights")
    if recorded is None:
        return
    here = provenance.content_hash(_cwd(tags) / expanded(weights))
    if here is None:
        print(f"note: {weights} (model.weights), with which the run began, is not there any more")
    elif here != recorded:
        print(f"note: {weights} (model.weights) is not the file any more that the run began with")


def _cwd(tags: Mapping[str, str]) -> Path:
    """Returns the folder where the run was started, or the project's folder if it is missing."""
    cwd = tags.get("kx.cwd", "")
    return Path(cwd) if os.path.isdir(cwd) else project_dir()


@contextmanager
def _code(tags: Mapping[str, str]) -> Iterator[Path]:
    """Yields the project's folder; for a run of a clean commit, in the state of that commit."""
    commit, clean = tags.get("mlflow.source.git.commit"), tags.get("kx.git_clean") == "true"
    code = provenance.code_state(project_dir())
    if not commit or not clean or code is None:
        reason = "was not in a git repository" if not commit else "had uncommitted changes"
        if commit and clean:
            reason = "was in a git repository that is not here"
        print(f"code: the current files ({project_dir()}), since the run {reason}")
        yield project_dir()
        return
    if code.commit == commit and code.clean:
        print(f"code: commit {commit[:12]}, as checked out")
        yield project_dir()
        return
    with tempfile.TemporaryDirectory(prefix="kx-worktree-") as folder:
        tree = Path(folder, "tree")
        if (
            provenance.git("worktree", "add", "--detach", str(tree), commit, folder=code.root)
            is None
        ):
            raise ReproductionError(
                f"The run's commit {commit[:12]} is not in {code.root}. Fetch it (git fetch)."
            )
        try:
            print(f"code: commit {commit[:12]}, in a temporary worktree")
            yield tree / project_dir().resolve().relative_to(code.root.resolve())
        finally:
            provenance.git("worktree", "remove", "--force", str(tree), folder=code.root)


def _run_again(run: Run, tags: Mapping[str, str], code_folder: Path) -> Run:
    """Trains in a separate process, and returns the new run."""
    config = {**run.config, "resume": "never"}
    config["threads"] = {
        kind: int(tags.get(f"threads.{kind}", 0)) for kind in ("intra_op", "inter_op")
    }
    config["data"] = {**config["data"], "cache": tags.get("kx.cache", "auto")}
    config["tracking"] = {**config["tracking"], "uri": run.uri, "run_name": f"{run.name}-again"}
    params = open_client(run.uri).get_run(run.id).data.params
    experiment = open_client(run.uri).get_experiment(
        open_client(run.uri).get_run(run.id).info.experiment_id
    )
    config["tracking"]["experiment"] = experiment.name
    overrides = OmegaConf.to_container(OmegaConf.load(run.artifact("overrides.yaml")))
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder, "job.json")
        choices = {key: value for key, value in params.items() if key in _GROUPS}
        job.write_text(
            json.dumps(
                {"config": config, "overrides": overrides, "choices": choices, "of": run.id,
                 "result": str(Path(folder, "id"))}
            )
        )  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-P", "-c", _CHILD, str(job)],
            cwd=_cwd(tags),
            env={**os.environ, "PYTHONPATH": _python_path(code_folder)},
            check=False,
        )
        if done.returncode:
            raise ReproductionError(f"The run could not be run again: exit code {done.returncode}.")
        new_id = Path(folder, "id").read_text()
    return load_run(new_id, uri=run.uri)


_GROUPS = ("model", "data", "task", "augment", "optimizer", "schedule", "callbacks", "experiment")


def _python_path(code_folder: Path) -> str:
    before = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(code_folder), *([before] if before else [])])


def first_differences(
    recorded: Mapping[str, Sequence[float]], again: Mapping[str, Sequence[float]]
) -> list[tuple[int, str, float | None, float | None]]:
    """Returns the differences of the first epoch that differs.

    Args:
        recorded: Metrics of the recorded run: name to one value for each epoch.
        again: Metrics of the new run: name to one value for each epoch.

    Returns:
        Tuples of epoch (from 1), metric, recorded value and new value. A missing value is None.

    Example:
    >>> first_differences({"loss": [1.0, 0.5]}, {"loss": [1.0, 0.6]})
    [(2, 'loss', 0.5, 0.6)]
    """
    names = sorted((set(recorded) | set(again)) - set(TIMINGS))
    for epoch in range(max(num_epochs(recorded), num_epochs(again))):
        different = []
        for name in names:
            pair = [
                h[name][epoch] if epoch < len(h.get(name, ())) else None for h in (recorded, again)
            ]
            if not _same(*pair):
                different.append((epoch + 1, name, pair[0], pair[1]))
        if different:
            return different
    return []


def _same(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return a == b or (math.isnan(a) and math.isnan(b))


def _show_comparison(run: Run, again: Run) -> int:
    tests = [
        (name, value, again.metrics.get(name))
        for name, value in sorted(run.metrics.items())
        if name.startswith("test/")
    ]
    if run.status != "FINISHED":  # the run was stopped: compare only its recorded epochs
        print(f"{run.name} is {run.status}: its {num_epochs(run.history)} epochs are compared")
        short = {name: again.history.get(name, [])[: len(v)] for name, v in run.history.items()}
        different, tests = first_differences(run.history, short), []
    else:
        different = first_differences(run.history, again.history)
    compared = [name for name in run.history if name not in TIMINGS]
    epochs = num_epochs(run.history)
    print()
    if not different and all(_same(a, b) for _, a, b in tests):
        print(
            f"reproduced: {len(compared)} metrics of {epochs} epochs and {len(tests)} test scores"
            f" are equal bit for bit ({run.name}, {again.name})"
        )
        return 0
    print(f"NOT reproduced: {again.name} differs from {run.name}.")
    if different:
        print(f"  first in epoch {different[0][0]} of {epochs}:")
    for _, name, before, after in different:
        print(f"    {name:<24} recorded {before!r}  now {after!r}")
    for name, before, after in tests:
        if not _same(before, after):
            print(f"  {name:<26} recorded {before!r}  now {after!r}")
    return 1
