"""What augmentations share: marks, fusion by XLA, and small operations on batches."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from kx.data.random import fold_in, uniform
from kx.errors import ConfigError

_CHOICE = 7919  # number of the random stream that chooses the images to change

Batch = tuple[Any, Any]
Augment = Callable[[Any, Any, tf.Tensor], Batch]


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


def changes_images(function: Callable[..., Batch]) -> Callable[..., Batch]:
    """Marks an augmentation that changes images alone, pixel by pixel.

    Of several input fields, those of kind `"image"` are changed; targets stay as they are.

    Args:
        function: Augmentation `(inputs, targets, seeds, *, …) -> (inputs, targets)`.
    """
    function.changes_images = True  # type: ignore[attr-defined]
    return function


def moves_pixels(
    function: Callable[..., Batch] | None = None, *, matrices: Callable[..., Any] | None = None
) -> Any:
    """Marks an augmentation that moves pixels of images.

    With `matrices`, masks and boxes among the targets move in the same way. Without, it is refused
    where there are some.

    Args:
        function: Augmentation `(inputs, targets, seeds, *, …) -> (inputs, targets)`.
        matrices: Function `((height, width), seeds, *, …)` from the same seeds and options to the
            affine matrices of the images, shape `(batch, 2, 3)`: from a pixel `(x, y, 1)` of the
            output to its place in the input. Defaults to None.
    """
    if function is None:
        return partial(moves_pixels, matrices=matrices)
    function.moves_pixels = function.changes_images = True  # type: ignore[attr-defined]
    function.matrices = matrices  # type: ignore[attr-defined]
    return function


def changes_texts(function: Callable[..., Batch]) -> Callable[..., Batch]:
    """Marks an augmentation that changes token ids alone, before the task encodes them.

    Texts may be shorter after it. Targets stay as they are.

    Args:
        function: Augmentation `(inputs, targets, seeds, *, …) -> (inputs, targets)`.
    """
    function.changes_texts = True  # type: ignore[attr-defined]
    return function


def changes_words(function: Callable[..., Batch]) -> Callable[..., Batch]:
    """Marks an augmentation that changes the words of each text, before the task encodes them.

    It gets the token ids of one text after the other, of each field of kind `"tokens"`. An argument
    `tokens` gets what each id stands for. Targets stay as they are.

    Args:
        function: Augmentation `(inputs, targets, seeds, *, …) -> (inputs, targets)`.
    """
    function.changes_words = True  # type: ignore[attr-defined]
    return changes_texts(function)


def takes_tokens(function: Any) -> bool:
    """Returns whether an augmentation has an argument `tokens`.

    Args:
        function: Augmentation, or a partial of it.
    """
    return "tokens" in inspect.signature(_innermost(function)).parameters


def mixes_examples(function: Callable[..., Batch]) -> Callable[..., Batch]:
    """Marks an augmentation that mixes examples of a batch, and their encoded targets.

    Args:
        function: Augmentation `(inputs, targets, seeds, *, …) -> (inputs, targets)`.
    """
    function.mixes_examples = True  # type: ignore[attr-defined]
    return function


def counts_to_255(function: Callable[..., Batch]) -> Callable[..., Batch]:
    """Marks an augmentation that expects pixels from 0 to 255.

    Args:
        function: Augmentation `(inputs, targets, seeds, *, …) -> (inputs, targets)`.
    """
    function.counts_to_255 = True  # type: ignore[attr-defined]
    return function


def is_marked(function: Any, mark: str) -> bool:
    """Returns whether an augmentation, given with or without its options, has a mark.

    Args:
        function: Augmentation, or a partial of it.
        mark: Name of the mark: `"changes_images"`, `"moves_pixels"` …
    """
    return bool(getattr(_innermost(function), mark, False))


def precedes_encoding(function: Any) -> bool:
    """Returns whether an augmentation changes inputs alone, so that targets are encoded after it.

    Args:
        function: Augmentation, or a partial of it.
    """
    return is_marked(function, "changes_images") or is_marked(function, "changes_texts")


def matrices_of(function: Any) -> Callable[..., tf.Tensor] | None:
    """Returns the function `(size, seeds)` of an augmentation's matrices, or None without one.

    Args:
        function: Augmentation, or a partial of it with its options.
    """
    found = getattr(_innermost(function), "matrices", None)
    options = function.keywords if isinstance(function, partial) else {}
    return None if found is None else partial(found, **options)


def _innermost(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


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
    return tf.where(chosen(seeds, probability)[:, :, None, None], changed, inputs)


def chosen(seeds: tf.Tensor, probability: float) -> tf.Tensor:
    """Returns which examples are changed, shape `(batch, 1)`.

    Args:
        seeds: Seeds of the examples, shape `(batch, 2)`.
        probability: Probability of the change.
    """
    return uniform(fold_in(seeds, _CHOICE), 1) < probability
