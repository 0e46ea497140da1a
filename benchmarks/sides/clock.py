"""Keras callbacks that note times: both sides of a comparison use the same ones.

kx takes them like any callback of a user: `+callbacks.clock._target_=clock.EpochClock`.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import keras
from result import TURN, print_result


class EpochClock(keras.callbacks.Callback):
    """Notes when each epoch began, when its training steps were done, and when it ended.

    It looks at no batch, so it slows no step down. The times of the one training
    of this process are in `epochs`. Where two sides train in turns, it waits
    before each epoch until it is this side's turn.
    """

    epochs: list[dict[str, float]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts an epoch."""
        if os.environ.get("KX_BENCHMARK_TURNS"):
            print(TURN, flush=True)
            sys.stdin.readline()
        self.epochs.append({"begun": time.perf_counter()})

    def on_test_begin(self, logs: Any = None) -> None:
        """Notes that the training steps of the epoch are done."""
        self.epochs[-1].setdefault("trained", time.perf_counter())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Ends an epoch."""
        now = time.perf_counter()
        self.epochs[-1].setdefault("trained", now)
        self.epochs[-1]["ended"] = now

    @classmethod
    def step_seconds(cls) -> list[float]:
        """Returns the seconds of each epoch's training steps."""
        return [epoch["trained"] - epoch["begun"] for epoch in cls.epochs]

    @classmethod
    def epoch_seconds(cls) -> list[float]:
        """Returns the seconds of each whole epoch: steps, validation, the other callbacks."""
        return [epoch["ended"] - epoch["begun"] for epoch in cls.epochs]


class FirstStep(keras.callbacks.Callback):
    """Prints the seconds from the command to the end of the first step, and leaves."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends the process: what comes after the first step is not the question."""
        seconds = time.time() - float(os.environ["KX_BENCHMARK_STARTED"])
        print_result(seconds=seconds)
        os._exit(0)
