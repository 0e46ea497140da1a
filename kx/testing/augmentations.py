"""Checks the contract of an augmentation."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kx.data.augment import Augment
from kx.data.random import example_seeds
from kx.testing.contract import require

_COUNT = 6


def check_augment(
    augment: Augment,
    shape: tuple[int, ...] = (16, 20, 3),
    *,
    dtype: str = "uint8",
    mixes: bool = False,
    texts: bool = False,
) -> None:
    """Checks that an augmentation keeps form and range, and is a function of its seeds.

    Args:
        augment: Function `(inputs, targets, seeds) -> (inputs, targets)`; give it options with
            `functools.partial`. A chain that `kx.data.augment.chain` returns is one, too.
        shape: Shape of an example. Defaults to `(16, 20, 3)`.
        dtype: Dtype of the examples: pixels from 0 to 255. Defaults to `"uint8"`.
        mixes: Whether it mixes examples of the batch, and their targets. Defaults to False.
        texts: Whether it changes texts: token ids of shape `(shape[0],)`, which it may make
            shorter. Defaults to False.

    Raises:
        ContractError: If a part of the contract does not hold.

    Example:
    >>> from kx.data.augment import flip
    >>> check_augment(flip)
    """
    targets = tf.one_hot(tf.range(_COUNT) % 3, 3)
    seeds = example_seeds(3, tf.constant(1), tf.range(_COUNT))
    if texts:
        lengths = np.arange(_COUNT)[:, None] + shape[0] - _COUNT
        places = np.arange(shape[0])[None]
        tokens = tf.constant(np.where(places < lengths, 1 + places, 0), "int32")
        _check_texts(augment, tokens, targets, seeds)
        return
    coarse = np.random.default_rng(0).uniform(0, 255, (_COUNT, 4, 5, shape[-1]))
    smooth = tf.image.resize(coarse, shape[:2], "bicubic")
    images = tf.cast(tf.clip_by_value(smooth, 0, 255), dtype)
    changed, after = augment(images, targets, seeds)
    require(
        changed.dtype == images.dtype and changed.shape == images.shape,
        f"expected {images.shape} {images.dtype.name}. Received: {changed.shape}"
        f" {changed.dtype.name}.",
    )
    found = np.asarray(changed, "float64")
    require(
        bool(found.min() >= 0 and found.max() <= 255),
        f"expected pixels from 0 to 255. Received: {found.min()} to {found.max()}.",
    )
    sums = np.asarray(tf.reduce_sum(after, axis=1))
    require(
        np.allclose(sums, 1, atol=1e-6), f"expected targets that sum to 1. Received: {sums.max()}."
    )
    _check_stateless(augment, images, targets, seeds, mixes=mixes)


def _check_texts(augment: Augment, tokens: tf.Tensor, targets: tf.Tensor, seeds: tf.Tensor) -> None:
    changed, _ = augment(tokens, targets, seeds)
    require(
        changed.dtype == tokens.dtype and changed.shape[0] == _COUNT and changed.shape.rank == 2,
        f"expected token ids of {_COUNT} texts. Received: {changed.shape} {changed.dtype.name}.",
    )
    require(int(tf.reduce_min(changed)) >= 0, "expected token ids of 0 or more.")
    _check_stateless(augment, tokens, targets, seeds, mixes=False)


def _check_stateless(
    augment: Augment, images: tf.Tensor, targets: tf.Tensor, seeds: tf.Tensor, *, mixes: bool
) -> None:
    in_graph = tf.function(augment)
    once, twice = (in_graph(images, targets, seeds)[0] for _ in range(2))
    require(
        np.array_equal(once, twice),
        "expected the same images from the same seeds: draw random numbers from `seeds` alone"
        " (kx.data.random.uniform).",
    )
    first, second = (augment(images, targets, seeds)[0] for _ in range(2))
    require(
        np.array_equal(first, second),
        "expected the same images from the same seeds at each call: draw random numbers from"
        " `seeds` alone, not from NumPy or Python.",
    )
    other, _ = augment(images, targets, example_seeds(4, tf.constant(1), tf.range(_COUNT)))
    require(tuple(other.shape) == tuple(first.shape), "expected one shape for all seeds.")
    if mixes:
        return
    changed, after = augment(images, targets, seeds)
    require(
        np.array_equal(after, targets),
        "expected the same targets. Received: others; does it mix (mixes=True)?",
    )
    alone, _ = augment(images[2:3], targets[2:3], seeds[2:3])
    require(
        np.array_equal(alone[0], changed[2]),
        "expected that an example does not depend on the others of its batch (mixes=False).",
    )
