"""A chain of augmentations: built from the config, checked and applied in order."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from kx.config import build
from kx.contracts.specs import Spec
from kx.data.random import example_seeds, fold_in, uniform
from kx.errors import ConfigError

_CHOICE = 7919  # number of the random stream that chooses the images to change

Batch = tuple[Any, Any]
Augment = Callable[[Any, Any, tf.Tensor], Batch]


def chain(entries: Mapping[str, Any]) -> Augment | None:
    """Builds the `augment` config: its entries in order, each with a random stream of its own.

    Args:
        entries: Name to a node with `_target_`; null entries are skipped.

    Returns:
        Function `(inputs, targets, seeds) -> (inputs, targets)`, or None if there is no entry.
    """
    functions = [
        build(node, place=f"augment.{name}", partial=True)
        for name, node in entries.items()
        if node is not None
    ]
    return partial(_chained, functions) if functions else None


def fuse(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function with XLA, which fuses its small operations into one loop.

    TensorFlow runs them one after the other, each of which reads and writes the whole batch.

    Args:
        function: Function of tensors that uses operations that XLA supports.

    Returns:
        Compiled function where a graph is built, as in a pipeline; the function itself in eager
        mode, where compiling takes longer than one call.
    """
    if tf.executing_eagerly():
        return function
    return tf.function(function, jit_compile=True, autograph=False)


def fused(function: Callable[..., Batch]) -> Callable[..., Batch]:
    """Fuses a whole augmentation; see `fuse`.

    Args:
        function: Augmentation `(inputs, targets, seeds, *, …) -> (inputs, targets)` that uses
            operations that XLA supports.
    """

    @functools.wraps(function)
    def wrapper(inputs: Any, targets: Any, seeds: tf.Tensor, **options: Any) -> Batch:
        return fuse(partial(function, **options))(inputs, targets, seeds)

    return wrapper


def moves_pixels(function: Callable[..., Batch]) -> Callable[..., Batch]:
    """Marks an augmentation that moves pixels of images, but not of targets such as masks.

    Args:
        function: Augmentation `(inputs, targets, seeds, *, …) -> (inputs, targets)`.
    """
    function.moves_pixels = True  # type: ignore[attr-defined]
    return function


def counts_to_255(function: Callable[..., Batch]) -> Callable[..., Batch]:
    """Marks an augmentation that expects pixels from 0 to 255.

    Args:
        function: Augmentation `(inputs, targets, seeds, *, …) -> (inputs, targets)`.
    """
    function.counts_to_255 = True  # type: ignore[attr-defined]
    return function


def check_fits(
    augment: Augment,
    inputs: Spec,
    names: Sequence[str],
    targets: Spec,
    encode: Callable[[Any], Any],
) -> None:
    """Refuses a chain that cannot take the prepared examples, before any of them is read.

    Args:
        augment: Chain of augmentations.
        inputs: Spec of one prepared example.
        names: Names of the entries of the chain, for messages.
        targets: Spec of one target.
        encode: Function from a batch of targets to the targets that the augmentations take.

    Raises:
        ConfigError: If the chain cannot take the examples.
    """
    _refuse_masks(augment, inputs, names, targets)
    batch = tf.TensorSpec((None, *inputs.shape), inputs.dtype)
    truth = tf.TensorSpec((None, *targets.shape), targets.dtype)

    def once(images: tf.Tensor, truths: tf.Tensor) -> Batch:
        seeds = example_seeds(0, tf.constant(0, tf.int64), tf.range(tf.shape(images)[0]))
        encoded = encode(truths)
        changed, after = augment(images, encoded, seeds)
        for before, made in zip(
            [images, *tf.nest.flatten(encoded)], [changed, *tf.nest.flatten(after)], strict=True
        ):
            if not made.shape.is_compatible_with(before.shape):
                raise ValueError(f"it would make {made.shape} of {before.shape}")
        return changed, after

    try:
        tf.function(once).get_concrete_function(batch, truth)
    except Exception as error:  # errors in a traced function have no common base class
        reason = str(error).splitlines()[-1].strip()
        _, ours, message = reason.rpartition("ConfigError: ")  # TensorFlow changes its type
        if ours:  # about an argument, independent of the examples
            raise ConfigError(message) from error
        expected = ""
        if len(inputs.shape) != 3:
            expected = " Expected images (height, width, channels); else choose augment=none."
        raise ConfigError(
            f"augment=[{','.join(names)}] cannot take these examples. Received: examples of shape"
            f" {inputs.shape}, {inputs.dtype}.{expected} ({reason})"
        ) from error


