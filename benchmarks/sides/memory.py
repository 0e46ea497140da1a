"""A callback that prints the largest memory that its process has had."""

from __future__ import annotations

import resource
from typing import Any

import keras


class PeakMemory(keras.callbacks.Callback):
    """Prints it at the end of a training."""

    def on_train_end(self, logs: Any = None) -> None:
        """Prints it."""
        print(f"\npeak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")
