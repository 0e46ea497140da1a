"""The full matrix, opt-in: every option that fits together, for a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import FAMILIES, family_overrides

import kx
from kx.config import CONF_DIR

pytestmark = pytest.mark.slow

STEP = ["debug=fast", "tracking=none"]


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))


@pytest.mark.parametrize("data", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
@pytest.mark.parametrize(
    "model", ["linear", "mlp", "cnn", "mnist_cnn", "resnet", "wide_resnet", "vit"]
)
@pytest.mark.parametrize("augment", options("augment"))
def test_images(project: Path, tfds_folder: Path, data: str, model: str, augment: str) -> None:
    words = [f"data={data}", f"model={model}", f"augment={augment}"]
    run = kx.train(*words, f"data.data_dir={tfds_folder}", *STEP, quiet=True)
    assert np.isfinite(run.metrics["test/loss"])


# Those with a learner are in test_families.
PLAIN = [name for name in FAMILIES if name not in ("distillation", "adversarial", "agent")]


@pytest.mark.parametrize("family", PLAIN)
@pytest.mark.parametrize("optimizer", options("optimizer"))
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_families(project: Path, texts: Path, family: str, optimizer: str, precision: str) -> None:
    words = [w for w in family_overrides(family, texts) if not w.startswith("epochs=")]
    extra = [f"optimizer={optimizer}", f"precision={precision}"]
    run = kx.train(*words, *extra, *STEP, quiet=True)
    assert np.isfinite(run.metrics["test/loss"])


@pytest.mark.parametrize("schedule", options("schedule"))
@pytest.mark.parametrize("callbacks", [one for one in options("callbacks") if one != "samples"])
def test_schedules_and_callbacks(project: Path, schedule: str, callbacks: str) -> None:
    words = [f"schedule={schedule}", f"callbacks={callbacks}", "data=wine", "epochs=2"]
    run = kx.train(*words, "tracking=none", quiet=True)
    assert np.isfinite(run.metrics["test/loss"])
