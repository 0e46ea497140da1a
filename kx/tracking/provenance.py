"""Collects what is known about a run besides its config: code, packages, machine."""

from __future__ import annotations

import functools
import getpass
import hashlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import kx
from kx.paths import expanded
from kx.secrets import redact_word, scrub

_PACKAGES = (
    "kx", "tensorflow", "tensorflow-cpu", "jax", "keras", "keras-tuner", "tensorflow-datasets",
    "mlflow", "hydra-core",
    "omegaconf", "numpy", "scikit-learn", "pandas", "matplotlib", "keras-hub", "tensorflow-text",
)  # fmt: skip
_OWN_OUTPUTS = ("mlflow.db*", "mlartifacts/**", "runs/**", "__pycache__/**")


@dataclass(frozen=True)
class Code:
    """Holds the state of the project's git repository.

    Args:
        root: Root folder of the repository.
        commit: Hash of the commit that is checked out.
        diff: Diff of the tracked files against the commit; empty if there is none.
        untracked: Files that git neither tracks nor ignores.
    """

    root: Path
    commit: str
    diff: str
    untracked: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Returns whether the files are those of the commit."""
        return not self.diff and not self.untracked


def git(*words: str, folder: Path) -> str | None:
    """Returns the output of a git command, or None if it fails."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, timeout=30, check=False,
            errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def code_state(folder: Path) -> Code | None:
    """Returns the state of the repository of a folder, or None if it is in none.

    Args:
        folder: Folder of the project.
    """
    root = git("rev-parse", "--show-toplevel", folder=folder)
    commit = git("rev-parse", "HEAD", folder=folder)
    if not root or not commit:
        return None
    top = Path(root.strip())
    diff = git("diff", "HEAD", "--no-color", folder=top) or ""
    # Files that kx itself writes are not changes of the code.
    own = [f":(exclude,top,glob)**/{name}" for name in _OWN_OUTPUTS]
    words = ["ls-files", "--others", "--exclude-standard", "--", ":/", *own]
    others = git(*words, folder=top) or ""
    return Code(top, commit.strip(), scrub(diff), tuple(others.splitlines()))


def package_versions() -> dict[str, str]:
    """Returns the versions of the packages that the results depend on."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    versions["kx"] = kx.__version__
    return versions


def content_hash(path: str | Path) -> str | None:
    """Returns the SHA-256 of a file, or None if there is no such file.

    Args:
        path: Path to the file; `~` is the home folder.
    """
    where = expanded(path)
    if not where.is_file():
        return None
    with where.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def installed_packages() -> list[str]:
    """Returns all installed packages as `name==version`, sorted."""
    found = {
        f"{d.metadata['Name']}=={d.version}"
        for d in importlib.metadata.distributions()
        if d.metadata
    }
    return sorted(found, key=str.lower)


def command(overrides: list[str]) -> str:
    """Returns the command line that starts a run with these overrides, with secrets hidden."""
    return shlex.join(["python", "-m", "kx.run", *map(redact_word, overrides)])


def machine() -> dict[str, str]:
    """Returns a description of the machine."""
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_count": str(os.cpu_count()),
        "python_executable": sys.executable,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def user() -> str:
    """Returns the name of the user, or `"unknown"`."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
