"""Where the files of a config are found, and how it is composed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kx.config.metric_modes import better
from kx.config.schema import Config
from kx.errors import ConfigError, Mistake

# Of what is no UTF-8, has thousands of digits, a list as a key, brackets without end.
_OTHERS = (ValueError, TypeError, RecursionError)
OmegaConf.register_new_resolver("kx.better", better, replace=True)

_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped(name: str) -> Path:
    """Returns our conf/ or experiments/: within the package in a wheel, beside it in a checkout."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


CONF_DIR = _shipped("conf")
EXPERIMENTS_DIR = _shipped("experiments")


def is_file(path: Path) -> bool:
    """Says whether a file is there; a path that the system refuses (too long, NUL) has none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_dir(path: Path) -> bool:
    """Says whether a folder is there; a path that the system refuses has none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def project_dir(start: Path | None = None) -> Path:
    """Returns the project's folder.

    It is the nearest one, from the current folder upward, that has `conf/`,
    `experiments/` or `pyproject.toml`; else the current one.

    Args:
        start: where to begin. Defaults to the current folder.
    """
    try:
        start = start or Path.cwd()
    except OSError as error:
        raise ConfigError(f"The current folder is not there any more ({error}).") from error
    for folder in (start, *start.parents):
        if is_file(folder / "pyproject.toml") or any(
            is_dir(folder / name) for name in ("conf", "experiments")
        ):
            return folder
    return start


def experiment_files() -> dict[str, Path]:
    """Returns name to file of every experiment: ours, then the project's, which win."""
    folders = filter(is_dir, (EXPERIMENTS_DIR, project_dir() / "experiments"))
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def load_yaml(path: Path) -> Any:
    """Loads a YAML file through OmegaConf (PyYAML alone reads `1e-4` as a string).

    Raises:
        ConfigError: if the file cannot be parsed.
    """
    try:
        node = OmegaConf.load(path)
    except (yaml.YAMLError, OSError, OmegaConfBaseException, *_OTHERS) as error:
        raise ConfigError([Mistake(str(path), f"This file is not valid YAML: {error}")]) from error
    if not OmegaConf.is_dict(node):
        raise ConfigError([Mistake(str(path), f"Expected keys and values. Received: {node!r}")])
    return node


def _store_experiments() -> None:
    store = ConfigStore.instance()
    store.repo.pop("experiment", None)
    for name, path in experiment_files().items():
        try:
            node = load_yaml(path)
        except ConfigError:
            continue  # one broken file stops no other run; choosing it says what is wrong
        store.store(
            group="experiment", name=name, node=node, package="_global_", provider=str(path)
        )


def add_project_to_path() -> None:
    """Makes the modules of the project's folder and of the current one importable."""
    for folder in (str(project_dir()), ""):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    importlib.invalidate_caches()  # a module that was written a moment ago is seen, too


@contextmanager
def hydra_session(config_dirs: Sequence[str | Path] = ()) -> Iterator[Hydra]:
    """Opens Hydra on our conf/ and the project's.

    Args:
        config_dirs: further folders of options, which win over both.
    """
    from hydra import version

    version.setbase("1.3")
    ConfigStore.instance().store(name="schema", node=Config)
    _store_experiments()
    search_path = create_config_search_path(str(CONF_DIR))
    project_conf = project_dir() / "conf"
    folders = [project_conf] if is_dir(project_conf) and project_conf != CONF_DIR else []
    for folder in (*folders, *(Path(item).absolute() for item in config_dirs)):
        if not is_dir(folder):
            raise ConfigError(f"There is no folder {str(folder)[:300]} (--config-dir).")
        position = 1  # after Hydra's own, before ours
        search_path.get_path().insert(position, _search_path_element(folder))
    GlobalHydra.instance().clear()
    try:
        yield Hydra.create_main_hydra2("kx", search_path)
    finally:
        GlobalHydra.instance().clear()


def _search_path_element(folder: Path) -> Any:
    from hydra.core.config_search_path import SearchPathElement

    return SearchPathElement("project", f"file://{folder}")


@dataclass
class Composed:
    """Holds a composed config and what it came from.

    Args:
        config: the config, interpolations unresolved.
        overrides: the words of the command line.
        choices: group to chosen option: `{"model": "cnn", …}`.
        config_dirs: further folders of options, in which it was composed.
    """

    config: DictConfig
    overrides: list[str]
    choices: dict[str, str]
    config_dirs: Sequence[str | Path] = ()


def compose(overrides: Sequence[str] = (), config_dirs: Sequence[str | Path] = ()) -> Composed:
    """Composes one run's config, and checks it.

    Args:
        overrides: words in Hydra's override syntax.
        config_dirs: further folders of options.

    Raises:
        ConfigError: with every mistake found.

    Example:
    >>> compose(["model=mlp", "epochs=3"]).config.epochs
    3
    """
    return compose_all(overrides, config_dirs, multirun=False)[0]


def compose_all(
    overrides: Sequence[str], config_dirs: Sequence[str | Path] = (), *, multirun: bool
) -> list[Composed]:
    """Composes and checks each job of a sweep, or the one run.

    Args:
        overrides: words in Hydra's override syntax.
        config_dirs: further folders of options.
        multirun: whether `a=1,2` means two jobs.

    Raises:
        ConfigError: with every mistake of every job.
    """
    from kx.config.checks.check import Checker

    with hydra_session(config_dirs) as hydra:
        jobs = Checker(hydra).compose_all(list(overrides), multirun=multirun)
    for job in jobs:
        job.config_dirs = config_dirs
    return jobs


def plain(config: Any, *, resolve: bool = False) -> dict[str, Any]:
    """Returns a config as plain values.

    Args:
        config: a mapping of OmegaConf's.
        resolve: whether to resolve interpolations.
    """
    container = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def resolved(config: DictConfig) -> dict[str, Any]:
    """Returns the config as plain values, all interpolations resolved but `${run_dir}`."""
    copy = config.copy()
    OmegaConf.set_readonly(copy, False)
    copy.run_dir = "\\${run_dir}"  # stays symbolic: each run has a folder of its own
    return {**plain(copy, resolve=True), "run_dir": None}
