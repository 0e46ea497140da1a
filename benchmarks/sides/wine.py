"""The wine table, and the net that data=wine model=mlp trains, in plain Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

Split = tuple[np.ndarray, np.ndarray]


def wine() -> dict[str, Split]:
    """Returns rows and labels of train, validation and test."""
    bunch = load_wine()
    rows, labels = bunch.data.astype("float32"), bunch.target
    x, x_test, y, y_test = train_test_split(
        rows, labels, test_size=44, random_state=0, stratify=labels
    )
    x, x_val, y, y_val = train_test_split(x, y, test_size=20, random_state=0, stratify=y)
    return {"train": (x, y), "validation": (x_val, y_val), "test": (x_test, y_test)}


def model(rows: np.ndarray, learning_rate: Any) -> keras.Model:
    """Returns the net, compiled.

    Args:
        rows: to which the normalization is adapted.
        learning_rate: of Adam.
    """
    normalize = keras.layers.Normalization()
    normalize.adapt(rows)
    layers = [keras.Input((13,)), normalize]
    layers += [keras.layers.Dense(units, activation="relu") for units in (128, 64)]
    net = keras.Sequential([*layers, keras.layers.Dense(3)])
    net.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return net


def callbacks() -> list[keras.callbacks.Callback]:
    """Returns those of `callbacks=default` that look at the curve."""
    return [
        keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=4, min_lr=1e-6),
    ]
