"""What the checks of all contracts share: their error, and examples that fit a spec."""

from __future__ import annotations

import numpy as np

from kx.contracts.specs import Spec
from kx.errors import KxError


class ContractError(KxError):
    """Reports which part of its contract an object does not keep."""


def require(holds: bool, message: str) -> None:
    """Raises a `ContractError` if a part of a contract does not hold.

    Args:
        holds: Whether it holds.
        message: What was expected, and what was received.
    """
    if not holds:
        raise ContractError(message)


def random_inputs(spec: Spec, count: int, seed: int = 0) -> np.ndarray:
    """Returns random prepared inputs that fit a spec.

    Args:
        spec: Spec of one input.
        count: Number of inputs.
        seed: Seed of the random numbers. Defaults to 0.
    """
    generator = np.random.default_rng(seed)
    shape = (count, *spec.shape)
    if spec.vocabulary_size or spec.sizes:
        return generator.integers(0, spec.vocabulary_size or spec.sizes, shape).astype(spec.dtype)
    if np.dtype(spec.dtype).kind in "iu":
        return generator.integers(0, 256, shape).astype(spec.dtype)
    return generator.normal(size=shape).astype(spec.dtype)


def random_targets(spec: Spec, count: int, seed: int = 0) -> np.ndarray:
    """Returns random targets that fit a spec: each class occurs about equally often.

    Args:
        spec: Spec of one target.
        count: Number of targets.
        seed: Seed of the random numbers. Defaults to 0.
    """
    generator = np.random.default_rng(seed)
    if spec.kind == "mask" and spec.class_names is not None:
        return generator.integers(0, len(spec.class_names), (count, *spec.shape)).astype(spec.dtype)
    if spec.class_names is not None and spec.shape == ():
        return (np.arange(count) % len(spec.class_names)).astype(spec.dtype)
    if spec.class_names is not None:
        return (generator.random((count, *spec.shape)) < 0.5).astype(spec.dtype)
    if spec.vocabulary_size:
        return random_inputs(spec, count, seed)
    mean, deviation = spec.mean or (0.0,), spec.standard_deviation or (1.0,)
    numbers = generator.normal(size=(count, *spec.shape))
    scaled = numbers * np.reshape(deviation, spec.shape) + np.reshape(mean, spec.shape)
    return scaled.astype(spec.dtype)
