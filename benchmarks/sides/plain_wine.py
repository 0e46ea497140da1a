"""What a job of sweeps.py trains, in plain Keras: prints the seconds after the imports."""

from __future__ import annotations

import time

import keras
import numpy as np
from result import print_result
from wine import callbacks, model, wine

begun = time.perf_counter()
keras.utils.set_random_seed(0)
splits = wine()
net = model(splits["train"][0], 1e-3)
net.fit(
    *splits["train"],
    batch_size=32,
    epochs=20,
    validation_data=splits["validation"],
    callbacks=[
        *callbacks(),
        keras.callbacks.ModelCheckpoint(
            "best.weights.h5", save_best_only=True, save_weights_only=True
        ),
        keras.callbacks.TerminateOnNaN(),
    ],
    verbose=0,
)
accuracy = net.evaluate(*splits["test"], verbose=0, return_dict=True)["accuracy"]
print_result(seconds=time.perf_counter() - begun, accuracy=float(np.float32(accuracy)))
