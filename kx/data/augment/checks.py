"""Checks of a chain of augmentations, before an epoch is trained."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from kx.contracts.fields import map_fields, named_fields, values_of
from kx.contracts.specs import Spec, Specs
from kx.data.augment.chaining import Chain, image_fields
from kx.data.augment.operations import is_marked, matrices_of, precedes_encoding
from kx.data.random import example_seeds
from kx.errors import ConfigError


def check_fits(
    augment: Chain,
    inputs: Specs,
    targets: Specs,
    encode: Any,
    views: int = 1,
    tokens: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Refuses a chain that cannot take the prepared examples, before any of them is read.

    Args:
        augment: Chain of augmentations.
        inputs: Spec of one prepared example, or of each of its fields.
        targets: Spec of one target, or of each of its fields.
        encode: Function from a batch of inputs and targets to those that the loss takes.
        views: Number of times that each example is augmented. Defaults to 1.
        tokens: What each token id stands for, by field. Defaults to None: not known.

    Raises:
        ConfigError: If the chain cannot take the examples, or would leave a field behind.
    """
    _refuse_no_images(augment, inputs)
    _refuse_left_behind(augment, inputs, targets)
    if views > 1:
        _refuse_views(augment, targets)
    fitted = augment.of(inputs, targets, views, tokens)

    def batch(spec: Spec) -> tf.TensorSpec:
        return tf.TensorSpec((None, *spec.shape), spec.dtype)

    def once(given: Any, truths: Any) -> Any:
        count = tf.shape(values_of(given)[0])[0]
        seeds = example_seeds(0, tf.constant(0, tf.int64), tf.range(count))
        moved = fitted.before_encoding(given, truths, seeds)
        first = tf.nest.map_structure(lambda one: one[:, 0], moved[0]) if views > 1 else moved[0]
        if not _marked(augment, "changes_texts"):  # these may make texts shorter
            _require_shapes((given, truths), (first, moved[1]))
        if views > 1:
            encode(given, truths)  # as reports call it
        inputs, encoded, *_ = encode(*moved)
        mixed = fitted.after_encoding(inputs, encoded, seeds)
        _require_shapes((inputs, encoded), mixed)
        return mixed

    try:
        tf.function(once).get_concrete_function(
            map_fields(batch, inputs), map_fields(batch, targets)
        )
    except Exception as error:  # errors in a traced function have no common base class
        reason = str(error).splitlines()[-1].strip()
        _, ours, message = reason.rpartition("ConfigError: ")  # TensorFlow changes its type
        if ours:  # about an argument, independent of the examples
            raise ConfigError(message) from error
        expected, received = "", _in_words(inputs)
        if isinstance(inputs, Spec) and len(inputs.shape) != 3:
            expected = " Expected images (height, width, channels); else choose augment=none."
        raise ConfigError(
            f"augment=[{','.join(augment.names)}] cannot take these examples. Received: examples of"
            f" {received}.{expected} ({reason})"
        ) from error


def _in_words(inputs: Specs) -> str:
    if isinstance(inputs, Spec):
        return f"shape {inputs.shape}, {inputs.dtype}"
    return ", ".join(f"{name}: {spec.dtype} {spec.shape}" for name, spec in inputs.items())


def _require_shapes(before: Any, after: Any) -> None:
    for was, made in zip(tf.nest.flatten(before), tf.nest.flatten(after), strict=True):
        if not made.shape.is_compatible_with(was.shape):
            raise ValueError(f"it would make {made.shape} of {was.shape}")


def _marked(augment: Chain, mark: str) -> list[str]:
    """Returns the names of the augmentations with a mark."""
    pairs = zip(augment.names, augment.functions, strict=True)
    return [name for name, function in pairs if is_marked(function, mark)]


