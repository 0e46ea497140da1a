"""Loads configs and their options with Hydra; a process reads the same files only once.

Each result is kept pickled, as long as the files that it was read from are the same: a copy of a
config by pickle takes a sixth of the time of `copy.deepcopy`.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides, create_defaults_list
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from kx.config.messages import Delta, display
from kx.config.places import experiment_files

_MOST_KEPT = 2000
_FILES: dict[Any, bytes] = {}
_COMPOSITIONS: dict[Any, bytes] = {}
_DEFAULTS: dict[Any, tuple[bytes, bytes]] = {}  # stamps of the files, and what they give


def _keep(kept: dict[Any, Any], key: Any, value: Any) -> None:
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    kept[key] = value


class SharedRepository(CachingConfigRepository):
    """Reads each file once for all configs of a process; each gets its own copy.

    Args:
        delegate: Repository that reads the files.
    """

    def __init__(self, delegate: Any) -> None:
        super().__init__(delegate)
        self.read: set[str] = set()  # names of the files so far

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedRepository:
        return self  # Hydra copies it to change the search path, which is fixed in kx

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Returns a copy of the content of a file."""
        self.read.add(config_path)
        stamp = self.stamp(config_path)
        if stamp not in _FILES:
            _keep(_FILES, stamp, pickle.dumps(self.delegate.load_config(config_path)))
        result: ConfigResult | None = pickle.loads(_FILES[stamp])
        return result

    def stamps(self, config_paths: Iterable[str]) -> tuple[Any, ...]:
        """Returns the stamps of several options."""
        return tuple(map(self.stamp, config_paths))

    def stamp(self, config_path: str) -> tuple[Any, ...]:
        """Returns a value that differs if the file of an option is another one, or has changed.

        Args:
            config_path: Name of the option, such as `model/cnn`.
        """
        name = config_path.removesuffix(".yaml")
        folders = (source.path for source in self.get_sources() if source.scheme() == "file")
        paths = [f"{folder.removeprefix('file://')}/{name}.yaml" for folder in folders]
        if name.startswith("experiment/"):
            paths.insert(0, str(experiment_files().get(name.removeprefix("experiment/"), "")))
        return (config_path, *((path, _state(path)) for path in paths))


def _state(path: str) -> tuple[int, int, int] | None:
    """Returns what changes with the content of a file, or None if there is no such file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a name that is too long, or has a NUL
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Loader(ConfigLoaderImpl):
    """Loads configs like Hydra, but chooses and merges the same files only once in a process.

    Args:
        search_path: Search path of the open Hydra session.
    """

    def __init__(self, search_path: ConfigSearchPath) -> None:
        super().__init__(search_path)
        self.repository: Any = SharedRepository(self.repository)

    def _compose_config_from_defaults_list(
        self, defaults: Sequence[ResultDefault], repo: Any
    ) -> DictConfig:
        names = [str(default.config_path) for default in defaults]
        key = (repr(defaults), self.repository.stamps(names))
        if key not in _COMPOSITIONS:
            # The repository gives copies: Hydra merges the files in place.
            made = super()._compose_config_from_defaults_list(list(defaults), self.repository)
            _keep(_COMPOSITIONS, key, pickle.dumps(made))
        composed: DictConfig = pickle.loads(_COMPOSITIONS[key])
        return composed


def defaults_list(
    repo: Any,
    config_name: str | None,
    overrides_list: list[Override],
    prepend_hydra: bool,
    skip_missing: bool,
) -> DefaultsList:
    """Returns Hydra's list of the files of a config; the same choices of options are read once.

    Args:
        repo: Repository of the files.
        config_name: Name of the primary config.
        overrides_list: Overrides of the config.
        prepend_hydra: Whether Hydra's own config is part of it.
        skip_missing: Whether groups without a choice are left out.
    """
    given = (config_name, overrides_list, prepend_hydra, skip_missing)
    shared = getattr(repo, "delegate", None)
    if not isinstance(shared, SharedRepository):
        return create_defaults_list(repo, *given)
    chosen = Overrides(repo=shared, overrides_list=overrides_list)
    values = {id(override) for override in chosen.config_overrides}
    words = tuple(o.input_line for o in overrides_list if id(o) not in values)
    sources = tuple(source.path for source in shared.get_sources())
    key = (config_name, words, prepend_hydra, skip_missing, sources)
    stamps, content = _DEFAULTS.get(key, (b"", b""))
    if content:
        names, defaults, tree, choices = pickle.loads(content)
        if pickle.dumps(shared.stamps(names)) == stamps:
            chosen.known_choices = choices
            return DefaultsList(defaults, tree, chosen.config_overrides, chosen)
    shared.read = set()
    made = create_defaults_list(CachingConfigRepository(shared), *given)
    names = sorted(shared.read)
    found = (names, made.defaults, made.defaults_tree, made.overrides.known_choices)
    _keep(_DEFAULTS, key, (pickle.dumps(shared.stamps(names)), pickle.dumps(found)))
    return made


config_loader_impl.create_defaults_list = defaults_list  # which Hydra's loader calls by this name


class Options:
    """Holds the options of all groups on the search path.

    Args:
        repository: Repository of the open Hydra session.
    """

    def __init__(self, repository: Any) -> None:
        self._repository = repository

    def of(self, group: str) -> list[str]:
        """Returns the options of a group, or an empty list if there is no such group."""
        if not group:  # the files of the root folder are not options
            return []
        try:
            found = self._repository.get_group_options(group, ObjectType.CONFIG)
        except (OSError, ValueError):  # not a valid folder name: too long, NUL
            return []
        return [name for name in found if not name.startswith("_")]  # parts of options

    def is_group(self, key: str) -> bool:
        """Returns whether a key names a group."""
        return bool(self.of(key))

    def groups(self) -> list[str]:
        """Returns the top-level groups without Hydra's own."""
        found = self._repository.get_group_options("", ObjectType.GROUP)
        return [name for name in found if name != "hydra"]

    def file_of(self, config_path: str) -> str:
        """Returns the path to the file of an option such as `model/cnn`, for a message."""
        group, _, name = config_path.partition("/")
        if group == "experiment" and name in experiment_files():
            return display(experiment_files()[name])
        try:
            result = self._repository.load_config(config_path)
        except Exception:  # the file cannot be read: only its name is known
            return config_path
        if result is None:
            return config_path
        return display(Path(result.path.removeprefix("file://")) / f"{config_path}.yaml")

    def deltas(self, defaults: Iterable[ResultDefault]) -> Iterator[Delta]:
        """Yields the place and the content of each experiment file.

        Args:
            defaults: Files of which a config is composed.
        """
        for item in defaults:
            path = str(item.config_path)
            if path.startswith("experiment/"):
                result = self._repository.load_config(path)
                assert result is not None
                content: Any = OmegaConf.to_container(result.config)
                content.pop("defaults", None)
                yield self.file_of(path), content


def places_of(
    override: Override, groups: list[Override], composed: Callable[[list[Override]], Any]
) -> list[str] | None:
    """Returns the places of a group that other options give it, or None if there is none.

    Args:
        override: Override of a group at a place: `tokenizer@tokenizer.target=words`.
        groups: All overrides of groups, this one included.
        composed: Function from overrides to the files of a config, and more.
    """
    if override.package is None:
        return None
    try:
        defaults, _ = composed([item for item in groups if item is not override])
    except Exception:  # another override is wrong, and is told
        return None
    group = override.key_or_group
    found = {
        str(item.package)
        for item in defaults
        if str(item.config_path).startswith(f"{group}/") and item.package != group
    }
    return sorted(found) or None
