"""Results of the best trial: evaluates and registers its model, and writes its config."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.types import RunMode
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from omegaconf import OmegaConf

from kx.config import Composed, hydra_session, plain, project_dir
from kx.config.messages import choice_text
from kx.console import counted
from kx.launch.group import Group
from kx.launch.jobs import KEPT, Job
from kx.search.search import extras
from kx.search.study import Study, Trial, study_folder
from kx.search.trial_configs import Trials
from kx.secrets import redact
from kx.tracking.records import finished_record

_NOT_THE_RUNS = ("tuner", "tracking", "launcher", "resume", "run_dir", "init_from")


def winning_config(base: Composed, study: Study, trials: Trials, best: Trial) -> Composed:
    """Returns the config of the best trial, with the report settings of the search.

    Args:
        base: Config of the search.
        study: Study of the trial.
        trials: Composer of the trial configs.
        best: The best trial.
    """
    index, execution = _best_execution(study, best)
    if base.config.tuner.folds:  # one model of all examples, with the config's own split
        extra = extras(base, study, best, best.executions[0], 0)
        return trials.compose(best.values, {**extra, "split.fold": None})
    return trials.compose(best.values, extras(base, study, best, execution, index))


def finish_winner(
    base: Composed,
    settings: Mapping[str, Any],
    study: Study,
    trials: Trials,
    best: Trial,
    group: Group | None,
) -> Job:
    """Returns the job that evaluates, reports and saves the best model.

    With `tuner.winner=keep` the trial's run is resumed from its last state, and no
    epochs are left to train; with `retrain` the model is trained from scratch for
    the epochs of the config.

    Args:
        base: Config of the search.
        settings: Values of the config's `tuner` node.
        study: Study of the search.
        trials: Composer of the trial configs.
        best: The best trial.
        group: MLflow run that groups the trials, or None without tracking.
    """
    composed = winning_config(base, study, trials, best)
    _, execution = _best_execution(study, best)
    tags = {**(group.tags if group else {}), "kx.kind": "winner"}
    log = study.folder / "logs" / "winner.log"
    options: dict[str, Any] = {"stop_after": execution.epochs or best.epochs}
    if settings["winner"] == "retrain":
        composed.config.run_dir = str(study.folder / f"winner-{best.number:04d}")
        composed.config.tracking.run_name = f"{study.name}-winner"
        options = {}
    job = Job(1, composed, [f"trial {best.number}"], log, tags, options)
    done = finished_record(composed)
    if done is not None:  # the study was extended, but the best trial is the same
        job.run_name, job.run_id = done.name, done.run_id or ""
        job.end(KEPT, metrics=done.metrics)
    return job


def _best_execution(study: Study, best: Trial) -> tuple[int, Any]:
    sign = -1 if study.objective[1] == "max" else 1
    scored = [(i, e) for i, e in enumerate(best.executions) if e.score is not None]
    return min(scored, key=lambda pair: sign * pair[1].score)  # type: ignore[operator]


def experiment_file(study: Study, composed: Composed) -> Path:
    """Writes the best config as an experiment, `experiments/<study>_best.yaml`.

    A file of that name that was edited is kept under another name.

    Args:
        study: A finished study.
        composed: Config of its best trial.

    Returns:
        Path to the file, which `python -m kx.run experiment=…` runs.
    """
    best = study.trial(study.winner or 1)
    ours = {
        group: choice
        for group, choice in composed.choices.items()
        if group not in ("experiment", "tuner") and "/" not in group
    }
    chosen: dict[str, str] = {}
    without, choices = _composed([], composed.config_dirs)
    while differ := {k: v for k, v in ours.items() if choices.get(k) != v}:
        if differ.keys() <= chosen.keys():
            break  # an option that another one overrides: the values below set its keys
        chosen |= differ
        words = [f"{group}={choice}" for group, choice in chosen.items()]
        without, choices = _composed(words, composed.config_dirs)
    values = _delta(without, redact(plain(composed.config)))
    for key in _NOT_THE_RUNS:
        values.pop(key, None)
    overrides = [{f"override /{group}": _choice(choice)} for group, choice in chosen.items()]
    content = {"defaults": [*overrides, "_self_"], **values}
    name, mode = study.objective
    when = "large" if mode == "max" else "small"
    head = (
        f"# The best of {counted(len(study.trials), 'trial')} of the study {study.name}: {name}"
        f" (best when {when}) {best.score:.4f}, trial {best.number}\n"
        f"# Command:  python -m kx.run experiment={_name(study)}\n"
    )
    folder = project_dir() / "experiments"
    folder.mkdir(exist_ok=True)
    path = folder / f"{_name(study)}.yaml"
    text = head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    if path.is_file() and _hash(path.read_bytes()) not in (study.experiment, _hash(text.encode())):
        names = (f"{path.name}.old{number or ''}" for number in itertools.count())
        own = next(other for name in names if not (other := path.with_name(name)).exists())
        path.replace(own)
        print(f"{path.name} was not as the study had left it: kept as {own.name}")
    path.write_bytes(text.encode())
    study.experiment = _hash(text.encode())
    return path


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _composed(
    words: Sequence[str], config_dirs: Sequence[str | Path]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns an unresolved config, whose mandatory keys may be missing, and its choices."""
    with hydra_session(config_dirs) as hydra:
        config = hydra.config_loader.load_configuration("run", list(words), RunMode.RUN)
    choices = plain(config.hydra.runtime.choices)
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return plain(config), {k: choice_text(v) for k, v in choices.items() if v}


def _name(study: Study) -> str:
    return f"{study_folder(study.name).name}_best"


def _choice(choice: str) -> Any:
    return choice.strip("[]").split(",") if choice.startswith("[") else choice


def _delta(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in dict.fromkeys([*before, *now]):
        was, is_now = before.get(key), now.get(key)
        if isinstance(was, Mapping) and isinstance(is_now, Mapping):
            inner = _delta(was, is_now)
            if inner:
                found[key] = inner
        elif was != is_now:
            found[key] = is_now
    return found


def register(study: Study, group: Group, run_id: str) -> bool:
    """Registers the best model in MLflow's registry under the study's name, with alias `best`.

    Args:
        study: A finished study.
        group: MLflow run that groups its trials.
        run_id: ID of the run that logged the model.

    Returns:
        False if the model could not be registered; True otherwise, also if the run has
        no model.
    """
    client: MlflowClient = group.client
    try:
        outputs = client.get_run(run_id).outputs
        if outputs is None or not outputs.model_outputs or _is_best(client, study.name, run_id):
            return True
        model_id = outputs.model_outputs[-1].model_id
        try:
            client.create_registered_model(study.name, description="The best model of a search.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # MLflow looks up `models:/ID` in the store of the environment, not in the client's.
        source = client.get_logged_model(model_id).artifact_location
        version = client.create_model_version(
            study.name, source=source, run_id=run_id, model_id=model_id
        )
        client.set_registered_model_alias(study.name, "best", version.version)
        print(f"registered in MLflow: models:/{study.name}@best (version {version.version})")
    except (MlflowException, OSError) as error:
        print(f"the best model could not be registered: {error}")
        return False
    return True


def _is_best(client: MlflowClient, name: str, run_id: str) -> bool:
    try:
        return bool(client.get_model_version_by_alias(name, "best").run_id == run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return False
