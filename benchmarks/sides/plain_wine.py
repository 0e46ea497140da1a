"""What a job of sweeps.py trains, in plain Keras: prints the seconds after the imports."""

from __future__ import annotations

import time

import keras
import numpy as np
from result import print_result
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

begun = time.perf_counter()
keras.utils.set_random_seed(0)
wine = load_wine()
rows, labels = wine.data.astype("float32"), wine.target
x, x_test, y, y_test = train_test_split(rows, labels, test_size=44, random_state=0, stratify=labels)
x, x_val, y, y_val = train_test_split(x, y, test_size=20, random_state=0, stratify=y)
normalize = keras.layers.Normalization()
normalize.adapt(x)
layers = [keras.Input((13,)), normalize]
for units in (128, 64):
    layers.append(keras.layers.Dense(units, activation="relu"))
model = keras.Sequential([*layers, keras.layers.Dense(3)])
model.compile(
    optimizer=keras.optimizers.Adam(1e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(
    x,
    y,
    batch_size=32,
    epochs=20,
    validation_data=(x_val, y_val),
    callbacks=[
        keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=4, min_lr=1e-6),
        keras.callbacks.ModelCheckpoint(
            "best.weights.h5", save_best_only=True, save_weights_only=True
        ),
        keras.callbacks.TerminateOnNaN(),
    ],
    verbose=0,
)
accuracy = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]
print_result(seconds=time.perf_counter() - begun, accuracy=float(np.float32(accuracy)))
