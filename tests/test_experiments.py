"""Every shipped experiment runs for a step, on data made here in the place of the real sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kx
from kx.config import EXPERIMENTS_DIR

NAMES = sorted(path.stem for path in EXPERIMENTS_DIR.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_runs_for_a_step(project: Path, tfds_folder: Path, name: str) -> None:
    where = [] if name.startswith("digits") else [f"data.data_dir={tfds_folder}"]
    words = ["debug=fast", "tracking=none", "batch_size=32"]
    run = kx.train(f"experiment={name}", *where, *words, quiet=True)
    assert run.name.startswith(name)
    assert np.isfinite(run.metrics["test/loss"])
