"""Examples of a split for display: raw and prepared, as images or as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.fields import map_fields, named_fields
from kx.contracts.specs import Data
from kx.data.store import NUM_PARALLEL_CALLS, Stored
from kx.data.texts.host import prepare_one


def raw_examples(data: Data, split: str, indices: np.ndarray) -> list[Any]:
    """Returns the raw inputs of some examples of a split.

    Args:
        data: Data with the split.
        split: Name of the split.
        indices: Positions within the split.
    """
    inputs_only = data.splits[split].map(
        lambda inputs, *_: inputs, num_parallel_calls=NUM_PARALLEL_CALLS
    )
    return _chosen(inputs_only, indices)


def _chosen(dataset: tf.data.Dataset, indices: np.ndarray) -> list[Any]:
    """Returns the elements of a dataset at some positions."""
    wanted = tf.constant(np.asarray(indices), tf.int64)
    found = dataset.enumerate().filter(lambda i, _: tf.reduce_any(wanted == i))
    by_position = {int(i): element for i, element in found.as_numpy_iterator()}
    return [by_position[int(i)] for i in indices]


def prepared_examples(stored: Stored, indices: np.ndarray) -> list[Any]:
    """Returns the prepared inputs of some examples of a split, as they are stored.

    Args:
        stored: Prepared split.
        indices: Positions within the split.
    """
    if stored.dataset is not None:
        return _chosen(stored.dataset.map(lambda inputs, *_: inputs), indices)
    places = np.asarray(indices)
    chosen = map_fields(lambda one: tf.gather(one, places).numpy(), stored.inputs)
    return [map_fields(lambda one, i=i: one[i], chosen) for i in range(len(places))]


def image_field(data: Data) -> str | None:
    """Returns the name of the field that can be shown as an image, or None if there is none.

    Args:
        data: Data with the examples. If an example is one value, which is an image, its name is
            an empty string.
    """
    kinds = named_fields(data.kind, "")
    for name, spec in named_fields(data.inputs, "").items():
        looks_so = len(spec.shape) == 3 and spec.shape[-1] in (1, 3)
        if looks_so and (kinds.get(name) == "image" or spec.kind == "image" or not name):
            return name
    return "" if data.kind == "image" else None


def of_field(example: Any, name: str) -> Any:
    """Returns a field of an example, or the example itself for an empty name.

    Args:
        example: One value, or values of fields by name.
        name: Name of the field.
    """
    return example[name] if name else example


def as_images(raw: Sequence[Any], data: Data) -> list[np.ndarray]:
    """Returns raw examples as prepared images, or an empty list if they are not images.

    Args:
        raw: Raw examples.
        data: Data that they are from.
    """
    name = image_field(data)
    if name is None:
        return []
    prepared = (prepare_one(data, map_fields(tf.constant, item)) for item in raw)
    return [of_field(one, name).numpy() for one in prepared]


def as_pixels(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns images of any range as uint8, all on one scale from black to white.

    Args:
        pictures: Images of one dtype, each with one pixel or more. uint8 is returned unchanged.
    """
    if not len(pictures) or pictures[0].dtype == np.uint8:
        return list(pictures)
    low = min(float(one.min()) for one in pictures)
    high = max(float(one.max()) for one in pictures)
    return [((one - low) * (255 / (high - low or 1))).astype("uint8") for one in pictures]


def as_text(raw: Any) -> str:
    """Returns a raw example as text; the fields by name, without encoded images.

    Args:
        raw: Raw example: bytes, numbers, or fields of these by name.
    """
    if isinstance(raw, Mapping):
        fields = {name: as_text(value) for name, value in raw.items()}
        return ", ".join(f"{name}={text}" for name, text in fields.items() if text.isprintable())
    if isinstance(raw, bytes):
        return raw.decode("utf-8", errors="replace")
    return np.array2string(np.asarray(raw), threshold=12, precision=4)
