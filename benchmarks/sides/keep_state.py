"""Keeps the state of the small CIFAR net with Adam and EarlyStopping, and prints the seconds."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from cifar10 import cnn
from result import print_result

from kx.fit.keep_state import capture
from kx.tracking.state import save

model = cnn()
model.optimizer.build(model.trainable_variables)
model.stop_training = False
stopping = keras.callbacks.EarlyStopping(restore_best_weights=True)
stopping.best_weights = model.get_weights()
seconds = []
with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
    for epoch in range(20):
        stopping.best = float(np.random.default_rng(epoch).random())
        begun = time.perf_counter()
        save(Path(folder), capture(model, [stopping], epoch + 1, 20, "data"))
        seconds.append(time.perf_counter() - begun)
print_result(seconds=seconds[5:])
