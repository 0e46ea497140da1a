"""Available memory, and whether a split fits into it."""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import tensorflow as tf

from kx.contracts.fields import values_of
from kx.contracts.specs import Data, Spec

_MEMORY_SHARE = 0.4  # fraction of the available memory that a split may take


def example_bytes(data: Data) -> int:
    """Returns the size of one prepared example with its target, in bytes.

    Args:
        data: Data with the specs of inputs and targets.
    """

    def size(spec: Spec) -> int:
        return math.prod(spec.shape) * tf.as_dtype(spec.dtype).size

    return sum(size(spec) for spec in [*values_of(data.inputs), *values_of(data.targets)])


def fits_in_memory(num_bytes: int) -> bool:
    """Returns whether a split may be kept in the memory that is available now.

    Args:
        num_bytes: Size of the split in bytes.
    """
    return num_bytes <= _MEMORY_SHARE * available_bytes()


def available_bytes() -> int:
    """Returns the available memory in bytes, within the limit of a container (cgroup v2 or v1)."""
    available = psutil.virtual_memory().available
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes",
         "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):  # fmt: skip
        try:
            text = Path(limit).read_text().strip()
            if text != "max":
                available = min(available, int(text) - int(Path(used).read_text()))
        except (OSError, ValueError):
            continue
    return max(0, available)
