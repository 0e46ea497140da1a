"""Digits pasted into scenes, with a class for each pixel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kx.contracts.examples import Examples
from kx.contracts.specs import Spec
from kx.data.sources.images.pixels import normalization
from kx.types import Count


def digit_scenes(*, num_scenes: Count = 600, num_digits: Count = 3, size: Count = 32) -> Examples:
    """Pastes scikit-learn's digits into noisy scenes; a pixel is of a digit's class, or ground.

    Args:
        num_scenes: Number of scenes. Defaults to 600.
        num_digits: Number of digits in a scene. Defaults to 3.
        size: Height and width of a scene in pixels. Defaults to 32.

    Returns:
        Raw examples are uint8 arrays of shape `(size, size, 1)`; targets int32 of shape
        `(size, size)`: 0 is ground, 1 to 10 the digits 0 to 9.

    Source: Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998.
    """
    scenes, masks = (np.stack(parts) for parts in zip(*_scenes(num_scenes, num_digits, size),
                                                      strict=True))  # fmt: skip
    names = ("ground", *map(str, range(10)))
    return Examples(
        scenes[..., None],
        masks,
        Spec((size, size, 1), "uint8", kind="image"),
        Spec((size, size), "int32", class_names=names, kind="mask"),
        normalize=normalization("unit", 1),
        kind="array",
        name="digit_scenes",
        source="sklearn.datasets.load_digits",
    )


def _scenes(num_scenes: int, num_digits: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    digits = np.round(bunch.images * (255 / 16)).astype("uint8")
    generator = np.random.default_rng(0)
    for _ in range(num_scenes):
        scene = generator.integers(0, 60, (size, size)).astype("uint8")
        mask = np.zeros((size, size), "int32")
        for number in generator.integers(len(digits), size=num_digits):
            top, left = generator.integers(0, size - digits.shape[1] + 1, 2)
            place = (slice(top, top + 8), slice(left, left + 8))
            drawn = digits[number] > 60
            scene[place] = np.where(drawn, digits[number], scene[place])
            mask[place] = np.where(drawn, bunch.target[number] + 1, mask[place])
        yield scene, mask
