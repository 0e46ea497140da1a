"""The groups of a config, their options, and the files that these are in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.object_type import ObjectType

from kx.config import experiment_files
from kx.config.places import display


class Options:
    """Knows the groups of the search path.

    Args:
        repository: Hydra's, of the open session.
    """

    def __init__(self, repository: Any) -> None:
        self._repository = repository

    def of(self, group: str) -> list[str]:
        """Returns the options of a group; none if there is no such group."""
        found = self._repository.get_group_options(group, ObjectType.CONFIG)
        return [name for name in found if not name.startswith("_")]  # parts of others

    def is_group(self, key: str) -> bool:
        """Says whether a key names a group."""
        return bool(self.of(key))

    def file_of(self, config_path: str) -> str:
        """Returns the file of an option, as `model/cnn`, for a message."""
        if config_path.startswith("experiment/"):
            return display(experiment_files()[config_path.partition("/")[2]])
        result = self._repository.load_config(config_path)
        if result is None:
            return config_path
        return display(Path(result.path.removeprefix("file://")) / f"{config_path}.yaml")
