"""Finds the folders and files of configs: kx's own and those of the user's project."""

from __future__ import annotations

from pathlib import Path

from kx.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]


def _shipped(name: str) -> Path:
    """Returns kx's conf/ or experiments/: inside the package in a wheel, else beside it."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


CONF_DIR = _shipped("conf")
EXPERIMENTS_DIR = _shipped("experiments")


def is_file(path: Path) -> bool:
    """Returns whether a file exists, and False for an invalid path (too long, NUL)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_dir(path: Path) -> bool:
    """Returns whether a folder exists, and False for an invalid path."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def project_dir(start: Path | None = None) -> Path:
    """Returns the project's folder.

    It is the nearest folder, from the current one upward, that has `conf/`,
    `experiments/` or `pyproject.toml`; otherwise the current folder.

    Args:
        start: Folder from which to search. Defaults to None: the current folder.
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
    """Returns the file of each experiment by name; the project's take precedence over kx's."""
    folders = filter(is_dir, (EXPERIMENTS_DIR, project_dir() / "experiments"))
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
