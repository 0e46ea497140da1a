"""Examples of a split as they are shown: raw and prepared, as images or as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.specs import Data
from kx.data.store import NUM_PARALLEL_CALLS


def shown_examples(data: Data, split: str, indices: np.ndarray) -> dict[int, tuple[Any, Any]]:
    """Returns some examples of a split, raw and prepared, by their positions.

    Where each is a file of its own, it may have gone or changed since it was prepared: what
    cannot be read is left out.

    Args:
        data: the data.
        split: its name.
        indices: their positions.
    """
    wanted = tf.constant(np.asarray(indices), tf.int64)
    inputs_only = data.splits[split].map(
        lambda inputs, _: inputs, num_parallel_calls=NUM_PARALLEL_CALLS
    )
    # Of a file with many examples, all after a damaged one would have wrong numbers.
    by_file = data.example_name is not None
    numbered = inputs_only.enumerate()
    numbered = numbered.ignore_errors() if by_file else numbered
    chosen = numbered.filter(lambda i, _: tf.reduce_any(wanted == i))
    prepared = chosen.map(lambda i, raw: (i, raw, data.prepare(raw)))
    prepared = prepared.ignore_errors() if by_file else prepared
    found = {int(i): (raw, ready) for i, raw, ready in prepared.as_numpy_iterator()}
    return {int(i): found[int(i)] for i in indices if int(i) in found}


def is_images(data: Data) -> bool:
    """Says whether prepared examples can be shown as pictures."""
    shape = data.inputs.shape
    return data.kind == "image" or (len(shape) == 3 and shape[-1] in (1, 3))


def as_images(raw: Sequence[Any], data: Data) -> list[np.ndarray]:
    """Returns raw examples as they are prepared, or nothing if they are no images."""
    if not is_images(data):
        return []
    return [data.prepare(tf.constant(item)).numpy() for item in raw]


def as_pixels(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns pictures of floats of any range as uint8, on one scale from black to white.

    Args:
        pictures: of one dtype, and of at least one pixel.
    """
    if not len(pictures) or pictures[0].dtype == np.uint8:
        return list(pictures)
    low = min(float(one.min()) for one in pictures)
    high = max(float(one.max()) for one in pictures)
    return [((one - low) * (255 / (high - low or 1))).astype("uint8") for one in pictures]


def as_text(raw: Any) -> str:
    """Returns a raw example as a line of text."""
    if isinstance(raw, bytes):
        return raw.decode("utf-8", errors="replace")
    return np.array2string(np.asarray(raw), threshold=12, precision=4)
