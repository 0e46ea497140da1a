"""Averages a model's answers over several views of an image (test-time augmentation)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras

from kx.contracts.specs import Outputs
from kx.contracts.task import Task
from kx.errors import ConfigError, did_you_mean

View = Callable[[Any], Any]
_SHIFT_FRACTION = 1 / 16  # of the height and the width


def _as_it_is(images: Any) -> Any:
    return images


def _turned(quarters: int) -> View:
    return lambda images: keras.ops.rot90(images, quarters, axes=(1, 2))


def _shifted(down: int, right: int) -> View:
    def shift(images: Any) -> Any:
        height, width = images.shape[1:3]
        rows, columns = (max(1, round(size * _SHIFT_FRACTION)) for size in (height, width))
        around = [(0, 0), (rows, rows), (columns, columns), (0, 0)]
        wide = keras.ops.pad(images, around, mode="symmetric")
        top, left = rows * (1 - down), columns * (1 - right)
        return wide[:, top : top + height, left : left + width]

    return shift


# Name to functions, each from a batch of images to a batch of views.
VIEWS: dict[str, list[View]] = {
    "flip": [_as_it_is, lambda images: keras.ops.flip(images, axis=2)],
    "vertical_flip": [_as_it_is, lambda images: keras.ops.flip(images, axis=1)],
    "quarter_turns": [_as_it_is, _turned(1), _turned(2), _turned(3)],
    "shift": [_as_it_is, *(_shifted(*by) for by in ((-1, 0), (1, 0), (0, -1), (0, 1)))],
}


def with_views(model: keras.Model, task: Task, names: Sequence[str]) -> keras.Model:
    """Returns a model that averages the scores of a model over views of an image.

    Args:
        model: Model that returns scores of images, shape `(batch, height, width, channels)`.
        task: Task that averages the scores.
        names: Names of the views: `"flip"`, `"vertical_flip"`, `"quarter_turns"`, `"shift"` (by a
            sixteenth, in four directions). Several are combined: each view of one is applied to
            each view of the others.

    Raises:
        ConfigError: If a name is unknown or repeated, or the model has other inputs.

    Source: Krizhevsky et al. 2012, section 4.1 (flipped and shifted views, averaged).
    """
    if len(set(names)) < len(names):
        raise ConfigError(f"--tta: a view is named twice. Received: {','.join(names)}.")
    for name in names:
        if name not in VIEWS:
            raise ConfigError(f"--tta: there is no {name!r}. {did_you_mean(name, VIEWS)}")
    outputs = task.outputs if isinstance(task.outputs, Outputs) else None
    if outputs is None or outputs.axes:
        raise ConfigError(
            "--tta is for tasks with one vector of scores for an image: the scores of a view would"
            " have to be moved back, or belong to one field of several."
        )
    if len(model.inputs) > 1:
        raise ConfigError("--tta is for images alone. Received: a model of several inputs.")
    shape = model.input_shape[1:]
    if len(shape) != 3:
        raise ConfigError(f"--tta is for images. Received: a model of inputs of shape {shape}.")
    if "quarter_turns" in names and shape[0] != shape[1]:
        raise ConfigError(
            f"--tta quarter_turns is for square images. Received: {shape[0]}x{shape[1]}."
        )
    x = keras.Input(shape, dtype=model.inputs[0].dtype)
    scores = []
    for views in itertools.product(*(VIEWS[name] for name in names)):
        h = x
        for view in views:
            h = view(h)
        scores.append(model(h))
    return keras.Model(x, task.average(keras.ops.stack(scores)), name=model.name)
