"""The summary that the command line prints at the end of a run."""

from __future__ import annotations

from typing import Any

from kx.config import project_dir
from kx.secrets import REDACTED, redact
from kx.tracking.records import Record
from kx.tracking.store import store_uri


def show_end(run: Any) -> None:
    """Prints the test scores, the location of the run, and the next commands.

    Args:
        run: Finished `Run`.
    """
    print()
    scores = [
        (name, run.metrics[name])
        for name in sorted(run.metrics)
        if name.startswith("test/") and name.removeprefix("test/") in _main_scores(run)
    ]
    width = max([24, *(len(name) + 2 for name, _ in scores)])
    for name, value in scores:
        print(f"  {name:<{width}}{value:.4f}")
    for sentence in run.compared:
        print(f"  {'baseline':<{width}}{sentence}")
    best = run.metrics.get("best/epoch")
    if best is not None:
        kept = f", the best {run.chosen_by}" if run.chosen_by else ", the last one"
        num_epochs = len(run.history["epoch_seconds"])
        print(f"  {'kept epoch':<{width}}{best:.0f} of {num_epochs}{kept}")
    if run.uri is None:
        print(f"\nNothing was tracked (tracking=none). Checkpoints and report: runs/{run.name}")
        return
    for node in run.config["callbacks"].values():
        if node and "log_dir" in node:
            folder = str(node["log_dir"]).replace("${run_dir}", f"runs/{run.name}")
            print(f"\n  tensorboard --logdir {folder}")
    print(f"\nrun {run.name} ({run.id[:8]}) in {_short(run.uri)}")
    shown = redact(run.uri)
    where = "" if run.uri == store_uri() else f" --uri {shown}"
    if REDACTED in where:
        where = ' --uri "$MLFLOW_TRACKING_URI"'
    for command, purpose in (
        ("kx ui", "browse the runs, curves and reports"),
        ("kx predict latest INPUT…", "ask the model"),
        ("kx export latest --out exports/model", "a SavedModel that takes raw input"),
        ("kx reproduce latest", "the same numbers again"),
    ):
        print(f"  {command + where:<38}  {purpose}")


def show_finished(record: Record) -> None:
    """Prints that a run of this config is already finished.

    Args:
        record: Record of the finished run.
    """
    where = f", in {record.uri}" if record.uri else ""
    print(f"{record.name} is finished: a run of this very config (resume=auto){where}")
    for name, value in sorted(record.metrics.items()):
        if name in ("test/loss", "test/accuracy", "best/epoch"):
            print(f"  {name:<24}{value:.4g}")
    print(f"for more epochs: resume={record.name} epochs=…; for a new run: resume=never")


def _main_scores(run: Any) -> set[str]:
    """Returns the names of the metrics that Keras measured; the report has the others.

    Of texts that a model writes, those of the report are main ones, too.
    """
    trained = {name.removeprefix("train/") for name in run.history if name.startswith("train/")}
    measured = {name.removeprefix("test/") for name in run.metrics if name.startswith("test/")}
    # A task without a loss of its own has those of the report alone.
    return measured if run.writes else trained & measured or measured


def _short(uri: str) -> str:
    own = f"sqlite:///{project_dir()}/"
    return uri.removeprefix(own) if uri.startswith(own) else str(redact(uri))
