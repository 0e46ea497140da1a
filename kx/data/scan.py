"""A look at many image files before a training: in parallel, and once for each content."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from kx.data.image_files import Checked, check_image, converted, pixel_limit
from kx.errors import first_line

_VERSION = 1  # of what is checked: verdicts of another are not used
_BLOCK = 500  # files between two writes of what was seen
_BUSY_SECONDS = 120
_TRIES = 3  # to read a file that changes


def cache_dir() -> Path:
    """Returns where kx keeps what is worked out once: `KX_CACHE_DIR`, else `~/.cache/kx`."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("KX_CACHE_DIR") or f"{base}/kx").expanduser()


def _writable() -> Path:
    """Returns the cache, or a temporary folder of this user where it cannot be written."""
    folder = cache_dir()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        return folder
    return Path(tempfile.gettempdir(), f"kx-{getpass.getuser()}")


@dataclass(frozen=True)
class Scanned:
    """Holds what was seen of a file.

    Args:
        path: of the file.
        content: SHA-256 of its bytes; empty if it cannot be read.
        checked: what it turned out to be.
    """

    path: str
    content: str
    checked: Checked


def scan(paths: Sequence[str], max_megapixels: float) -> list[Scanned]:
    """Looks at each file once: whether it is there, is whole, and is a picture.

    What was seen of a content is kept in the cache, and which content a file has,
    as long as its size and time of change are the same.

    Args:
        paths: of the files.
        max_megapixels: of the largest picture that is taken.

    Returns:
        One for each path, in their order.
    """
    with _store() as store, _progress(len(paths)) as advance, pixel_limit(max_megapixels):
        found: list[Scanned] = []
        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            for start in range(0, len(paths), _BLOCK):
                block = paths[start : start + _BLOCK]
                known = store.known(block, max_megapixels)
                todo = [path for path in block if path not in known]
                for seen in pool.map(lambda path: _look(path, max_megapixels), todo):
                    known[seen[0].path] = seen[0]
                    store.note(*seen, max_megapixels)
                    advance()
                store.commit()
                found += [known[path] for path in block]
                advance(len(block) - len(todo))
    return found


def convert_once(seen: Scanned, max_megapixels: float) -> str:
    """Converts a file that the graph does not read, and returns where the picture is.

    Args:
        seen: the file; the same content is converted once.
        max_megapixels: of the largest picture that is taken.
    """
    path, content = seen.path, seen.content
    target = _writable() / "converted" / content[:2] / f"{content}.png"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with pixel_limit(max_megapixels):
            picture = converted(Path(path).read_bytes())
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(picture)
        os.replace(file.name, target)
    return str(target)


def _look(path: str, max_megapixels: float) -> tuple[Scanned, tuple[int, int]]:
    """Reads a file and checks it; returns what was seen, and its size and time of change."""
    for _ in range(_TRIES):
        try:
            before = _stamp(path)
            encoded = Path(path).read_bytes()
            after = _stamp(path)
        except FileNotFoundError:
            return Scanned(path, "", Checked("the file is gone")), (-1, -1)
        except OSError as error:
            problem = f"cannot be read: {error.strerror or first_line(error)}"
            return Scanned(path, "", Checked(problem)), (-1, -1)
        if before == after:
            content = hashlib.sha256(encoded).hexdigest()
            return Scanned(path, content, check_image(encoded, max_megapixels)), before
    return Scanned(path, "", Checked("the file changes while it is read")), (-1, -1)


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


class _Store:
    """Keeps what was seen, in a SQLite file that several processes may use."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.executescript(
            "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER,"
            " changed INTEGER, content TEXT);"
            "CREATE TABLE IF NOT EXISTS seen (content TEXT, version INTEGER, megapixels REAL,"
            " problem TEXT, convert TEXT, width INTEGER, height INTEGER,"
            " PRIMARY KEY (content, version, megapixels));"
        )

    def known(self, paths: Sequence[str], max_megapixels: float) -> dict[str, Scanned]:
        """Returns what is known of files that are as they were."""
        found = {}
        for path in paths:
            row = self._connection.execute(
                "SELECT size, changed, content, problem, convert, width, height FROM files"
                " JOIN seen USING (content) WHERE path = ? AND version = ? AND megapixels = ?",
                (os.fsencode(path), _VERSION, max_megapixels),
            ).fetchone()
            try:
                if row is not None and _stamp(path) == row[:2]:
                    found[path] = Scanned(path, row[2], Checked(*row[3:]))
            except OSError:
                continue  # gone: looked at again, and told
        return found

    def note(self, seen: Scanned, stamp: tuple[int, int], max_megapixels: float) -> None:
        """Writes down what was seen of a file, if it could be read."""
        if not seen.content:
            return
        file = (os.fsencode(seen.path), *stamp, seen.content)
        self._connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", file)
        verdict: tuple[Any, ...] = (seen.content, _VERSION, max_megapixels, *astuple(seen.checked))
        self._connection.execute("INSERT OR REPLACE INTO seen VALUES (?,?,?,?,?,?,?)", verdict)

    def commit(self) -> None:
        """Keeps what was written down."""
        self._connection.commit()


@contextmanager
def _store() -> Iterator[_Store]:
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(folder / "images.db", timeout=_BUSY_SECONDS)
    except (OSError, sqlite3.Error):  # no place to keep it: looked at each time
        connection = sqlite3.connect(":memory:")
    with closing(connection):
        yield _Store(connection)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """Yields a function that says how many more were seen; shown on a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("looking at the images"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda count=1: bar.advance(task, count)
