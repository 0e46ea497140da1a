"""Examples of a split for display: raw and prepared, as images or as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.specs import Data
from kx.data.store import NUM_PARALLEL_CALLS, Stored


def raw_examples(data: Data, split: str, indices: np.ndarray) -> list[Any]:
    """Returns the raw inputs of some examples of a split.

    Args:
        data: Data with the split.
        split: Name of the split.
        indices: Positions within the split.
    """
    wanted = tf.constant(np.asarray(indices), tf.int64)
    inputs_only = data.splits[split].map(
        lambda inputs, _: inputs, num_parallel_calls=NUM_PARALLEL_CALLS
    )
    chosen = inputs_only.enumerate().filter(lambda i, _: tf.reduce_any(wanted == i))
    found = {int(i): raw for i, raw in chosen.as_numpy_iterator()}
    return [found[int(i)] for i in indices]


def prepared_examples(stored: Stored, indices: np.ndarray) -> list[np.ndarray]:
    """Returns the prepared inputs of some examples of a split, as they are stored.

    Args:
        stored: Prepared split.
        indices: Positions within the split.
    """
    if stored.dataset is None:
        return list(np.asarray(tf.gather(stored.inputs, np.asarray(indices))))
    wanted = tf.constant(np.asarray(indices), tf.int64)
    chosen = stored.dataset.enumerate().filter(lambda i, _: tf.reduce_any(wanted == i))
    found = {int(i): inputs for i, (inputs, _) in chosen.as_numpy_iterator()}
    return [found[int(i)] for i in indices]


def is_images(data: Data) -> bool:
    """Returns whether prepared examples can be shown as images.

    Args:
        data: Data with the examples.
    """
    shape = data.inputs.shape
    return data.kind == "image" or (len(shape) == 3 and shape[-1] in (1, 3))


def as_images(raw: Sequence[Any], data: Data) -> list[np.ndarray]:
    """Returns raw examples as prepared images, or an empty list if they are not images.

    Args:
        raw: Raw examples.
        data: Data that they are from.
    """
    if not is_images(data):
        return []
    return [data.prepare(tf.constant(item)).numpy() for item in raw]


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
    """Returns a raw example as text.

    Args:
        raw: Raw example: bytes, or numbers.
    """
    if isinstance(raw, bytes):
        return raw.decode("utf-8", errors="replace")
    return np.array2string(np.asarray(raw), threshold=12, precision=4)
