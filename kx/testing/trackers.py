"""Checks the contract of a tracker."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kx.testing.contract import require
from kx.tracking.tracker import Tracker


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
