"""Strategies: several devices train to the weights of one; what does not work is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kx
from kx.config import compose
from kx.errors import ConfigError

WORDS = [
    "data=digits", "data.limit=500", "model.filters=[4,8]", "optimizer=momentum", "epochs=4",
    "optimizer.learning_rate=0.05", "model.dropout=0.0", "report=none", "callbacks=none",
    "tracking.system_metrics=false",
]  # fmt: skip
TWO = ["strategy=mirrored", "strategy.logical_devices=2"]


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kx.run", *words], capture_output=True, text=True, check=False
    )


def test_two_devices_train_to_the_weights_of_one(project: Path) -> None:
    """Also where the run on two is stopped half-way, and where validation ends in an odd batch."""
    one = kx.train(*WORDS, quiet=True)
    assert int(one.config["data"]["limit"]) % 2 == 0
    words = [*WORDS, *TWO]
    half = command(*words, "epochs=2")
    assert half.returncode == 0, half.stdout + half.stderr
    done = command("resume=latest", "epochs=4")
    assert done.returncode == 0, done.stdout + done.stderr
    two = kx.load_run("latest")
    assert two.id != one.id and len(two.history["train/loss"]) == 4
    for a, b in zip(one.model().get_weights(), two.model().get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for name in ("train/loss", "val/loss", "val/accuracy"):
        np.testing.assert_allclose(one.history[name], two.history[name], atol=1e-4)
    assert two.metrics["test/accuracy"] == pytest.approx(one.metrics["test/accuracy"], abs=0.02)


@pytest.mark.parametrize(
    ("word", "said"),
    [("data.drop_remainder=false", "shared out unevenly"), ("batch_size=31", "multiple of 2")],
)
def test_uneven_shares_are_refused(project: Path, word: str, said: str) -> None:
    done = command(*WORDS, *TWO, word)
    assert done.returncode == 1 and said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr and not list(project.glob("runs/*"))


def test_devices_that_come_too_late_are_refused(project: Path) -> None:
    kx.train("data=wine", "epochs=1", "report=none", "tracking=none", quiet=True)
    with pytest.raises(ConfigError, match="comes too late"):
        kx.train("data=wine", *TWO, quiet=True)


@pytest.mark.parametrize(
    "name", ["multi_worker", "parameter_server", "central_storage", "data_parallel"]
)
def test_what_does_not_work_is_refused_with_the_reason(project: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="What works: default .one device., mirrored"):
        compose([f"strategy={name}"])
