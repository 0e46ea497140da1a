"""Setup of a search: checks its settings and its space, and opens its study."""

from __future__ import annotations

import contextlib
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kx.config import CONF_DIR, Composed, load_yaml, plain, project_dir, resolved
from kx.config.messages import shown
from kx.config.places import is_file
from kx.errors import ConfigError, Mistake, did_you_mean
from kx.metric_modes import UNKNOWN_MODE, better
from kx.search.space import Parameter, flat, read_space, taken_by, taken_out, without
from kx.search.study import FAILED, FILE, Study, study_folder
from kx.search.trial_configs import Trials, unknown_space
from kx.secrets import redact

# Keys of `tuner` that may change when a study is continued.
_MAY_CHANGE = (
    "max_trials", "max_hours", "iterations", "workers", "winner", "overwrite", "study",
    "max_retries_per_trial", "max_consecutive_failed_trials",
)  # fmt: skip
_PRUNERS = ("median", "asha")
_LARGEST_GRID = 10_000  # values of one key: KerasTuner's grid keeps them all in memory
_WINNERS = (None, "keep", "retrain", "none")


def study_name(base: Composed) -> str:
    """Returns the name of a search's study.

    Args:
        base: Config of the search.
    """
    given = base.config.tuner.get("study")
    what = base.choices.get("experiment") or f"{base.choices['model']}-{base.choices['data']}"
    return str(given or what)


def checked(base: Composed, settings: dict[str, Any]) -> tuple[Trials, Study]:
    """Checks a search, and returns the composer of its trials and a new study.

    Args:
        base: Config of the search.
        settings: Values of the config's `tuner` node.

    Raises:
        ConfigError: If the settings or the space have mistakes. The error lists all of them.
    """
    mistakes = _setting_mistakes(base, settings)
    space, unknown = _space(base, settings["space"])
    parameters, wrong = read_space(space)
    if "max_epochs" in settings and "epochs" in space:
        text = "Hyperband chooses the epochs by itself (tuner.max_epochs)."
        mistakes.append(Mistake("tuner.space.epochs", text))
    if str(settings["_target_"]).endswith("GridSearchOracle"):
        wrong += _grid_mistakes(parameters)
    if mistakes or unknown or wrong:
        raise ConfigError([*mistakes, *unknown, *wrong])
    trials = Trials(base, parameters)
    config = redact(resolved(base.config))
    for key in ("tuner", "tracking", "launcher", "resume", "run_dir", "report"):
        config.pop(key, None)
    method = {k: v for k, v in settings.items() if k not in (*_MAY_CHANGE, "space")}
    fixed = {"config": config, "tuner": {**method, "space": space}}
    name = study_name(base)
    return trials, Study(name, study_folder(name), fixed, objective(base))


def _setting_mistakes(base: Composed, settings: dict[str, Any]) -> list[Mistake]:
    mistakes = []
    for key, allowed in (("pruner", (None, *_PRUNERS)), ("winner", _WINNERS)):
        if settings[key] not in allowed:
            names = ", ".join("null" if a is None else a for a in allowed)
            text = f"expected one of {names}. Received: {shown(settings[key])}."
            mistakes.append(Mistake(f"tuner.{key}", text))
    if "max_epochs" in settings:
        if settings["pruner"]:
            text = "Hyperband stops trials by itself: tuner.pruner=null."
            mistakes.append(Mistake("tuner.pruner", text))
    if settings["objective"] and not re.match("val[_/]", str(settings["objective"])):
        text = (
            "trials are judged on the validation split: val_… as val_loss. Received:"
            f" {shown(settings['objective'])}."
        )
        mistakes.append(Mistake("tuner.objective", text))
    mistakes += _fold_mistakes(base, settings)
    name = study_name(base)
    if not re.fullmatch(r"[\w.-]{1,100}", name) or name.startswith("."):
        text = (
            "expected letters, digits and . _ - alone, 100 at most. Received:"
            f" {shown(name)}. Give it a name: tuner.study=NAME"
        )
        mistakes.append(Mistake("tuner.study", text))
    if str(base.config.resume) not in ("never", "auto"):
        text = "A search continues by its study (tuner.study), not by resume=RUN."
        mistakes.append(Mistake("resume", text))
    if base.config.run_dir:
        text = "The trials of a search have folders of their own, in studies/."
        mistakes.append(Mistake("run_dir", text))
    return mistakes


def _grid_mistakes(parameters: Sequence[Parameter]) -> list[Mistake]:
    """Returns a mistake for each parameter that has too many values for a grid search."""
    found = []
    for parameter in parameters:
        if parameter.kind == "int" and not parameter.step and parameter.sampling == "linear":
            count = int(parameter.max - parameter.min) + 1
        else:
            count = parameter.num_steps if parameter.step else 0
        if count > _LARGEST_GRID:
            text = f"these are {count} values; a grid takes {_LARGEST_GRID} of a key at most."
            found.append(Mistake(f"tuner.space.{parameter.path}", f"{text} Give it a larger step."))
    return found


