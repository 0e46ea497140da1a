"""A short Keras script on scikit-learn's digits: the baseline of startup.py."""

from __future__ import annotations

import keras
import numpy as np
from clock import FirstStep
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

keras.utils.set_random_seed(0)
digits = load_digits()
images = np.round(digits.images * (255 / 16)).astype("uint8")[..., None]
x, x_test, y, y_test = train_test_split(
    images, digits.target, test_size=0.2, random_state=0, stratify=digits.target
)

layers = [keras.Input((8, 8, 1), dtype="uint8"), keras.layers.Rescaling(1 / 255)]
for filters in (32, 64, 128):
    layers.append(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
    layers.append(keras.layers.MaxPooling2D())
layers += [
    keras.layers.Flatten(),
    keras.layers.Dense(512, activation="relu"),
    keras.layers.Dropout(0.5),
    keras.layers.Dense(10),
]
model = keras.Sequential(layers)
model.compile(
    optimizer=keras.optimizers.Adam(1e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(x, y, batch_size=32, epochs=1, validation_split=0.1, callbacks=[FirstStep()], verbose=0)
