"""Checks the contracts of an engine and of a tracker."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kx.config import compose
from kx.launch.engines import Engine
from kx.launch.jobs import Job
from kx.launch.pool import spec_of
from kx.testing.contract import require
from kx.tracking.tracker import Tracker

_WORDS = ["data=wine", "model=linear", "report=none", "tracking=none", "callbacks=none"]


def check_engine(engine: Engine, folder: Path, seconds: float = 120.0) -> None:
    """Checks that an engine runs jobs, passes on their messages and answers, and stops them.

    It trains small models in the current project.

    Args:
        engine: Engine.
        folder: Folder for the logs of the jobs, which the jobs can write to.
        seconds: Time limit of each job in seconds. Defaults to 120.

    Raises:
        ContractError: If a part of the contract does not hold.
    """
    engine.open("tensorflow")
    try:
        _check_finished(engine, folder, seconds)
        _check_answer(engine, folder, seconds)
        _check_stop(engine, folder, seconds)
    finally:
        engine.close()


def check_tracker(tracker: Tracker) -> None:
    """Checks that a tracker takes what a run tells it; a tracker that keeps it gives it back.

    Args:
        tracker: Tracker of an open run. The check ends the run.

    Raises:
        ContractError: If a part of the contract does not hold.

    Example:
    >>> check_tracker(Tracker("untracked-1", "a run"))
    """
    require(bool(tracker.run_id and tracker.run_name), "expected an id and a name of the run.")
    for step in (1, 2):
        tracker.metrics({"val/loss": 1.0 / step, "a name: with (signs)": 1.0}, step=step)
    tracker.metrics({})
    steps = tracker.steps("val/loss")
    if tracker.kept:
        require(
            steps == {1, 2}, f"expected the steps {{1, 2}} that were logged. Received: {steps}."
        )
        other = tracker.steps("val/other")
        require(not other, f"expected no steps of a metric that was not logged. Received: {other}.")
    tracker.tags({"kx.kind": "check", "number": 3, "long": "x" * 10_000})
    tracker.text("a text", "texts/a.txt")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "b.txt").write_text("b", encoding="utf-8")
        tracker.artifacts(Path(folder), "files")
    tracker.end("FINISHED")


def _job(folder: Path, number: int, epochs: int, *, asks: bool = False) -> Job:
    words = [*_WORDS, f"epochs={epochs}", f"seed={number}"]
    options = {"evaluate": False, "stop_after": epochs}
    return Job(number, compose(words), words, folder / f"{number}.log", {}, options, asks)


def _messages(
    engine: Engine, handles: dict[int, Any], seconds: float
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yields the messages of jobs until all of them have ended."""
    end = time.monotonic() + seconds
    while handles:
        require(time.monotonic() < end, f"expected that the jobs end within {seconds:g} s.")
        for slot, message in list(engine.listen(handles)):
            if message is None:
                handles.pop(slot).close()
            else:
                yield slot, *message


def _start(engine: Engine, jobs: list[Job]) -> dict[int, Any]:
    handles = dict(engine.start({i: spec_of(job) for i, job in enumerate(jobs)}, len(jobs)))
    require(set(handles) == set(range(len(jobs))), "expected a handle, or an error, by slot.")
    for handle in handles.values():
        require(not isinstance(handle, Exception), f"expected that a job starts: {handle}.")
    return handles


def _check_finished(engine: Engine, folder: Path, seconds: float) -> None:
    """Two jobs at once: the messages of each come in order, and its end with its metrics."""
    handles = _start(engine, [_job(folder, number, 2) for number in (0, 1)])
    heard: dict[int, list[tuple[str, dict[str, Any]]]] = {0: [], 1: []}
    for slot, kind, values in _messages(engine, handles, seconds):
        heard[slot].append((kind, values))
    for messages in heard.values():
        kinds = [kind for kind, _ in messages if kind in ("process", "run", "epoch", "end")]
        expected = ["process", "run", "epoch", "epoch", "end"]
        require(kinds == expected, f"expected the messages {expected}. Received: {kinds}.")
        state = messages[-1][1]
        require(state.get("state") == "FINISHED", f"expected a job that FINISHED: {state}.")
        require(bool(state.get("metrics")), "expected metrics at the end of a job.")


def _check_answer(engine: Engine, folder: Path, seconds: float) -> None:
    """A job that asks stops after the epoch for which the answer is no."""
    handles = _start(engine, [_job(folder, 2, 50, asks=True)])
    [handle] = handles.values()
    epochs = 0
    for _, kind, _ in _messages(engine, handles, seconds):
        if kind == "epoch":
            epochs += 1
            handle.answer(epochs < 2)
    require(epochs == 2, f"expected 2 epochs, as answered. Received: {epochs}.")


def _check_stop(engine: Engine, folder: Path, seconds: float) -> None:
    """A job that is stopped ends as KILLED, or without an end, long before its time."""
    handles = _start(engine, [_job(folder, 3, 100_000)])
    [handle] = handles.values()
    ended: dict[str, Any] = {}
    for _, kind, values in _messages(engine, handles, seconds):
        if kind == "epoch":
            handle.stop()
        handle.insist()
        ended = values if kind == "end" else ended
    state = ended.get("state", "KILLED")
    require(state == "KILLED", f"expected a stopped job to be KILLED. Received: {state}.")
