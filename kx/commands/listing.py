"""Tables of runs and of a model's predictions."""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import shlex
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kx.console import counted
from kx.errors import ConfigError, KxError, did_you_mean, one_line
from kx.search.study import find_study
from kx.secrets import REDACTED, redact
from kx.tracking.records import all_records, is_locked
from kx.tracking.store import store_uri

LOST = "LOST"  # RUNNING in the store without a process: resume=auto continues it
_STATUSES = ("FINISHED", "FAILED", "KILLED", "RUNNING")


def runs(args: argparse.Namespace) -> int:
    """Lists runs, or deletes some.

    Args:
        args: Arguments of `kx runs`.

    Returns:
        Exit code: 0 for success.

    Raises:
        ConfigError: If the arguments are neither options nor `delete RUN …`.
    """
    if args.names and args.names[0] != "delete":
        raise ConfigError(
            f"kx runs lists runs, and `kx runs delete RUN …` deletes some. Received:"
            f" {' '.join(args.names)}. To choose among them: --filter, --status, --experiment."
        )
    if args.names:
        return delete(args.names[1:], args.uri, args.experiment, ask=not args.yes)
    return show(
        args.uri, args.experiment, text_filter=args.filter, status=args.status, limit=args.limit,
        as_json=args.json,
    )  # fmt: skip


def show(
    uri: str | None,
    experiment: str | None,
    *,
    text_filter: str = "",
    status: str | None = None,
    limit: int = 20,
    as_json: bool = False,
) -> int:
    """Lists runs, the most recently started first.

    Args:
        uri: URI of the tracking store. None: `MLFLOW_TRACKING_URI`, or the project's.
        experiment: Name of the only experiment to search, or None for all.
        text_filter: Filter in MLflow's syntax. Defaults to "": none.
        status: Status of the runs to list. Defaults to None: any.
        limit: Maximum number of runs. Defaults to 20.
        as_json: Whether to print JSON instead of a table. Defaults to False.

    Returns:
        Exit code: 0.

    Raises:
        ConfigError: If the limit, the status or the store is invalid.
    """
    from kx.tracking.mlflow.run_list import list_runs

    if limit < 1:
        raise ConfigError(f"--limit: expected at least 1. Received: {limit}.")
    if status and status.upper() not in _STATUSES:
        raise ConfigError(f"--status: {did_you_mean(status.upper(), _STATUSES)}")
    if status:
        clause = f"attributes.status = '{status.upper()}'"
        text_filter = f"{text_filter} AND {clause}" if text_filter else clause
    where = store_uri(uri)
    if uri and where.startswith("sqlite:///") and not os.path.isfile(where[len("sqlite:///") :]):
        raise ConfigError(f"--uri: there is no store {redact(where)}.")
    found = list_runs(where, experiment, text_filter, limit + 1)
    rows = [_row(run) for run in found[:limit]]
    if any(row["status"] == "RUNNING" for row in rows):
        lost = _lost(found[:limit])
        for row in rows:
            if row["status"] == "RUNNING" and row["id"] in lost:
                row["status"] = LOST
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    if not rows:
        print(
            f"No runs in {redact(where)}." + ("" if text_filter else " Start one: python -m kx.run")
        )
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("id", "name", "status", "started", "seconds", "validation", "test"):
        wraps = column in ("validation", "test")
        right = column == "seconds"
        table.add_column(column, justify="right" if right else "left", no_wrap=not wraps)
    for row in rows:
        table.add_row(
            row["id"][:8], row["name"], row["status"], row["started"],
            f"{row['seconds']:.0f}" if row["seconds"] is not None else "",
            _scores(row["validation"]), _scores(row["test"]),
        )  # fmt: skip
    _console().print(table)
    if len(found) > limit:
        print(f"… and older ones: --limit {10 * limit}")
    return 0


def _lost(runs: Sequence[Any]) -> set[str]:
    """Returns the ids of this project's unfinished runs and searches that have no process."""
    begun = [record for record in all_records() if record.status == "RUNNING"]
    lost = {str(record.run_id) for record in begun if not is_locked(record.folder)}
    for run in runs:
        if run.data.tags.get("kx.kind") == "search":
            try:
                study = find_study(run.data.tags["kx.search"])
            except KxError:  # study of another project, or damaged
                continue
            if study.run_id == run.info.run_id and not is_locked(study.folder):
                lost.add(run.info.run_id)
    return lost


