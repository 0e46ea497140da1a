"""Check of many image files before training: in parallel, and once for each content."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import PIL
import tensorflow as tf

from kx.data.sources.images.folder.formats import (
    Checked,
    begins_as_picture,
    check_image,
    converted,
    pixel_limit,
)
from kx.errors import DataError, first_line
from kx.paths import cache_dir

# Of the checks and the libraries: results of another version are not used.
_VERSION = f"3, Pillow {PIL.__version__}, TensorFlow {tf.__version__}"
_BLOCK = 500  # files between two commits of the results
_BUSY_SECONDS = 120
_TRIES = 3  # attempts to read a file that changes
_LARGE_BYTES = 2**27  # larger files are read only if they begin as an image


def _writable() -> Path:
    """Returns the cache folder, or a temporary folder of the user if it is not writable."""
    folder = cache_dir()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        return folder
    return Path(tempfile.gettempdir(), f"kx-{getpass.getuser()}")


@dataclass(frozen=True)
class Scanned:
    """Holds the content hash and the check of a file.

    Args:
        path: Path to the file.
        content: SHA-256 of the bytes of the file; empty if it cannot be read.
        checked: Result of the check.
    """

    path: str
    content: str
    checked: Checked


def scan(paths: Sequence[str], max_megapixels: float) -> list[Scanned]:
    """Checks each file once: whether it exists, is complete, and is an image.

    The cache has the result for each content, and the content of each file, which is used as long
    as the size and modification time of the file are unchanged.

    Args:
        paths: Paths to the files.
        max_megapixels: Size of the largest accepted image, in millions of pixels.

    Returns:
        Result for each path, in the order of the paths.
    """
    with (
        _store() as store,
        _progress("looking at the images", len(paths)) as advance,
        pixel_limit(max_megapixels),
    ):

        def check(content: str, encoded: bytes) -> Checked:
            return store.verdict(content, max_megapixels) or check_image(encoded, max_megapixels)

        found: list[Scanned] = []
        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            for start in range(0, len(paths), _BLOCK):
                block = paths[start : start + _BLOCK]
                known = store.known(block, max_megapixels)
                todo = [path for path in block if path not in known]
                for seen, stamp in pool.map(lambda path: _look(path, check), todo):
                    known[seen.path] = seen
                    store.note(seen, stamp, max_megapixels)
                    advance()
                store.commit()
                found += [known[path] for path in block]
                advance(len(block) - len(todo))
    return found


def convert(files: Sequence[Scanned], max_megapixels: float) -> dict[str, str]:
    """Converts files that the graph cannot read, each content once, and caches the results.

    Args:
        files: Files that were checked.
        max_megapixels: Size of the largest accepted image, in millions of pixels.

    Returns:
        Path to each file, mapped to the path to its conversion.

    Raises:
        DataError: If a file has changed since the check, or the conversion cannot be written.
    """
    folder = _writable() / "converted" / hashlib.sha256(_VERSION.encode()).hexdigest()[:8]
    targets = {seen.content: folder / seen.content[:2] / seen.content for seen in files}
    todo = {seen.content: seen for seen in files if not targets[seen.content].is_file()}
    with _progress("converting", len(todo)) as advance, pixel_limit(max_megapixels):
        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            for _ in pool.map(lambda seen: _convert(seen, targets[seen.content]), todo.values()):
                advance()
    return {seen.path: str(targets[seen.content]) for seen in files}


def _convert(seen: Scanned, target: Path) -> None:
    try:
        encoded = Path(seen.path).read_bytes()
    except OSError as error:
        encoded, reason = b"", error.strerror
    else:
        reason = "it has changed"
    if hashlib.sha256(encoded).hexdigest() != seen.content:
        raise DataError(
            f"{seen.path}: the file is not what it was when it was looked at ({reason}). The same"
            " command looks again."
        )
    picture = converted(encoded)
    begun = target.with_name(f"{target.name}.{threading.get_ident()}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        begun.write_bytes(picture)
        os.replace(begun, target)
    except OSError as error:
        begun.unlink(missing_ok=True)
        raise DataError(
            f"{seen.path}: its conversion cannot be kept in {target.parent}: {error.strerror}. Make"
            " room, or choose another folder: KX_CACHE_DIR=DIR"
        ) from error


def _look(path: str, check: Callable[[str, bytes], Checked]) -> tuple[Scanned, tuple[int, int]]:
    """Returns the check of a file, and its size and modification time."""
    for _ in range(_TRIES):
        try:
            before = _stamp(path)
            if not os.path.isfile(path):  # reading a pipe would never end
                return Scanned(path, "", Checked("no regular file")), (-1, -1)
            if before[0] > _LARGE_BYTES and not begins_as_picture(path):  # a video, an archive
                return Scanned(path, "", Checked("no image, and large")), (-1, -1)
            encoded = Path(path).read_bytes()
            after = _stamp(path)
        except FileNotFoundError:
            return Scanned(path, "", Checked("the file is gone")), (-1, -1)
        except (OSError, ValueError) as error:  # ValueError: an invalid file name
            problem = f"cannot be read: {getattr(error, 'strerror', None) or first_line(error)}"
            return Scanned(path, "", Checked(problem)), (-1, -1)
        if before == after:
            content = hashlib.sha256(encoded).hexdigest()
            return Scanned(path, content, check(content, encoded)), before
    return Scanned(path, "", Checked("the file changes while it is read")), (-1, -1)


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


class _Store:
    """Stores the results of checks in a SQLite file that several processes may share."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        connection.executescript(
            "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER,"
            " changed INTEGER, content TEXT);"
            "CREATE TABLE IF NOT EXISTS seen (content TEXT, version INTEGER, megapixels REAL,"
            " problem TEXT, convert TEXT, width INTEGER, height INTEGER,"
            " PRIMARY KEY (content, version, megapixels));"
        )

    def known(self, paths: Sequence[str], max_megapixels: float) -> dict[str, Scanned]:
        """Returns the stored results of files that are unchanged."""
        found = {}
        for path in paths:
            rows = self._execute(
                "SELECT size, changed, content, problem, convert, width, height FROM files"
                " JOIN seen USING (content) WHERE path = ? AND version = ? AND megapixels = ?",
                (os.fsencode(path), _VERSION, max_megapixels),
            )
            row = rows[0] if rows else None
            try:
                if row is not None and _stamp(path) == row[:2]:
                    found[path] = Scanned(path, row[2], Checked(*row[3:]))
            except (OSError, ValueError):
                continue  # removed: checked again, and reported
        return found

    def verdict(self, content: str, max_megapixels: float) -> Checked | None:
        """Returns the stored result of a content, of any file name, or None."""
        rows = self._execute(
            "SELECT problem, convert, width, height FROM seen"
            " WHERE content = ? AND version = ? AND megapixels = ?",
            (content, _VERSION, max_megapixels),
        )
        return Checked(*rows[0]) if rows else None

    def note(self, seen: Scanned, stamp: tuple[int, int], max_megapixels: float) -> None:
        """Stores the result of a file, if the file could be read."""
        if not seen.content:
            return
        file = (os.fsencode(seen.path), *stamp, seen.content)
        self._execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", file)
        verdict: tuple[Any, ...] = (seen.content, _VERSION, max_megapixels, *astuple(seen.checked))
        self._execute("INSERT OR REPLACE INTO seen VALUES (?,?,?,?,?,?,?)", verdict)

    def commit(self) -> None:
        """Commits the stored results."""
        with contextlib.suppress(sqlite3.Error):  # a full disk: checked again next time
            self._connection.commit()

    def _execute(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Runs a statement; after an error, the files are checked again next time."""
        with contextlib.suppress(sqlite3.Error), self._lock:
            return self._connection.execute(statement, values).fetchall()
        return []


@contextmanager
def _store() -> Iterator[_Store]:
    path = cache_dir() / "images.db"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
        store = _Store(connection)
    except (OSError, sqlite3.Error) as error:
        print(f"{path} cannot be used ({error}): each image is checked again. Remove the file")
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        store = _Store(connection)
    with closing(connection):
        yield store


@contextmanager
def _progress(what: str, total: int) -> Iterator[Any]:
    """Yields a function that advances a progress bar, which is shown on a terminal only."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda count=1: bar.advance(task, count)
