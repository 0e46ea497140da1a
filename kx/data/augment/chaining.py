"""A chain of augmentations: built from the config, checked, run in order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import tensorflow as tf
from hydra.utils import get_object

from kx.config import build
from kx.contracts.specs import Spec
from kx.data.random import example_seeds, fold_in, uniform
from kx.errors import ConfigError

_CHOICE = 7919  # the stream of which images are changed at all

Batch = tuple[Any, Any]
Augment = Callable[[Any, Any, tf.Tensor], Batch]


def chain(entries: Mapping[str, Any]) -> Augment | None:
    """Builds the `augment` config: its entries in order, each with a random stream of its own.

    Args:
        entries: name to a node with `_target_`; null entries are left out.

    Returns:
        One function `(inputs, targets, seeds)`, or None if there is no entry.
    """
    functions = [
        build(node, place=f"augment.{name}", partial=True)
        for name, node in entries.items()
        if node is not None
    ]
    return partial(_chained, functions) if functions else None


def fuse(function: Callable[..., Any]) -> Callable[..., Any]:
    """Lets XLA make one loop of a function's many small operations.

    TensorFlow runs one after the other, each of which reads and writes the whole batch.

    Args:
        function: of tensors, of operations that XLA knows.

    Returns:
        It, fused where a graph is built, as in a pipeline; called eagerly it is as it was:
        to compile takes longer than to run it once.
    """
    if tf.executing_eagerly():
        return function
    return tf.function(function, jit_compile=True, autograph=False)


def fused(function: Callable[..., Batch]) -> Callable[..., Batch]:
    """Fuses all of an augmentation.

    Args:
        function: `(inputs, targets, seeds, *, …) -> (inputs, targets)`, of operations that
            XLA knows.
    """

    @functools.wraps(function)
    def wrapper(inputs: Any, targets: Any, seeds: tf.Tensor, **options: Any) -> Batch:
        return fuse(partial(function, **options))(inputs, targets, seeds)

    return wrapper


def moves_pixels(function: Callable[..., Batch]) -> Callable[..., Batch]:
    """Marks an augmentation of images that would leave a target of their height and width behind.

    Args:
        function: `(inputs, targets, seeds, *, …) -> (inputs, targets)`.
    """
    function.moves_pixels = True  # type: ignore[attr-defined]
    return function


def counts_to_255(function: Callable[..., Batch]) -> Callable[..., Batch]:
    """Marks an augmentation that adds to pixels or fills them, on a scale from 0 to 255.

    Args:
        function: Augmentation.
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
    """Refuses a chain that cannot take the prepared examples, before any is taken.

    Args:
        augment: the chain.
        inputs: the spec of one prepared example.
        names: of its entries, for the message.
        targets: the spec of one target.
        encode: function from a batch of targets to what the augmentations get.

    Raises:
        ConfigError: with what the examples are.
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
    except Exception as error:  # what TensorFlow makes of a function's error has no common base
        reason = str(error).splitlines()[-1].strip()
        _, ours, message = reason.rpartition("ConfigError: ")  # whose type TensorFlow changes
        if ours:  # of an argument, whatever the examples are
            raise ConfigError(message) from error
        expected = ""
        if len(inputs.shape) != 3:
            expected = " Expected images (height, width, channels); else choose augment=none."
        raise ConfigError(
            f"augment=[{','.join(names)}] cannot take these examples. Received: examples of shape"
            f" {inputs.shape}, {inputs.dtype}.{expected} ({reason})"
        ) from error


def _refuse_masks(augment: Augment, inputs: Spec, names: Sequence[str], targets: Spec) -> None:
    """Refuses to move the pixels of images whose targets have their height and width."""
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
    """Refuses float images of another range where an augmentation counts from 0 to 255.

    Args:
        entries: of the `augment` config.
        images: prepared, of any kind; some of them are enough.

    Raises:
        ConfigError: with the entries that count so.
    """
    names = [
        name
        for name, node in entries.items()
        if node and getattr(get_object(str(node["_target_"])), "counts_to_255", False)
    ]
    if not names or not images.dtype.is_floating or images.shape.rank != 4:
        return
    low, high = float(tf.reduce_min(images)), float(tf.reduce_max(images))
    if low < 0 or not 1 < high <= 255:
        raise ConfigError(
            f"augment={','.join(names)} counts pixels from 0 to 255, and these float images are"
            f" from {low:.3g} to {high:.3g}: give them as uint8, or from 0 to 255."
        )


def _chained(functions: list[Augment], inputs: Any, targets: Any, seeds: tf.Tensor) -> Batch:
    for number, function in enumerate(functions):
        inputs, targets = function(inputs, targets, fold_in(seeds, number))
    return inputs, targets


def require_ordered(name: str, low: tuple[str, float], high: tuple[str, float]) -> None:
    """Refuses a range whose end is below its begin.

    Args:
        name: of the augmentation.
        low: name and value of the one argument.
        high: of the other one, which is as large or larger.

    Raises:
        ConfigError: with both.
    """
    if low[1] > high[1]:
        raise ConfigError(
            f"augment.{name}.{low[0]}: expected at most {high[0]}={high[1]:g}. Received:"
            f" {low[1]:g}."
        )


def like(values: Any, images: Any) -> Any:
    """Returns float pixels as the images are: rounded and cut to 0 … 255 where these are uint8.

    Args:
        values: float32.
        images: whose dtype is wanted.
    """
    if images.dtype.is_integer:
        values = tf.clip_by_value(tf.round(values), 0.0, 255.0)
    return tf.cast(values, images.dtype)


def some(inputs: Any, changed: Any, seeds: tf.Tensor, probability: float) -> Any:
    """Returns each image as it is changed, or, otherwise, as it was.

    Args:
        inputs: images.
        changed: the same, changed.
        seeds: shape `(batch, 2)`.
        probability: of the change.
    """
    if probability >= 1:
        return changed
    chosen = uniform(fold_in(seeds, _CHOICE), 1)[:, :, None, None] < probability
    return tf.where(chosen, changed, inputs)
