"""`kx data show`: training examples as the model receives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kx.config import Composed
from kx.contracts.specs import Data
from kx.data.augment import chain, check_fits, check_range
from kx.data.examples import as_images, as_pixels, as_text
from kx.data.issues import print_issues
from kx.data.random import example_seeds
from kx.fit.batches import make_data
from kx.report.figures import picture_grid

_MAX_CLASSES = 30
_MIXED = 1_024  # size of the buffer from which the shown examples are drawn


def show(job: Composed, out: str, num: int) -> None:
    """Writes an image grid of training examples, before and after augmentation.

    Other data than images is printed as a table.

    Args:
        job: Composed config.
        out: Path to the image file.
        num: Number of examples.
    """
    data = make_data(job.config)
    print_issues(data)
    for name in ("train", "validation", "test"):
        size = int(data.splits[name].cardinality()) if name in data.splits else 0
        print(f"{name:<12}{size:>9,} examples")
    print(f"{'inputs':<12}{data.inputs.dtype} {data.inputs.shape}")
    print(f"{'targets':<12}{data.targets.dtype} {data.targets.shape}")
    if data.targets.class_names:
        names = data.targets.class_names
        print(
            f"{'classes':<12}{len(names)}: {', '.join(names[:20])}{' …' if len(names) > 20 else ''}"
        )
    _print_counts(data)
    # Shuffled, since many data sets are sorted by class.
    mixed = data.train.shuffle(_MIXED, seed=0)
    examples = list(mixed.take(num).as_numpy_iterator())
    raw = [inputs for inputs, _ in examples]
    targets = [target for _, target in examples]
    labels = [_label(target, data) for target in targets]
    pictures = as_images(raw, data)
    if not pictures:
        _print_table(raw, labels, data)
        return
    after, changed = _augmented(job, data, pictures, targets)
    shown = as_pixels([*pictures, *after])
    captions = labels + [f"{label}, augmented" for label in changed]
    figure = picture_grid(shown, captions, f"{data.name}: training examples")
    Path(out).absolute().parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    print(f"\nwritten: {Path(out).absolute()}")


def _print_counts(data: Data) -> None:
    """Prints the number of examples of each class in each split, for at most 30 classes."""
    names = data.targets.class_names or ()
    if not data.class_counts or len(names) > _MAX_CLASSES:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("class")
    for split in data.class_counts:
        table.add_column(split, justify="right")
    for place, name in enumerate(names):
        table.add_row(Text(name), *(f"{counts[place]:,}" for counts in data.class_counts.values()))
    Console().print(table)


def _augmented(
    job: Composed, data: Data, pictures: list[np.ndarray], targets: list[np.ndarray]
) -> tuple[list[np.ndarray], list[str]]:
    """Returns augmented images, as an epoch may contain them, and their labels."""
    augment = chain(job.config.augment)
    if augment is None:
        print("augment=none: the model sees the images as they are.")
        return [], []
    images = tf.constant(np.stack(pictures))
    names = [name for name, node in job.config.augment.items() if node is not None]
    classes = data.targets.class_names if data.targets.shape == () else None

    def encode(truth: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(truth, len(classes)) if classes else truth

    check_fits(augment, data.inputs, names, data.targets, encode)
    check_range(job.config.augment, images)
    seeds = example_seeds(job.config.seed, tf.constant(0), tf.range(len(pictures)))
    changed, after = augment(images, encode(tf.constant(np.stack(targets))), seeds)
    return list(changed.numpy()), [
        _shares(target, classes) if classes else _label(target, data) for target in after.numpy()
    ]


def _shares(target: np.ndarray, names: Sequence[str]) -> str:
    """Returns the class of a target, or the classes of a mixed target with their shares."""
    order = [place for place in np.argsort(-target, kind="stable") if target[place] > 0.005]
    if len(order) == 1:
        return names[order[0]]
    return ", ".join(f"{names[place]} {target[place]:.0%}" for place in order)


def _label(target: np.ndarray, data: Data) -> str:
    names = data.targets.class_names
    if np.ndim(target) > 1 or (np.ndim(target) == 1 and names and len(names) != len(target)):
        return f"target of shape {np.shape(target)}, {np.min(target):.4g} to {np.max(target):.4g}"
    if names is None:
        return np.array2string(np.asarray(target), precision=4, threshold=12)
    if np.ndim(target) == 0:
        return names[int(target)]
    return "|".join(name for name, given in zip(names, target, strict=True) if given) or "none"


def _print_table(raw: list, labels: list[str], data: Data) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("target", "raw", "prepared"):
        table.add_column(column, overflow="fold")
    for item, label in zip(raw, labels, strict=True):
        prepared = np.asarray(data.prepare(tf.constant(item)))
        shown = np.array2string(prepared, threshold=12, precision=4, edgeitems=6)
        table.add_row(Text(label), Text(as_text(item)[:200]), Text(shown))
    Console().print(table)
