"""Examples of arrays in memory: images, rows and others with one target for each example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import tensorflow as tf

from kx.contracts.examples import Examples
from kx.contracts.specs import DataIssue, Spec
from kx.data.sources.images.pixels import image_examples, normalization
from kx.errors import ConfigError, DataError

_LARGE = 16.0  # larger floats are taken for pixels that are not normalized
_FEW = 20  # so few different integers may be classes


def array_examples(
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    num_own: int,
    class_names: Sequence[str] | None,
    normalize: str,
    name: str,
    source: str,
    target_sources: Sequence[str] = (),
) -> Examples:
    """Returns the examples of arrays, the test split of which begins at `num_own`.

    Args:
        inputs: Array of inputs, its first axis the examples; images are uint8.
        targets: Array of targets, shape `(num_examples,)`; integers are classes.
        num_own: Number of examples before those of the test split, if there is one.
        class_names: Name of each class, or None: the class numbers.
        normalize: As in `kx.data.sources.images.pixels.normalization`.
        name: Name of the data set.
        source: Where it came from.
        target_sources: Where the targets came from, one item for the first `num_own` and one for
            those of the test split. Defaults to `source`.

    Raises:
        DataError: If the targets are not one class or number for each example.
        ConfigError: If `class_names` or `normalize` does not fit.
    """
    if targets.ndim != 1:
        raise DataError(
            f"{source}: expected one target for each example. Received: shape {targets.shape}."
            " One-hot ones are classes by argmax(axis=1)."
        )
    classes = targets.dtype.kind in "biu"
    if isinstance(class_names, str):
        raise ConfigError(
            f"data.class_names: expected a list of names: [cat,dog]. Received: {class_names!r}."
        )
    came_from = partial(_came_from, num_own=num_own, sources=target_sources or [source])
    names = _names_of_classes(targets, class_names, source, came_from) if classes else None
    if names is not None and class_names is None:
        refuse_gaps(targets, num_own, came_from)
    examples = None
    if inputs.dtype == np.uint8 and inputs.ndim in (3, 4) and names is not None:
        images = inputs[..., None] if inputs.ndim == 3 else inputs
        if images.shape[-1] in (1, 3):
            examples = image_examples(
                _as_png(images), targets, shape=images.shape[1:], class_names=names,
                normalize=normalize, name=name, source=source,
            )  # fmt: skip
    if examples is None:
        examples = _examples_of_numbers(
            inputs, targets, class_names=names, normalize=normalize, name=name, source=source
        )
    if num_own < len(targets):
        everything = np.arange(len(targets))
        examples.own_splits = {"train": everything[:num_own], "test": everything[num_own:]}
    return examples


def _examples_of_numbers(
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    class_names: tuple[str, ...] | None,
    normalize: str,
    name: str,
    source: str,
) -> Examples:
    """Returns the examples of arrays that are not images; raw inputs need no preparation."""
    if normalize not in ("standardize", "none"):
        raise ConfigError(
            f"data.normalize={normalize} is for images of uint8. These examples are"
            f" {inputs.dtype} of shape {inputs.shape[1:]}: standardize, or none."
        )
    values = inputs.astype("float32")
    if values.ndim == 1:
        raise DataError(f"{source}: expected examples of one axis or more. Received: numbers.")
    return Examples(
        values,
        targets,
        Spec(values.shape[1:], "float32"),
        Spec((), "float32", column_names=("target",))
        if class_names is None
        else Spec((), "int32", class_names=class_names),
        normalize=normalization(normalize),
        name=name,
        source=source,
        issues=doubts(inputs, targets, classes=class_names is not None),
    )


def doubts(
    inputs: np.ndarray, targets: np.ndarray, *, classes: bool, normalized: bool = True
) -> tuple[DataIssue, ...]:
    """Returns issues of arrays that may be meant in another way than they are read.

    Args:
        inputs: Inputs of all examples.
        targets: Targets of all examples.
        classes: Whether the targets are classes.
        normalized: Whether floats are normalized before the model. Defaults to True.
    """
    found = []
    low, high = (inputs.min(), inputs.max()) if inputs.ndim >= 3 and inputs.size else (0, 0)
    if inputs.ndim == 4 and inputs.shape[1] in (1, 3) and inputs.shape[-1] not in (1, 3):
        text = "images with channels first? Expected (n, height, width, channels): moveaxis(1, -1)"
        found.append(DataIssue("inputs", "kept", f"shape {inputs.shape}: {text}"))
    elif inputs.ndim == 4 and inputs.dtype == np.uint8 and inputs.shape[-1] not in (1, 3):
        text = "are taken as numbers. Images have 1 or 3 channels: x[..., :3]"
        found.append(DataIssue("inputs", "kept", f"{inputs.shape[-1]} channels {text}"))
    elif inputs.dtype.kind in "iu" and inputs.dtype != np.uint8 and int(high) - int(low) > 1:
        text = "are taken as numbers. Images are uint8: astype('uint8')"
        found.append(DataIssue("inputs", "kept", f"{inputs.dtype} from {low} to {high} {text}"))
    elif inputs.dtype.kind == "f" and not normalized and max(high, -low) > _LARGE:
        text = "go into the model as they are. Scale pixels first: x / 255"
        found.append(DataIssue("inputs", "kept", f"{inputs.dtype} from {low:g} to {high:g} {text}"))
    as_floats = targets.dtype.kind == "f"
    if as_floats and len(values := np.unique(targets)) <= _FEW and not (values % 1).any():
        text = "are numbers to predict. Classes are integers: astype('int64')"
        found.append(
            DataIssue("targets", "kept", f"{targets.dtype} of {len(values)} values {text}")
        )
    return tuple(found)


def _came_from(example: int, num_own: int, sources: Sequence[str]) -> str:
    """Returns the place of a target for messages: `y_test: example 3`."""
    if len(sources) > 1 and example >= num_own:
        return f"{sources[1]}: example {example - num_own}"
    return f"{sources[0]}: example {example}"


def _names_of_classes(
    targets: np.ndarray,
    class_names: Sequence[str] | None,
    source: str,
    came_from: Callable[[int], str],
) -> tuple[str, ...]:
    if not len(targets):
        raise DataError(f"{source}: there is no example.")
    count = len(class_names) if class_names is not None else int(targets.max()) + 1
    bad = np.flatnonzero((targets < 0) | (targets >= count))
    if len(bad):
        raise DataError(
            f"{came_from(int(bad[0]))} has the class {targets[bad[0]]}. Expected"
            f" {f'0 to {count - 1}' if count > 0 else '0 or more'}; {len(bad):,} of"
            f" {len(targets):,} examples have others."
        )
    if count < 2 or not targets.any():
        raise DataError(f"{source}: expected two classes or more. All targets are 0.")
    if class_names is not None:
        return tuple(class_names)
    if count > 2 * len(targets):  # not class numbers: without gaps, each would be a class
        refuse_gaps(targets, len(targets), came_from)
    return tuple(map(str, range(count)))


def refuse_gaps(
    targets: np.ndarray,
    num_own: int,
    came_from: Callable[[int], str],
    if_meant: str = "give each a name: data.class_names=[…]",
) -> None:
    """Refuses class numbers with gaps, since each missing number would be a class of the model.

    Args:
        targets: Targets of all examples, those of the test split last.
        num_own: Number of examples before those of the test split.
        came_from: Function from an example's position to the place of its target, for messages.
        if_meant: Advice of the message for classes that are all meant. Defaults to class names.

    Raises:
        DataError: If a class has no training example, with the first of these classes.
    """
    there, count = np.unique(targets[:num_own]), int(targets.max()) + 1
    if len(there) < count:
        first = range(min(count, len(there) + 5))  # contains up to five missing classes
        absent = np.setdiff1d(first, there)[:5]
        raise DataError(
            f"{came_from(int(np.argmax(targets)))} has the class {count - 1}, and of the classes up"
            f" to it {count - len(there):,} have no example to train on:"
            f" {', '.join(map(str, absent))}"
            f"{' …' if count - len(there) > 5 else ''}. Number them from 0 on without gaps; or, if"
            f" all are meant, {if_meant}. Numbers to predict are floats: astype('float32')."
        )


def _as_png(images: np.ndarray) -> list[bytes]:
    """Returns images as PNG, since raw images are the bytes of a file, as in `predict`."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda image: tf.io.encode_png(image).numpy(), images))