def _fold_mistakes(base: Composed, settings: dict[str, Any]) -> list[Mistake]:
    folds, texts = settings["folds"], []
    if folds is None:
        return []
    if not isinstance(folds, int) or folds < 2:
        texts.append(f"expected null, or a whole number, 2 or more. Received: {folds!r}.")
    if base.config.split.fold is not None:
        texts.append("split.fold is what the folds of a search set. Leave it out.")
    if settings["winner"] == "keep":
        texts.append("no fold's model has seen all examples: tuner.winner=retrain, or none.")
    return [Mistake("tuner.folds", text) for text in texts]


def _space(base: Composed, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """Returns the space by path, and mistakes for nulls that match no default parameter."""
    space = flat(given)
    if space:
        return space, []
    default, nulls = flat(_default_space(base)), taken_out(given)
    mistakes = [
        Mistake(f"tuner.space.{null}", f"null takes a key out. {did_you_mean(null, list(default))}")
        for null in nulls
        if not taken_by(null, default)
    ]
    return without(default, nulls), mistakes


def _default_space(base: Composed) -> dict[str, Any]:
    """Returns the default space of the model: the project's own, or the one kx ships."""
    model = base.choices["model"]
    folders = [*map(Path, base.config_dirs), project_dir() / "conf", CONF_DIR]
    for folder in folders:
        path = folder / "tuner" / "space" / f"{model}.yaml"
        if is_file(path):
            return plain(load_yaml(path))
    names = {path.stem for f in folders for path in (f / "tuner" / "space").glob("*.yaml")}
    raise unknown_space(model, sorted(names))


def objective(base: Composed) -> tuple[str, str]:
    """Returns the Keras name of the metric that the search optimizes, and its direction.

    Args:
        base: Config of the search.

    Raises:
        ConfigError: If the direction of the metric is not known.
    """
    task = base.config.task
    name = base.config.tuner.objective
    if not name and task.get("monitor", "val_loss") is None:
        raise ConfigError(
            "tuner.objective: no metric of this task tells which trial is better (task.monitor is"
            " null). Name one: tuner.objective=val_… tuner.objective_mode=max (or min)."
        )
    if not name:
        return str(task.get("monitor", "val_loss")), str(task.get("monitor_mode", "min"))
    name = str(name).replace("val/", "val_")
    if base.config.tuner.objective_mode:
        return name, str(base.config.tuner.objective_mode)
    if name == task.monitor:
        return name, str(task.monitor_mode)
    mode = better(name)
    if mode != UNKNOWN_MODE:
        return name, mode
    raise ConfigError(
        f"tuner.objective={name}: is this a metric of the task? Its own is {task.monitor}. If it"
        " is, say whether it is better when large or small: tuner.objective_mode=max (or min)."
    )


def earlier_study(new: Study, settings: dict[str, Any]) -> Study | None:
    """Returns the existing study of the same name to continue, or None.

    A study whose trials have all failed may be replaced by one with another config.

    Args:
        new: New study of the search.
        settings: Values of the config's `tuner` node.

    Raises:
        ConfigError: If the existing study has another config.
    """
    if is_file(new.folder / FILE) and not settings["overwrite"]:
        study = Study.load(new.folder)
        try:
            study.refuse_change(new.fixed)
        except ConfigError:
            if not study.trials or not all(trial.state == FAILED for trial in study.trials):
                raise
            print(
                f"all trials of the study {study.name} had failed: with this config it starts"
                " from the beginning"
            )
            return None
        return study
    with contextlib.suppress(ConfigError, OSError):  # its experiment file counts as unedited
        new.experiment = Study.load(new.folder).experiment
    return None


def forget(new: Study) -> None:
    """Removes the files of an earlier study of the same name.

    Args:
        new: Study that replaces it.
    """
    (new.folder / FILE).unlink(missing_ok=True)  # first: without it there is no study
    for old in new.folder.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
        elif old.name != "lock":
            old.unlink()


def has_more(study: Study, settings: dict[str, Any]) -> bool:
    """Returns whether the settings extend a finished study: larger limits, or another winner.

    Args:
        study: The finished study.
        settings: Values of the config's `tuner` node.
    """
    had = study.oracle.get("limits", {})
    longer = any(
        _or_endless(settings.get(key)) > _or_endless(had.get(key))
        for key in ("max_trials", "iterations", "max_hours")
    )
    return longer or settings["winner"] not in ("none", study.winner_is)


def _or_endless(limit: float | None) -> float:
    return math.inf if limit is None else limit
