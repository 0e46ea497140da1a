"""How a search begins: its settings and its space checked, its study opened."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from kx.config import CONF_DIR, Composed, load_yaml, plain, project_dir, resolved
from kx.errors import ConfigError, Mistake
from kx.search.configs import Trials, unknown_space
from kx.search.space import flat, read_space
from kx.search.study import FILE, Study, remove
from kx.tracking.provenance import redact

# Of `tuner`, what may change while a study goes on: how much, and what is done with it.
_MAY_CHANGE = ("max_trials", "max_hours", "iterations", "workers", "winner", "overwrite", "study")
_PRUNERS = ("median", "asha")
_WINNERS = ("keep", "retrain", "none")


def study_name(base: Composed) -> str:
    """Returns the name of a search's study."""
    given = base.config.tuner.get("study")
    what = base.choices.get("experiment") or f"{base.choices['model']}-{base.choices['data']}"
    return str(given or what)


def checked(base: Composed, settings: dict[str, Any]) -> tuple[Trials, dict[str, Any]]:
    """Returns what composes the trials, and what of the search may not change."""
    mistakes = _setting_mistakes(base, settings)
    space = settings["space"] or _default_space(base)
    parameters, wrong = read_space(space)
    if mistakes or wrong:
        raise ConfigError([*mistakes, *wrong])
    trials = Trials(base, parameters)
    config = redact(resolved(base.config))
    for key in ("tuner", "tracking", "launcher", "resume", "run_dir", "report"):
        config.pop(key, None)
    method = {k: v for k, v in settings.items() if k not in (*_MAY_CHANGE, "space")}
    return trials, {"config": config, "tuner": {**method, "space": _dotted(space)}}


def _setting_mistakes(base: Composed, settings: dict[str, Any]) -> list[Mistake]:
    mistakes = []
    for key, allowed in (("pruner", (None, *_PRUNERS)), ("winner", _WINNERS)):
        if settings[key] not in allowed:
            names = ", ".join("null" if a is None else a for a in allowed)
            text = f"expected one of {names}. Received: {settings[key]!r}."
            mistakes.append(Mistake(f"tuner.{key}", text))
    if "max_epochs" in settings:
        if settings["pruner"]:
            text = "Hyperband stops trials by itself: tuner.pruner=null."
            mistakes.append(Mistake("tuner.pruner", text))
        if "epochs" in settings["space"]:
            text = "Hyperband chooses the epochs by itself (tuner.max_epochs)."
            mistakes.append(Mistake("tuner.space.epochs", text))
    if str(settings["objective"] or "").startswith("test"):
        text = "trials are judged on the validation split: val_…"
        mistakes.append(Mistake("tuner.objective", text))
    name = study_name(base)
    if not re.fullmatch(r"[\w.=-]+", name) or name.startswith("."):
        text = f"expected letters, digits and . _ = - alone. Received: {name!r}."
        mistakes.append(Mistake("tuner.study", text))
    if str(base.config.resume) not in ("never", "auto"):
        text = "A search goes on by its study (tuner.study), not by resume=RUN."
        mistakes.append(Mistake("resume", text))
    if base.config.run_dir:
        text = "The trials of a search have folders of their own, in studies/."
        mistakes.append(Mistake("run_dir", text))
    return mistakes


def _default_space(base: Composed) -> dict[str, Any]:
    """Returns the space that is shipped for the model, or the project's own for it."""
    model = base.choices["model"]
    folders = [*map(Path, base.config_dirs), project_dir() / "conf", CONF_DIR]
    for folder in folders:
        path = folder / "tuner" / "space" / f"{model}.yaml"
        if path.is_file():
            return plain(load_yaml(path))
    names = {path.stem for f in folders for path in (f / "tuner" / "space").glob("*.yaml")}
    raise unknown_space(model, sorted(names))


def _dotted(space: dict[str, Any]) -> dict[str, Any]:
    """Returns a space as one mapping of dotted paths, as which it is compared."""
    return dict(flat(space))


def objective(base: Composed) -> tuple[str, str]:
    """Returns the metric by which trials are judged, as Keras names it, and its direction."""
    task = base.config.task
    name = base.config.tuner.objective
    if not name:
        return str(task.monitor), str(task.monitor_mode)
    name = str(name).replace("val/", "val_").replace("train/", "")
    if base.config.tuner.objective_mode:
        return name, str(base.config.tuner.objective_mode)
    if name == task.monitor:
        return name, str(task.monitor_mode)
    if "loss" in name or "error" in name:
        return name, "min"
    raise ConfigError(
        f"tuner.objective={name}: say whether it is better when large or small:"
        " tuner.objective_mode=max (or min)."
    )


def open_study(
    name: str, folder: Path, base: Composed, settings: dict[str, Any], fixed: dict[str, Any]
) -> tuple[Study, bool]:
    """Returns the study, and whether it is a new one."""
    if (folder / FILE).is_file() and not settings["overwrite"]:
        study = Study.load(folder)
        study.refuse_change(fixed)
        return study, False
    for old in folder.iterdir():
        if old.name != "lock":
            if old.is_dir():
                remove(old)
            else:
                old.unlink()
    return Study(name, folder, fixed, objective(base)), True


def has_more(study: Study, settings: dict[str, Any]) -> bool:
    """Says whether a finished study is now to have more trials than it was."""
    had = study.oracle.get("limits", {})
    longer = any(
        _or_endless(settings.get(key)) > _or_endless(had.get(key))
        for key in ("max_trials", "iterations", "max_hours")
    )
    return longer or settings["winner"] not in ("none", study.winner_is)


def _or_endless(limit: float | None) -> float:
    return math.inf if limit is None else limit