def _console() -> Console:
    """Returns a console; without a terminal (a file, a pipe), its lines have 200 characters."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def _row(run: Any) -> dict[str, Any]:
    info, metrics = run.info, run.data.metrics
    started = datetime.datetime.fromtimestamp(info.start_time / 1000)
    seconds = (info.end_time - info.start_time) / 1000 if info.end_time else None
    monitor = run.data.tags.get("kx.monitor", "")
    best = metrics.get(f"best/{monitor}")
    trained = {name.removeprefix("train/") for name in metrics if name.startswith("train/")}
    tests = {n: v for n, v in metrics.items() if n.startswith("test/") and n[5:] in trained}
    return {
        "id": info.run_id,
        "name": info.run_name,
        "status": info.status,
        "started": started.strftime("%Y-%m-%d %H:%M:%S"),
        "seconds": seconds,
        "validation": {} if best is None else {monitor.removeprefix("val_"): best},
        "test": {name.removeprefix("test/"): value for name, value in sorted(tests.items())},
    }


def _scores(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in list(values.items())[:2])


def delete(names: Sequence[str], uri: str | None, experiment: str | None, *, ask: bool) -> int:
    """Deletes runs from the lists and the UI; `mlflow gc` removes their artifacts.

    Args:
        names: Runs to delete: ids, prefixes or names.
        uri: URI of the tracking store. None: `MLFLOW_TRACKING_URI`, or the project's.
        experiment: Name of the only experiment to search, or None for all.
        ask: Whether to ask for confirmation.

    Returns:
        Exit code: 0 if the runs were deleted, 1 if the user declined.

    Raises:
        ConfigError: If no run is named.
    """
    from kx.tracking.mlflow.client import open_client
    from kx.tracking.mlflow.run_list import find_run
    from kx.tracking.records import all_records, is_locked

    if not names:
        raise ConfigError("Which runs? kx runs delete RUN [RUN …]")
    where = store_uri(uri)
    runs = [find_run(name, where, experiment) for name in names]
    for run in runs:
        print(f"{run.info.run_id[:8]}  {run.info.run_name}  {run.info.status}")
    if ask and not _agreed(f"Delete {counted(len(runs), 'run')}? [y/N] "):
        print("Nothing was deleted.")
        return 1
    client = open_client(where)
    folders = {record.run_id: record.folder for record in all_records()}
    for run in runs:
        client.delete_run(run.info.run_id)
        folder = folders.get(run.info.run_id)
        if folder is not None and not is_locked(folder):
            shutil.rmtree(folder, ignore_errors=True)
    print(
        f"Deleted {counted(len(runs), 'run')}, with their folders in runs/. To remove their"
        f" artifacts too: mlflow gc --backend-store-uri {_quoted(where)}"
    )
    return 0


def _quoted(uri: str) -> str:
    """Returns a store's URI quoted for a shell, or its variable if it has a password."""
    shown = str(redact(uri))
    return '"$MLFLOW_TRACKING_URI"' if REDACTED in shown else shlex.quote(shown)


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:  # no terminal
        print("\nThere is no terminal to answer in: add --yes.")
        return False


def show_answers(answers: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Prints a model's predictions.

    Args:
        answers: Predictions as returned by `Run.predict`.
        as_json: Whether to print JSON instead of a table.
    """
    if as_json:
        print(json.dumps(_finite(answers), indent=2, ensure_ascii=False, allow_nan=False))
        return
    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False)
    columns = list(dict.fromkeys(name for answer in answers for name in answer))
    for column in columns:
        table.add_column(column, overflow="fold")
    for answer in answers:
        table.add_row(*(Text(_answer_text(name, answer.get(name))) for name in columns))
    _console().print(table)


def _answer_text(name: str, value: Any) -> str:
    """Returns a value of a prediction for a table; long lists show their first and last items."""
    if isinstance(value, dict):
        ranked = sorted(value.items(), key=lambda pair: -pair[1])[:3]
        return "  ".join(f"{name} {chance:.1%}" for name, chance in ranked)
    if name == "confidence" and isinstance(value, float):
        return f"{value:.1%}"
    if isinstance(value, list):
        return np.array2string(np.asarray(value), threshold=12, precision=4).replace("\n", "")
    return one_line(value) if isinstance(value, str) else str(value)


def _finite(value: Any) -> Any:
    """Returns values that JSON can represent: NaN and infinite numbers become null."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # a file name that is not UTF-8
    return None if isinstance(value, float) and not math.isfinite(value) else value
