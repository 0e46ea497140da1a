"""What an export has written, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Exported:
    """Holds the result of an export.

    Args:
        folder: Folder with the files.
        differences: Largest difference from the trained model, by file.
        num_examples: Number of examples that were compared.
        num_converted: Number of images of the run's data that the SavedModel reads differently.
            Defaults to 0.
        hosts: Functions to which raw texts go first, in Python. Defaults to none.
        modules: Modules that are imported before the SavedModel is loaded. Defaults to none.
    """

    folder: Path
    differences: dict[str, float]
    num_examples: int
    num_converted: int = 0
    hosts: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


def show_exported(exported: Exported) -> None:
    """Prints the exported files, and their differences from the trained model."""
    print(f"exported: {exported.folder}")
    for path in sorted(exported.folder.iterdir()):
        files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
        size = sum(file.stat().st_size for file in files)
        print(f"  {path.name + ('/' if path.is_dir() else ''):<20}{size / 2**20:8.2f} MiB")
    if exported.num_converted:
        print(
            f"{exported.num_converted} of the data's pictures were converted first (TIFF, CMYK,"
            " turned by EXIF …), as `kx predict` does. The SavedModel reads them otherwise"
        )
    for host in exported.hosts:
        print(f"the SavedModel takes texts as {host} returns them; `kx predict` calls it")
    for module in exported.modules:
        print(f"the SavedModel is loaded after `import {module}`, whose operations it has")
    print(f"reloaded in a fresh process, on {exported.num_examples} real examples:")
    for file, difference in exported.differences.items():
        print(f"  {file:<20}largest difference {difference:.3g}")
