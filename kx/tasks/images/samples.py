"""Images that a generator makes, as it learns and afterwards."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.features import last_features
from kx.report.generated import Judge, image_sheet
from kx.types import Count

_BATCH_SIZE = 256


def generated(
    model: keras.Model, decode: Callable[[Any], Any], latent_size: int, count: int, seed: int
) -> np.ndarray:
    """Returns images that a generator makes of noise of a seed.

    Args:
        model: Generator.
        decode: Function from its scores to images by the name `"image"`.
        latent_size: Number of random numbers of an image.
        count: Number of images.
        seed: Seed of the noise.

    Returns:
        Images in [0, 1], shape `(count, height, width, channels)`.
    """
    noise = np.random.default_rng(seed).normal(size=(count, latent_size)).astype("float32")
    parts = [
        np.asarray(decode(model(noise[start : start + _BATCH_SIZE], training=False))["image"])
        for start in range(0, count, _BATCH_SIZE)
    ]
    return np.concatenate(parts)


def untrained(model: keras.Model, seed: int) -> keras.Model:
    """Returns a model of the same layers with new weights, the same for each call.

    Args:
        model: Trained model.
        seed: Seed of the weights.
    """
    before = random.getstate()
    random.seed(seed)  # Keras draws the seed of an initializer without one from here
    try:
        return keras.models.clone_model(model)
    finally:
        random.setstate(before)


def judge_of(classifier: Any, image: Spec) -> Judge:
    """Returns a classifier's run as the judge of a report.

    Args:
        classifier: Finished run of a classification.
        image: Spec of one image.

    Raises:
        ConfigError: If it has other inputs, or no classes.
    """
    spec = classifier.bundle().spec()
    takes, names = spec["inputs"], getattr(spec["targets"], "class_names", None)
    form = (takes.shape, takes.dtype) if isinstance(takes, Spec) else list(takes)
    outputs = classifier.task().outputs
    fits = isinstance(outputs, Outputs) and not outputs.axes and outputs.units == len(names or ())
    if form != (image.shape, image.dtype) or not names or not fits:
        choice = str(classifier.config["task"]["_target_"]).rpartition(".")[2]
        raise ConfigError(
            f"task.classifier={classifier.name}: expected a classification of {image.dtype} images"
            f" {image.shape}. Received: a run of task={choice}, inputs {form}, classes {names}."
        )
    model = classifier.model()
    features = last_features(model, "task.classifier")

    def of(model: keras.Model, images: np.ndarray) -> np.ndarray:
        starts = range(0, len(images), _BATCH_SIZE)
        parts = [images[start : start + _BATCH_SIZE] for start in starts]
        return np.concatenate([np.asarray(model(part, training=False)) for part in parts])

    def flat(images: np.ndarray) -> np.ndarray:
        return of(features, images).reshape(len(images), -1)

    return Judge(flat, lambda images: of(model, images).argmax(axis=-1), names)


class Samples(keras.callbacks.Callback):
    """Logs images that the model makes of the same noise after some epochs: `samples/`.

    Args:
        every_epochs: Number of epochs between two pictures. Defaults to 1.
        num_images: Number of images of a picture. Defaults to 64.
        seed: Seed of the noise. Defaults to 0.
    """

    kx: Any  # set by kx: the task, the model, and where figures are logged

    def __init__(self, every_epochs: Count = 1, num_images: Count = 64, seed: int = 0) -> None:
        super().__init__()
        self.every_epochs, self.num_images, self.seed = every_epochs, num_images, seed

    def on_train_begin(self, logs: Any = None) -> None:
        """Raises an error for a model that makes no images of noise."""
        inputs = self.kx.task.inputs
        if not isinstance(inputs, Spec) or len(inputs.shape) != 1:
            raise ConfigError(
                "callbacks=samples shows what a generator makes of noise: task=adversarial. This"
                " task has no such inputs. callbacks=default."
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Logs a picture, if it is time."""
        if (epoch + 1) % self.every_epochs:
            return
        task = self.kx.task
        size = task.inputs.shape[0]
        images = generated(self.kx.model, task.decode, size, self.num_images, self.seed)
        columns = math.ceil(math.sqrt(self.num_images))
        figure = image_sheet(images, columns, f"epoch {epoch + 1}")
        self.kx.log_figure(figure, f"samples/epoch-{epoch + 1:04d}.png")