def _refuse_masks(augment: Augment, inputs: Spec, names: Sequence[str], targets: Spec) -> None:
    """Refuses augmentations that move pixels if the targets have the size of the images."""
    if len(inputs.shape) != 3 or targets.shape[:2] != inputs.shape[:2]:
        return
    functions = augment.args[0]  # type: ignore[attr-defined]
    moving = [
        name
        for name, function in zip(names, functions, strict=True)
        if getattr(_innermost(function), "moves_pixels", False)
    ]
    if moving:
        raise ConfigError(
            f"augment=[{','.join(moving)}] moves the pixels of the images, and would leave the"
            f" targets, of shape {targets.shape}, as they are. Choose augmentations that change"
            " colours alone (color, light, blur …), or write one that changes both."
        )


def _innermost(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


def check_range(entries: Mapping[str, Any], images: tf.Tensor) -> None:
    """Refuses float images of another range if an augmentation expects pixels from 0 to 255.

    Args:
        entries: Entries of the `augment` config.
        images: Prepared examples; a sample is enough. Those that are not float images are
            accepted.

    Raises:
        ConfigError: If the range is another, with the entries that expect 0 to 255.
    """
    names = [
        name
        for name, node in entries.items()
        if node and getattr(_imported(str(node["_target_"])), "counts_to_255", False)
    ]
    if not names or not images.dtype.is_floating or images.shape.rank != 4:
        return
    low, high = float(tf.reduce_min(images)), float(tf.reduce_max(images))
    if low < 0 or not 1 < high <= 255:
        raise ConfigError(
            f"augment={','.join(names)} counts pixels from 0 to 255, and these float images are"
            f" from {low:.3g} to {high:.3g}: give them as uint8, or from 0 to 255."
        )


def _imported(target: str) -> Any:
    """Returns a function whose module was imported when the chain was built, or None."""
    module, _, name = target.rpartition(".")
    return getattr(sys.modules.get(module), name, None)


def _chained(functions: list[Augment], inputs: Any, targets: Any, seeds: tf.Tensor) -> Batch:
    for number, function in enumerate(functions):
        inputs, targets = function(inputs, targets, fold_in(seeds, number))
    return inputs, targets


def require_ordered(name: str, low: tuple[str, float], high: tuple[str, float]) -> None:
    """Refuses a range whose upper limit is below its lower limit.

    Args:
        name: Name of the augmentation.
        low: Name and value of the lower limit.
        high: Name and value of the upper limit.

    Raises:
        ConfigError: If the lower limit is above the upper one.
    """
    if low[1] > high[1]:
        raise ConfigError(
            f"augment.{name}.{low[0]}: expected at most {high[0]}={high[1]:g}. Received:"
            f" {low[1]:g}."
        )


def like(values: Any, images: Any) -> Any:
    """Returns float pixels in the dtype of images, rounded and clipped to 0 … 255 for uint8.

    Args:
        values: Pixels, float32.
        images: Images of the wanted dtype.
    """
    if images.dtype.is_integer:
        values = tf.clip_by_value(tf.round(values), 0.0, 255.0)
    return tf.cast(values, images.dtype)


def some(inputs: Any, changed: Any, seeds: tf.Tensor, probability: float) -> Any:
    """Returns a random selection of images changed, and the others unchanged.

    Args:
        inputs: Images, shape `(batch, height, width, channels)`.
        changed: Changed images, of the same shape.
        seeds: Seeds of the examples, shape `(batch, 2)`.
        probability: Probability of the change.
    """
    if probability >= 1:
        return changed
    chosen = uniform(fold_in(seeds, _CHOICE), 1)[:, :, None, None] < probability
    return tf.where(chosen, changed, inputs)
