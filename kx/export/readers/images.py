"""Reads examples that are images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kx.data.sources.images.folder.formats import readable
from kx.errors import DataError, first_line
from kx.export.readers.arrays import Named, array_of, names_arrays
from kx.paths import expanded


def read_image(item: Any, max_megapixels: float) -> Named:
    """Reads an image from a file, its bytes, or an array of uint8.

    Args:
        item: Path, bytes, or array of uint8, shape `(height, width[, 1 or 3])`.
        max_megapixels: Size of the largest image that is accepted, in megapixels.

    Raises:
        DataError: If it is not an image.
    """
    if isinstance(item, bytes):
        return [(f"{len(item)} bytes", readable(item, f"{len(item)} bytes", max_megapixels))]
    if isinstance(item, np.ndarray):
        pixels = item[..., None] if item.ndim == 2 else item
        if item.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] not in (1, 3):
            raise DataError(
                "An image as an array is uint8 of shape (height, width[, 1 or 3])."
                f" Received: {item.dtype} of shape {item.shape}."
            )
        return [(f"array of shape {item.shape}", tf.io.encode_png(pixels).numpy())]
    if names_arrays(item):
        name, values = array_of(item)
        if values.ndim not in (2, 3, 4):
            raise DataError(
                f"{name}: expected one image, or several with an axis before it. Received: shape"
                f" {values.shape}."
            )
        images = [values] if is_one_image(values) else list(values)
        return [
            (name if len(images) == 1 else f"{name}[{number}]", raw)
            for number, one in enumerate(images)
            for _, raw in read_image(np.asarray(one), max_megapixels)
        ]
    if not isinstance(item, str | Path):
        raise DataError(
            f"{type(item).__name__}: expected an image file, its bytes, or an array of uint8:"
            " np.asarray(image)."
        )
    try:
        encoded = _existing(item, "image files").read_bytes()
    except OSError as error:
        raise DataError(f"{item} cannot be read: {first_line(error)}") from error
    return [(str(item), readable(encoded, str(item), max_megapixels))]


def is_one_image(values: np.ndarray) -> bool:
    """Returns whether an array is one image, and not several.

    Args:
        values: Image of shape `(height, width[, 1 or 3])`, or several with an axis before it.
    """
    return values.ndim == 2 or (values.ndim == 3 and values.shape[-1] in (1, 3))


def _existing(path: Any, what: str) -> Path:
    file = expanded(path)
    if os.path.isdir(file):
        raise DataError(f"{file} is a folder. Name the files in it: {file}/*")
    if not os.path.isfile(file):
        raise DataError(f"There is no file {str(file)[:200]}. This run's model takes {what}.")
    return file
