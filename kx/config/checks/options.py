"""The groups of a config, their options, and the files of the options."""

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
    """Reads each file once for all compositions of a session; each gets its own copy."""

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedRepository:
        return self  # Hydra copies it to change the search path, which is fixed in kx

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Returns a copy of the content of a file."""
        return copy.deepcopy(super().load_config(config_path))


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
