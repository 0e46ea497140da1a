"""Lists the runs of a store, and finds a RUN. Imports no TensorFlow and no Keras."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from kx.errors import ConfigError, KxError, RunNotFoundError, did_you_mean
from kx.secrets import redact
from kx.tracking.mlflow.client import open_client

_ALL = 50_000  # runs in MLflow's largest page
_PAGE = 50  # runs among which the latest one, or a name like a misspelt one, is looked for first
_MANY = 1_000  # registered models
_PLAIN = re.compile(r"[\w.\-]+")

_MODELS = "models:/"  # MLflow's prefix of a registered model

GROUPS = ("sweep", "cross-validation", "search")  # `kx.kind` of runs that group others


def find_run(name: str, uri: str, experiment: str | None = None) -> MlflowRun:
    """Returns the MLflow run of a RUN; see `load_run`. Of a large store, it reads a page of runs.

    Raises:
        RunNotFoundError: If there is no such run, or more than one.
    """
    newest = list_runs(uri, experiment, limit=_PAGE)
    if not newest:
        raise RunNotFoundError(
            f"There is no run in {redact(uri)}"
            + (f" (experiment {experiment!r})" if experiment else "")
            + ". Start one: python -m kx.run"
        )
    if name.startswith(_MODELS):
        return _run_of_model(name, uri)
    if name == "latest" and (run := next(filter(_is_ordinary, newest), None)):
        return run
    if name in ("latest", "best"):
        runs = newest if len(newest) < _PAGE else list_runs(uri, experiment)
        if name == "latest":
            return next(filter(_is_ordinary, runs), runs[0])
        same = [r for r in runs if r.info.experiment_id == runs[0].info.experiment_id]
        return best_run(runs if experiment else same)
    found = _named(name, uri, experiment)
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{r.info.run_id[:12]} ({r.info.run_name})" for r in found[:5])
        raise RunNotFoundError(f"{name!r} names {len(found)} runs: {listed}. Use a run id.")
    recent = [r.info.run_name for r in newest]
    hint = did_you_mean(name, recent[:10], "Latest runs")
    raise RunNotFoundError(
        f"There is no run {name!r} in {redact(uri)}. {hint} Also: latest, best. All: kx runs."
    )


def _named(name: str, uri: str, experiment: str | None) -> list[MlflowRun]:
    """Returns the runs with this id or name, or those whose id begins with it."""
    if _PLAIN.fullmatch(name):
        clauses = [f"run_id = '{name}'", f"run_name = '{name}'", f"run_id LIKE '{name}%'"]
    else:
        clauses = []  # MLflow's filters might read it otherwise: all runs are looked at
    runs = [] if clauses else list_runs(uri, experiment)
    for clause in clauses:
        runs += list_runs(uri, experiment, f"attributes.{clause}")
    # Databases compare text in different ways.
    exact = [run for run in runs if name in (run.info.run_id, run.info.run_name)]
    begins = [run for run in runs if len(name) >= 3 and run.info.run_id.startswith(name)]
    return list({run.info.run_id: run for run in exact or begins}.values())


def _run_of_model(name: str, uri: str) -> MlflowRun:
    """Returns the run of a registered model: `models:/NAME@best`, `models:/NAME/2`."""
    client = open_client(uri)
    model, at, alias = name.removeprefix(_MODELS).rpartition("@")
    version = ""
    if not at:
        model, _, version = alias.partition("/")
    try:
        if at:
            found = client.get_model_version_by_alias(model, alias)
        else:
            found = client.get_model_version(model, version)
        run = client.get_run(found.run_id) if found.run_id else None
    except MlflowException as error:
        known = [one.name for one in client.search_registered_models(max_results=_MANY)]
        hint = "" if model in known else did_you_mean(model, known, "Models")
        raise RunNotFoundError(
            f"{name!r}: {error.message} Expected {_MODELS}NAME@ALIAS or {_MODELS}NAME/VERSION."
            f" {hint}".rstrip()
        ) from error
    if run is None or run.info.lifecycle_stage != "active":
        raise RunNotFoundError(f"{name!r} comes of no run that is there still.")
    return run


def _is_ordinary(run: MlflowRun) -> bool:
    """Returns whether a run is neither a check of another run, nor a group, nor a trial."""
    kind = run.data.tags.get("kx.kind")
    return "kx.reproduces" not in run.data.tags and kind not in (*GROUPS, "trial")


def list_runs(
    uri: str, experiment: str | None = None, text_filter: str = "", limit: int = _ALL
) -> list[MlflowRun]:
    """Returns the runs of a store, most recently started first.

    Args:
        uri: URI of the store.
        experiment: Name of the experiment. Defaults to None: all.
        text_filter: Filter in MLflow's syntax, such as `metrics."test/accuracy" > 0.9`.
            Defaults to `""`: all runs.
        limit: Maximum number of runs. Defaults to all.
    """
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return []
    client = open_client(uri)
    experiments = client.search_experiments()
    ids = [e.experiment_id for e in experiments if experiment in (None, e.name)]
    if experiment is not None and not ids:
        hint = did_you_mean(experiment, [e.name for e in experiments], "Experiments")
        raise RunNotFoundError(f"There is no experiment {experiment!r} in {redact(uri)}. {hint}")
    try:
        found = client.search_runs(
            ids, text_filter, max_results=min(limit, _ALL), order_by=["attributes.start_time DESC"]
        )
    except MlflowException as error:
        raise ConfigError(f"--filter: {error.message}") from error
    return list(found)


def best_run(runs: Sequence[MlflowRun]) -> MlflowRun:
    """Returns the finished run with the best value of its task's validation metric.

    Raises:
        RunNotFoundError: If no run has such a value.
        KxError: If the runs have different metrics.
    """
    scored = [
        (run, run.data.metrics[f"best/{run.data.tags['kx.monitor']}"])
        for run in runs
        if run.info.status == "FINISHED"
        and run.data.tags.get("kx.shortened") != "True"  # debug runs
        and run.data.tags.get("kx.kind") != "trial"
        and f"best/{run.data.tags.get('kx.monitor')}" in run.data.metrics
    ]
    scored = [(run, score) for run, score in scored if math.isfinite(score)]
    monitors = {(r.data.tags["kx.monitor"], r.data.tags["kx.monitor_mode"]) for r, _ in scored}
    if not scored:
        raise RunNotFoundError("No finished run has a validation score: kx runs.")
    if len(monitors) > 1:
        names = ", ".join(sorted(name for name, _ in monitors))
        raise KxError(
            f"These runs are judged by different metrics ({names}): name one experiment"
            " (--experiment NAME)."
        )
    sign = 1 if monitors.pop()[1] == "max" else -1
    return max(scored, key=lambda pair: sign * pair[1])[0]


def history_of(client: MlflowClient, stored: MlflowRun) -> dict[str, list[float]]:
    """Returns the training curves: the metrics with one value for each epoch."""
    names = [
        name
        for name in stored.data.metrics
        if name.startswith(("train/", "val/"))
        or name in ("learning_rate", "phase", "epoch_seconds", "examples_per_second")
    ]
    curves = {}
    for name in sorted(names):
        points = client.get_metric_history(stored.info.run_id, name)
        values = [(p.step, p.value) for p in points if p.step > 0]  # 0: logged after the training
        if values:
            curves[name] = [value for _, value in sorted(values)]
    return curves