def _refuse_views(augment: Chain, targets: Specs) -> None:
    """Refuses what several views of an example cannot have: one target of them all."""
    mixing = _marked(augment, "mixes_examples")
    if mixing:
        raise ConfigError(
            f"augment=[{','.join(mixing)}] mixes the targets of examples, and the views of an"
            " example have one target. Choose augmentations that change inputs alone."
        )
    places = [name for name, one in named_fields(targets, "targets").items()
              if one.kind in ("mask", "boxes")]  # fmt: skip
    if places:
        raise ConfigError(
            f"task: the views of an example have one target, and {', '.join(places)} would move"
            " with each of them."
        )


def _refuse_no_images(augment: Chain, inputs: Specs) -> None:
    """Refuses augmentations of images where no field of several is an image."""
    if isinstance(inputs, Spec) or image_fields(inputs):
        return
    names = _marked(augment, "changes_images")
    if names:
        raise ConfigError(
            f"augment=[{','.join(names)}] changes images, and no field of the examples is one:"
            f" {_in_words(inputs)}. Say kx.Spec(…, kind='image') of it, or choose augment=none."
        )


def _refuse_left_behind(augment: Chain, inputs: Specs, targets: Specs) -> None:
    """Refuses augmentations that move pixels of the images, but not what belongs to them."""
    sizes = _image_sizes(inputs)
    specs = {f"target {name!r}": spec for name, spec in named_fields(targets, "targets").items()}
    if isinstance(inputs, Mapping):  # masks and boxes among the inputs move, too
        specs |= {n: spec for n, spec in inputs.items() if spec.kind in ("mask", "boxes")}
    masks = {name: spec for name, spec in specs.items() if spec.kind in ("mask", "boxes")}
    other_size = {
        name: spec
        for name, spec in masks.items()
        if spec.kind == "mask" and spec.shape[:2] != _first_size(inputs)
    }
    alike = {
        name: spec
        for name, spec in specs.items()
        if name not in masks and len(spec.shape) > 1 and spec.shape[:2] in sizes
    }
    first_whole = next(
        (i for i, one in enumerate(augment.functions) if not precedes_encoding(one)),
        len(augment.functions),
    )
    moving = [
        name
        for number, (name, function) in enumerate(
            zip(augment.names, augment.functions, strict=True)
        )
        if is_marked(function, "mixes_examples")
        or (
            is_marked(function, "moves_pixels")
            and (alike or other_size or matrices_of(function) is None or number > first_whole)
        )
    ]
    if moving and (masks or alike):
        left = ", ".join(f"{name} of shape {spec.shape}" for name, spec in (masks | alike).items())
        raise ConfigError(
            f"augment=[{','.join(moving)}] moves the pixels of the images, and would leave as"
            f" it is: {left}. flip, crop_flip, translate, rotate, zoom, shear and"
            " resized_crop move masks of the images' size and boxes too, where their spec says so"
            " (kx.Spec(…, kind='mask')) and nothing mixes examples before them. Or choose"
            " augmentations that change colours alone (color, light, blur)."
        )


def _first_size(inputs: Specs) -> tuple[int, ...]:
    """Returns height and width of the images that the matrices are of."""
    if isinstance(inputs, Spec):
        return inputs.shape[:2]
    names = image_fields(inputs)
    return inputs[names[0]].shape[:2] if names else ()


def _image_sizes(inputs: Specs) -> set[tuple[int, ...]]:
    specs = values_of(inputs)
    return {spec.shape[:2] for spec in specs if len(spec.shape) == 3}


def check_range(entries: Mapping[str, Any], inputs: Any) -> None:
    """Refuses float images of another range if an augmentation expects pixels from 0 to 255.

    Args:
        entries: Entries of the `augment` config.
        inputs: Prepared examples; a sample is enough. Those that are not float images are
            accepted.

    Raises:
        ConfigError: If the range is another, with the entries that expect 0 to 255.
    """
    names = [
        name
        for name, node in entries.items()
        if node and getattr(_imported(str(node["_target_"])), "counts_to_255", False)
    ]
    for images in values_of(inputs) if names else ():
        if not images.dtype.is_floating or images.shape.rank != 4:
            continue
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
