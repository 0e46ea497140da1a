"""What search.py searches, in plain KerasTuner in one process: prints the seconds of a trial."""

from __future__ import annotations

import sys
import tempfile
import time

import keras
import keras_tuner
from result import print_result
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

count = int(sys.argv[1])
wine = load_wine()
rows, labels = wine.data.astype("float32"), wine.target
x, _, y, _ = train_test_split(rows, labels, test_size=44, random_state=0, stratify=labels)
x, x_val, y, y_val = train_test_split(x, y, test_size=20, random_state=0, stratify=y)


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    normalize = keras.layers.Normalization()
    normalize.adapt(x)
    layers = [keras.Input((13,)), normalize]
    layers += [keras.layers.Dense(units, activation="relu") for units in (128, 64)]
    model = keras.Sequential([*layers, keras.layers.Dense(3)])
    model.compile(
        optimizer=keras.optimizers.Adam(hp.Float("rate", 1e-4, 1e-2, sampling="log")),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


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
        x,
        y,
        batch_size=32,
        epochs=20,
        validation_data=(x_val, y_val),
        callbacks=[
            keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=4, min_lr=1e-6),
        ],
        verbose=0,
    )
print_result(seconds=(ends[-1] - ends[0]) / (count - 1))
