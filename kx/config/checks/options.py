"""The groups of a config, their options, and the files that these are in."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult

from kx.config import experiment_files
from kx.config.messages import display


class SharedRepository(CachingConfigRepository):
    """Reads each file once for all compositions of a session; each gets a copy of its own."""

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedRepository:
        return self  # Hydra copies it for each composition, to change its search path: kx has one

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Returns a copy of a file's content."""
        return copy.deepcopy(super().load_config(config_path))


class Options:
    """Knows the groups of the search path.

    Args:
        repository: Hydra's, of the open session.
    """

    def __init__(self, repository: Any) -> None:
        self._repository = repository

    def of(self, group: str) -> list[str]:
        """Returns the options of a group; none if there is no such group."""
        if not group:  # the root's files are no options
            return []
        try:
            found = self._repository.get_group_options(group, ObjectType.CONFIG)
        except (OSError, ValueError):  # no name of a folder: too long, NUL
            return []
        return [name for name in found if not name.startswith("_")]  # parts of others

    def is_group(self, key: str) -> bool:
        """Says whether a key names a group."""
        return bool(self.of(key))

    def groups(self) -> list[str]:
        """Returns the groups of the root, Hydra's own left out."""
        found = self._repository.get_group_options("", ObjectType.GROUP)
        return [name for name in found if name != "hydra"]

    def file_of(self, config_path: str) -> str:
        """Returns the file of an option, as `model/cnn`, for a message."""
        group, _, name = config_path.partition("/")
        if group == "experiment" and name in experiment_files():
            return display(experiment_files()[name])
        try:
            result = self._repository.load_config(config_path)
        except Exception:  # a file that cannot be read: its name is all that is told
            return config_path
        if result is None:
            return config_path
        return display(Path(result.path.removeprefix("file://")) / f"{config_path}.yaml")
