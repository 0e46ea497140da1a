"""Sends a run's requests to its tracking store in order, and keeps those that cannot be sent.

A thread sends them, so that an epoch never waits for a server. Requests that cannot be sent
are written to `outbox/` of the run's folder, and are retried during the run and at its end.
`kx sync` sends the remaining ones later.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException

from kx.errors import first_line
from kx.secrets import scrub

_Request = dict[str, Any]
_AWAY = (MlflowException, OSError)
# Error codes of a store that answers, and would answer the same to a retry.
_REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST")
_MAX_METRICS = 1000  # in one request; MLflow's limit
_LONGEST_PAUSE_SECONDS = 30.0
_PATIENCE_SECONDS = 3.0  # before a message explains the delay


class Sender:
    """Sends the requests of one run.

    Args:
        client: Client of the store.
        run_id: Id of the run.
        outbox: Folder for requests that could not be sent. Those in it are sent first.
        quiet: Whether to print nothing about an unavailable store. Defaults to False.
    """

    def __init__(
        self, client: MlflowClient, run_id: str, outbox: Path, *, quiet: bool = False
    ) -> None:
        self.client, self.run_id, self.outbox = client, run_id, outbox
        self.error: BaseException | None = None  # of the last attempt, if it failed
        self._quiet = self._told = quiet
        self._queue: deque[_Request] = deque(_read(outbox))
        self._waited = bool(self._queue)  # whether there are requests in the outbox
        self._change = threading.Condition(threading.RLock())
        self._pause = 0.0
        self._closing = self._keeping = False
        self._thread = threading.Thread(target=self._work, name="kx-sender", daemon=True)
        self._thread.start()

    def put(self, kind: str, **payload: Any) -> None:
        """Adds a request, which is sent after the earlier ones.

        Args:
            kind: Kind of the request: `"metrics"`, `"tags"`, `"files"`, `"model"` or `"end"`.
            **payload: Plain data of the request.
        """
        values = payload.get("values")
        if kind == "metrics" and values is not None and len(values) > _MAX_METRICS:
            self.put(kind, values=values[:_MAX_METRICS])
            self.put(kind, values=values[_MAX_METRICS:])
            return
        request = {"kind": kind, **payload}
        with self._change:
            self._queue.append(request)
            if self._waited:
                _append(self.outbox, request)
            self._change.notify_all()

    def put_files(self, folder: Path, kind: str = "files", **payload: Any) -> None:
        """Sends the files of a folder now, or keeps a copy of them to be sent later.

        Args:
            folder: Folder with the files.
            kind: Kind of the request. Defaults to `"files"`.
            **payload: Plain data of the request.
        """
        request = {"kind": kind, "folder": str(folder), **payload}
        if self.flush():
            try:
                perform(self.client, self.run_id, request)
                return
            except _AWAY as error:
                self._failed(error)
        with self._change:  # from now on, the outbox is not removed by the thread
            self._keeping = True
        kept = self.outbox / "files" / f"{time.time_ns()}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, kept)
        with self._change:
            if not self._waited:
                _write(self.outbox, list(self._queue))
                self._waited = True
            self.put(kind, **{**payload, "folder": str(kept)})
            self._keeping = False

    def flush(self, timeout_seconds: float | None = 30.0) -> bool:
        """Waits until all requests are sent or one fails; returns whether all are sent.

        Args:
            timeout_seconds: Maximum time to wait, in seconds; None for no limit. Defaults to 30.
        """
        deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
        with self._change:
            while self._queue and self.error is None and time.monotonic() < deadline:
                self._change.wait(timeout=0.5)
            return not self._queue

    def close(self, timeout_seconds: float | None = None) -> int:
        """Retries all requests once; returns the number of those that stay in the outbox.

        Args:
            timeout_seconds: Maximum time to wait, in seconds. Defaults to None: no limit.
                Each request has its own timeout.
        """
        with self._change:
            if self._queue:  # so that none is lost from here on
                _write(self.outbox, list(self._queue))
                self._waited = True
            self._closing = True
            self._pause = 0.0
            self._change.notify_all()
        self._thread.join(_PATIENCE_SECONDS if timeout_seconds is None else timeout_seconds)
        if timeout_seconds is None and self._thread.is_alive():
            if not self._quiet:
                print("sending what the tracking store lacks; Ctrl-C leaves it to kx sync")
            self._thread.join()
        with self._change:
            if self._queue:
                _write(self.outbox, list(self._queue))
            return len(self._queue)

    def _work(self) -> None:
        """Sends the requests in the queue, oldest first, until the sender is closed."""
        while True:
            with self._change:
                while not self._queue and not self._closing:
                    self._change.wait()
                if self._pause and not self._closing:
                    self._change.wait_for(lambda: self._closing, timeout=self._pause)
                if not self._queue:
                    return
                requests = _together(self._queue)
                closing = self._closing
            try:
                perform(self.client, self.run_id, _joined(requests))
            except Exception as error:
                if not _is_refusal(error):
                    self._failed(error)
                    if closing:
                        return
                    continue
                self._refused(requests, error)
            with self._change:
                for _ in requests:
                    self._queue.popleft()
                if not self._queue and self._waited and not self._keeping:
                    self._recovered()
                self._change.notify_all()

    def _failed(self, error: BaseException) -> None:
        with self._change:
            if not self._waited:
                _write(self.outbox, list(self._queue))
            self.error, self._waited = error, True
            self._pause = min(max(2.0, 2 * self._pause), _LONGEST_PAUSE_SECONDS)
            self._change.notify_all()
            tell = not self._told
            self._told = True
        if tell:
            print(
                "the tracking store does not answer; the run continues, and what it logs waits in"
                f" {self.outbox}: {scrub(first_line(error))}"
            )

    def _refused(self, requests: list[_Request], error: BaseException) -> None:
        """Writes requests that the store refuses to a file, so that the others can be sent."""
        where = self.outbox.with_name("refused.jsonl")
        with where.open("a", encoding="utf-8") as file:
            for request in requests:
                file.write(json.dumps({**request, "error": scrub(error)}) + "\n")
        print(
            f"the tracking store refuses a {requests[0]['kind']} request ({where}): {scrub(error)}"
        )

    def _recovered(self) -> None:
        was_away = self.error is not None
        self._waited = False
        self.error, self._pause, self._told = None, 0.0, self._quiet
        shutil.rmtree(self.outbox, ignore_errors=True)
        if was_away and not self._quiet:
            print("the tracking store answers again; all that had waited is sent")


def _is_refusal(error: Exception) -> bool:
    """Returns whether a request failed permanently, and not because the store is unavailable."""
    if isinstance(error, FileNotFoundError) or not isinstance(error, _AWAY):
        return True
    return isinstance(error, MlflowException) and error.error_code in _REFUSALS


def perform(client: MlflowClient, run_id: str, request: Mapping[str, Any]) -> None:
    """Sends one request.

    Args:
        client: Client of the store.
        run_id: Id of the run.
        request: Request in the form of `Sender.put`.
    """
    kind = request["kind"]
    if kind == "metrics":
        client.log_batch(run_id, metrics=[Metric(*values) for values in request["values"]])
    elif kind == "tags":
        tags = [RunTag(key, value) for key, value in request["values"].items()]
        client.log_batch(run_id, tags=tags)
    elif kind == "files":
        client.log_artifacts(run_id, request["folder"], request.get("path"))
    elif kind == "model":
        from kx.tracking.mlflow.logged_model import log_kept_model

        log_kept_model(client, run_id, Path(request["folder"]))
    else:
        client.set_terminated(run_id, request["status"], end_time=request["time"])


def _together(queue: deque[_Request]) -> list[_Request]:
    """Returns the first request, or the first ones together if they are metrics."""
    taken: list[_Request] = []
    count = 0
    for request in queue:
        count += len(request.get("values", ()))
        if taken and (request["kind"] != "metrics" or count > _MAX_METRICS):
            break
        taken.append(request)
        if request["kind"] != "metrics":
            break
    return taken


def _joined(requests: list[_Request]) -> _Request:
    if len(requests) == 1:
        return requests[0]
    return {"kind": "metrics", "values": [v for request in requests for v in request["values"]]}


# --- the outbox


def _file(outbox: Path) -> Path:
    return outbox / "requests.jsonl"


def _read(outbox: Path) -> list[_Request]:
    """Returns the requests of an outbox; skips a last line that is cut off."""
    requests = []
    try:
        lines = _file(outbox).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            requests.append(json.loads(line))
        except ValueError:
            continue
    return requests


def _write(outbox: Path, requests: list[_Request]) -> None:
    outbox.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(request) + "\n" for request in requests)
    half = _file(outbox).with_suffix(".part")
    half.write_text(text, encoding="utf-8")
    half.replace(_file(outbox))


def _append(outbox: Path, request: _Request) -> None:
    with _file(outbox).open("a", encoding="utf-8") as file:
        file.write(json.dumps(request) + "\n")


def forget_end(outbox: Path) -> None:
    """Removes the end of a run from its outbox, since the run is resumed."""
    requests = [r for r in _read(outbox) if r["kind"] != "end"]
    kept = [r for r in requests if not (r["kind"] == "tags" and "kx.error" in r["values"])]
    if _file(outbox).is_file():
        _write(outbox, kept)


def waiting(outbox: Path) -> int:
    """Returns the number of requests in an outbox."""
    return len(_read(outbox))
