"""What search.py searches, in plain KerasTuner in one process: prints the seconds of a trial."""

from __future__ import annotations

import sys
import tempfile
import time

import keras
import keras_tuner
from result import print_result
from wine import callbacks, model, wine

count = int(sys.argv[1])
splits = wine()


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    return model(splits["train"][0], hp.Float("rate", 1e-4, 1e-2, sampling="log"))


with tempfile.TemporaryDirectory() as folder:
    tuner = keras_tuner.RandomSearch(
        build, "val_accuracy", max_trials=count, seed=1, directory=folder, project_name="wine"
    )
    ends: list[float] = []

    class Clock(keras.callbacks.Callback):
        """Notes when each trial's training ends."""

        def on_train_end(self, logs: object = None) -> None:
            """Notes the time."""
            ends.append(time.perf_counter())

    tuner.search(
        *splits["train"],
        batch_size=32,
        epochs=20,
        validation_data=splits["validation"],
        callbacks=[*callbacks(), Clock()],
        verbose=0,
    )
print_result(seconds=(ends[-1] - ends[0]) / (count - 1))
