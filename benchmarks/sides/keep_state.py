"""Keeps the state of a model with Adam and EarlyStopping, and prints the seconds.

The small CIFAR net; with `learner`, a DCGAN of images of 28x28 pixels: two networks and optimizers.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from cifar10 import cnn
from result import print_result

from kx.config import build, compose
from kx.contracts.specs import Spec
from kx.fit.keep_state import capture
from kx.tracking.state import save


def gan() -> Any:
    """Returns a learner after its first step, which builds its optimizers."""
    config = compose(["task=adversarial"]).config
    image = Spec((28, 28, 1), "uint8", kind="image")
    task = build(config.task, Spec((), "int32"), inputs=image, place="task")
    learner = task.learner(build(config.model, task.inputs, task.outputs, place="model"))
    task.compile(learner, keras.optimizers.Adam(2e-4))
    images = tf.zeros((8, 28, 28, 1), tf.uint8)
    learner.fit(tf.data.Dataset.from_tensors((images, tf.zeros(8, tf.int32))), verbose=0)
    return learner


model = gan() if "learner" in sys.argv else cnn()
if not model.optimizer.built:
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
