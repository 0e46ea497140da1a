"""Locates the MLflow tracking store. Imports no MLflow."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import getproxies, urlopen

from kx.config import project_dir
from kx.errors import KxError, MissingExtraError
from kx.secrets import (
    REDACTED,
    bare,
    redact,
    scrub,
    without_credentials,
    would_get_credentials_of,
)

_ANSWER_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
# By default, MLflow retries each request for minutes if a server does not answer.
for _key, _value in (("TIMEOUT", "15"), ("MAX_RETRIES", "2"), ("BACKOFF_FACTOR", "1")):
    os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{_key}", _value)
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def store_uri(uri: str | None = None) -> str:
    """Returns the URI of the tracking store.

    It is `uri`, else the environment variable `MLFLOW_TRACKING_URI`, else `mlflow.db` in the
    project folder. The user and password of a server are moved to where MLflow
    reads them without showing them.

    Args:
        uri: Any MLflow tracking URI. Defaults to None.

    Raises:
        KxError: If the server would get the password of another one.
    """
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not chosen:
        return f"sqlite:///{project_dir()}/mlflow.db"
    if server := would_get_credentials_of(chosen):
        raise KxError(
            f"{chosen}: MLflow would send the user and password of {server} to this server, too."
            " Take another process for it, or give it a user and password of its own."
        )
    return without_credentials(chosen)


def sqlite_file(uri: str) -> Path | None:
    """Returns the file of a SQLite store, or None for other stores.

    Args:
        uri: URI of the store.

    Raises:
        KxError: If MLflow cannot open a file of this name.
    """
    if not uri.startswith("sqlite:///"):
        return None
    name = uri.removeprefix("sqlite:///")
    if "?" in name or unquote(name) != name:  # MLflow would open another file
        raise KxError(
            "MLflow cannot open a SQLite store in a folder whose name has a question mark, or a"
            f" percent sign before two digits: {name}. Rename the folder, or choose another store:"
            " tracking.uri=sqlite:////FOLDER/mlflow.db"
        )
    return Path(os.path.abspath(name))


def refuse_no_file(file: Path) -> None:
    """Raises at once if a path cannot be a SQLite store: MLflow would retry for minutes.

    Args:
        file: Path to the store.

    Raises:
        OSError: If the path is a folder or another file, or no file can be written beside it.
    """
    if file.is_dir():
        raise OSError(f"{file} is a folder. Expected a file, which MLflow makes")
    if file.is_file() and file.stat().st_size and not _is_sqlite(file):
        raise OSError(f"{file} is no SQLite database. Move it away, and a new one is made")
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        with tempfile.TemporaryFile(dir=file.parent):
            pass


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(16) == b"SQLite format 3\0"


def uri_now(uri: str | None) -> str | None:
    """Returns the current URI of a store that a run recorded, since the project may have moved.

    Args:
        uri: URI of the store when the run began, or None.
    """
    try:
        file = sqlite_file(uri) if uri else None
    except KxError:  # MLflow cannot open it, which is reported when the store is opened
        return uri
    own = project_dir() / file.name if file is not None else None
    if file is not None and own is not None and not file.parent.exists() and own.exists():
        return f"sqlite:///{own}"  # if its folder exists, it may just be unavailable
    return uri


def full_uri(recorded: str | None, given: str | None = None) -> str:
    """Returns the full URI of a run's store, with the password that is not recorded.

    Args:
        recorded: URI in the run's folder, or None if the run was not tracked.
        given: URI in the config. Defaults to None.

    Raises:
        KxError: If the password is not known.
    """
    original = given or os.environ.get("MLFLOW_TRACKING_URI") or ""
    if recorded is None or recorded in (redact(original), redact(bare(original))):
        return store_uri(given)
    if bare(original) == bare(recorded):
        return store_uri(given)
    if REDACTED in recorded:
        raise KxError(
            f"The store of the run, {recorded}, needs its password, which kx does not keep. Give it"
            " again: tracking.uri=…, or MLFLOW_TRACKING_URI in the environment."
        )
    return recorded


def artifact_root(file: Path) -> Path:
    """Returns the artifact folder of a SQLite store: `mlartifacts/` beside it.

    Args:
        file: Path to the store.
    """
    return file.parent / "mlartifacts"


def artifact_location(uri: str, experiment: str) -> str | None:
    """Returns the artifact URI of a new experiment in a SQLite store, or None for other stores.

    It is in `mlartifacts/` beside the SQLite store. Other stores choose the place themselves.

    Args:
        uri: Tracking URI.
        experiment: Name of the experiment.
    """
    file = sqlite_file(uri)
    if file is None:
        return None
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in experiment)
    return (artifact_root(file) / safe).as_uri()  # escapes special characters


def refuse_unreachable(uri: str) -> None:
    """Raises within seconds if a server does not answer, which takes MLflow itself minutes.

    Args:
        uri: URI of the store.

    Raises:
        OSError: If the address cannot be reached, or is a folder.
    """
    parts = urlsplit(uri)
    allowed = os.environ.get("MLFLOW_ALLOW_FILE_STORE", "false").lower() in ("true", "1")
    if parts.scheme in ("", "file") and not allowed:
        raise OSError(
            "MLflow keeps runs in databases, not in folders. Expected"
            f" sqlite:///{Path(parts.path).absolute()}, or the address of a server or a database"
        )
    kind, _, driver = parts.scheme.partition("+")
    port = parts.port or _PORTS.get(kind)
    by_proxy = kind in ("http", "https") and {kind, "all"} & set(getproxies())
    by_socket = {"host", "unix_socket"} & set(parse_qs(parts.query))
    if not parts.hostname or port is None or by_proxy or by_socket or driver == "pyodbc":
        return
    with socket.create_connection((parts.hostname, port), timeout=_ANSWER_SECONDS):
        pass


def unusable(uri: str, error: Exception) -> KxError:
    """Returns the error of a store that cannot be used, with advice.

    Args:
        uri: URI of the store.
        error: Exception that was raised.
    """
    advice = "Choose another (tracking.uri=…) or train without: tracking=none."
    if isinstance(error, ImportError) and "psycopg" in str(error):
        return MissingExtraError(
            "A tracking store in PostgreSQL needs a driver. Expected psycopg; it is not installed:"
            ' pip install "kx[postgres]"'
        )
    reason = scrub(str(error).split("\n(Background on this error")[0].strip() or repr(error))
    if "401" in reason or "403" in reason:
        advice = (
            "Its user and password: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the"
            f" environment. {advice}"
        )
    return KxError(f"The tracking store {redact(uri)} cannot be used: {reason}\n{advice}")


def await_server(uri: str, seconds: float) -> None:
    """Waits for a tracking server that is temporarily unavailable; ignores other stores.

    Args:
        uri: URI of the store.
        seconds: Maximum time to wait, in seconds.
    """
    end = time.monotonic() + seconds
    address = bare(uri).rstrip("/")  # urlopen would read `user@host` as the host
    while uri.startswith(("http://", "https://")) and time.monotonic() < end:
        try:
            with urlopen(f"{address}/health", timeout=_ANSWER_SECONDS):
                return
        except HTTPError:  # an error response is an answer, too
            return
        except OSError:
            time.sleep(1.0)


@contextmanager
def current_store(uri: str | None) -> Iterator[None]:
    """Sets MLflow's current store within the context, and restores the previous one.

    MLflow's own `set_tracking_uri` also sets the environment variable, which the next run
    of this process would read.

    Args:
        uri: Tracking URI.
    """
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    before = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with _use_tracking_uri(uri or ""):
            yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before
