"""Composes a config from its files."""

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
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kx.config.checks.options import Loader
from kx.config.places import CONF_DIR, experiment_files, is_dir, project_dir
from kx.config.schema import Config
from kx.errors import ConfigError, Mistake
from kx.metric_modes import better

# Raised for text that is not UTF-8, thousands of digits, a list as a key, deep nesting.
_OTHERS = (ValueError, TypeError, RecursionError)
OmegaConf.register_new_resolver("kx.better", better, replace=True)


def load_yaml(path: Path) -> Any:
    """Loads a YAML file through OmegaConf (PyYAML alone reads `1e-4` as a string).

    Raises:
        ConfigError: If the file cannot be parsed.
    """
    try:
        node = OmegaConf.load(path)
    except (yaml.YAMLError, OSError, OmegaConfBaseException, *_OTHERS) as error:
        raise ConfigError([Mistake(str(path), f"This file is not valid YAML: {error}")]) from error
    if not OmegaConf.is_dict(node):
        raise ConfigError([Mistake(str(path), f"Expected keys and values. Received: {node!r}")])
    return node


class _Experiment(ConfigNode):
    """Reads an experiment's file only when it is chosen."""

    @property
    def node(self) -> DictConfig:  # type: ignore[override]
        """Returns the content of the file."""
        return load_yaml(Path(str(self.provider)))

    @node.setter
    def node(self, content: DictConfig) -> None:
        """Does nothing: Hydra sets a copy of what it has read."""


def _store_experiments() -> None:
    """Makes the experiments options of a group that has no folder of its own."""
    options: dict[str, Any] = {}
    for name, path in experiment_files().items():
        file = f"{name}.yaml"
        options[file] = _Experiment(file, OmegaConf.create(), "experiment", "_global_", str(path))
    repository = ConfigStore.instance().repo
    repository.pop("experiment", None)
    if options:
        repository["experiment"] = options


def add_project_to_path() -> None:
    """Makes the modules of the project's folder and of the current folder importable."""
    for folder in (str(project_dir()), ""):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    importlib.invalidate_caches()  # so that new modules are found, too


@contextmanager
def hydra_session(config_dirs: Sequence[str | Path] = ()) -> Iterator[Hydra]:
    """Opens Hydra on kx's conf/ and the project's.

    Args:
        config_dirs: Additional folders of options, which take precedence over both.
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
        position = 1  # after Hydra's own, before kx's
        search_path.get_path().insert(position, _search_path_element(folder))
    GlobalHydra.instance().clear()
    try:
        hydra = Hydra.create_main_hydra2("kx", search_path)
        hydra.config_loader = Loader(search_path)
        yield hydra
    finally:
        GlobalHydra.instance().clear()


def _search_path_element(folder: Path) -> Any:
    from hydra.core.config_search_path import SearchPathElement

    return SearchPathElement("project", f"file://{folder}")


@dataclass
class Composed:
    """Holds a composed config, and the overrides and options that it was composed from.

    Args:
        config: Config, with unresolved interpolations.
        overrides: Overrides of the command line.
        choices: Chosen option of each group: `{"model": "cnn", …}`.
        config_dirs: Additional folders of options that were searched.
    """

    config: DictConfig
    overrides: list[str]
    choices: dict[str, str]
    config_dirs: Sequence[str | Path] = ()


def compose(overrides: Sequence[str] = (), config_dirs: Sequence[str | Path] = ()) -> Composed:
    """Composes and checks the config of one run.

    Args:
        overrides: Overrides in Hydra's syntax.
        config_dirs: Additional folders of options.

    Raises:
        ConfigError: If the config has mistakes. It lists all of them.

    Example:
    >>> compose(["model=mlp", "epochs=3"]).config.epochs
    3
    """
    return compose_all(overrides, config_dirs, multirun=False)[0]


def compose_all(
    overrides: Sequence[str], config_dirs: Sequence[str | Path] = (), *, multirun: bool
) -> list[Composed]:
    """Composes and checks the config of each job of a sweep, or of a single run.

    Args:
        overrides: Overrides in Hydra's syntax.
        config_dirs: Additional folders of options.
        multirun: Whether `a=1,2` means two jobs.

    Raises:
        ConfigError: If a job has mistakes. It lists those of all jobs.
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
        config: OmegaConf mapping.
        resolve: Whether to resolve interpolations. Defaults to False.
    """
    container = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def resolved(config: DictConfig) -> dict[str, Any]:
    """Returns a config as plain values, with all interpolations resolved except `${run_dir}`."""
    copy = config.copy()
    OmegaConf.set_readonly(copy, False)
    copy.run_dir = "\\${run_dir}"  # stays unresolved, since each run has its own folder
    return {**plain(copy, resolve=True), "run_dir": None}
