"""`kx data show`: training examples as the model receives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kx.config import Composed
from kx.contracts.fields import map_fields, named_fields, values_of
from kx.contracts.specs import Data, Spec, Specs
from kx.data.augment import chain, check_fits, check_range
from kx.data.examples import as_images, as_pixels, as_text, image_field, of_field
from kx.data.issues import print_issues
from kx.data.random import example_seeds
from kx.data.texts.host import prepare_one
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
    if data.environment is not None:
        _show_environment(data)
        return
    print_issues(data)
    for name in ("train", "validation", "test"):
        size = int(data.splits[name].cardinality()) if name in data.splits else 0
        print(f"{name:<12}{size:>9,} examples")
    _print_specs("inputs", data.inputs)
    _print_specs("targets", data.targets)
    _print_counts(data)
    # Shuffled, since many data sets are sorted by class.
    mixed = data.train.shuffle(_MIXED, seed=0)
    examples = list(mixed.take(num).as_numpy_iterator())
    raw = [inputs for inputs, *_ in examples]
    prepare = data.prepare_target
    targets = [map_fields(np.asarray, prepare(one, target)) for one, target, *_ in examples]
    labels = [_label(target, data.targets) for target in targets]
    pictures = as_images(raw, data)
    if not pictures:
        _print_table(raw, labels, data)
        return
    if isinstance(data.inputs, Mapping):
        labels = [f"{as_text(one)}: {label}" for one, label in zip(raw, labels, strict=True)]
    after, changed = _augmented(job, data, raw, targets)
    shown = as_pixels([*pictures, *after])
    captions = labels + [f"{label}, augmented" for label in changed]
    figure = picture_grid(shown, captions, f"{data.name}: training examples")
    Path(out).absolute().parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    print(f"\nwritten: {Path(out).absolute()}")


def _show_environment(data: Data) -> None:
    """Prints what an environment has in place of examples."""
    environment = data.environment
    assert environment is not None
    for split, noun in (("train", "steps an epoch"), ("validation", "episodes"),
                        ("test", "episodes")):  # fmt: skip
        size = int(data.splits[split].cardinality()) if split in data.splits else 0
        print(f"{split:<12}{size:>9,} {noun}")
    _print_specs("observation", data.inputs)
    print(f"{'actions':<12}{environment.num_actions}: {', '.join(environment.action_names)}")
    print(f"{'max_steps':<12}{environment.max_steps}")


def _print_specs(what: str, specs: Specs) -> None:
    """Prints dtype, shape and classes of inputs or targets, a line for each field."""
    for name, spec in named_fields(specs, what).items():
        label = name if name == what else f"{what}.{name}"
        print(f"{label:<12}{spec.dtype} {spec.shape}")
        if names := spec.class_names:
            rest = " …" if len(names) > 20 else ""
            print(f"{'classes':<12}{len(names)}: {', '.join(names[:20])}{rest}")


def _print_counts(data: Data) -> None:
    """Prints the number of examples of each class in each split, for at most 30 classes."""
    if not data.class_counts or not isinstance(data.targets, Spec):
        return
    names = data.targets.class_names or ()
    if len(names) > _MAX_CLASSES:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("class")
    for split in data.class_counts:
        table.add_column(split, justify="right")
    for place, name in enumerate(names):
        table.add_row(Text(name), *(f"{counts[place]:,}" for counts in data.class_counts.values()))
    Console().print(table)


def _augmented(
    job: Composed, data: Data, raw: list[Any], targets: list[Any]
) -> tuple[list[np.ndarray], list[str]]:
    """Returns augmented images, as an epoch may contain them, and their labels."""
    augment = chain(job.config.augment)
    if augment is None:
        print("augment=none: the model sees the images as they are.")
        return [], []
    prepared = [prepare_one(data, map_fields(tf.constant, one)) for one in raw]
    inputs = map_fields(lambda *each: tf.stack(each), prepared[0], *prepared[1:])
    truth = map_fields(lambda *each: tf.constant(np.stack(each)), targets[0], *targets[1:])
    spec = data.targets
    classes = spec.class_names if isinstance(spec, Spec) and spec.shape == () else None

    def encode(inputs: Any, truth: Any) -> tuple[Any, Any]:
        return inputs, tf.one_hot(truth, len(classes)) if classes else truth

    check_fits(augment, data.inputs, spec, encode)
    check_range(job.config.augment, inputs)
    fitted = augment.of(data.inputs, spec)
    seeds = example_seeds(job.config.seed, tf.constant(0), tf.range(len(raw)))
    changed = encode(*fitted.before_encoding(inputs, truth, seeds))
    changed, after = fitted.after_encoding(*changed, seeds)
    pictures = list(of_field(changed, image_field(data) or "").numpy())
    each = [map_fields(lambda one, i=i: one[i].numpy(), after) for i in range(len(raw))]
    return pictures, [
        _shares(target, classes) if classes else _label(target, spec) for target in each
    ]


def _shares(target: np.ndarray, names: Sequence[str]) -> str:
    """Returns the class of a target, or the classes of a mixed target with their shares."""
    order = [place for place in np.argsort(-target, kind="stable") if target[place] > 0.005]
    if len(order) == 1:
        return names[order[0]]
    return ", ".join(f"{names[place]} {target[place]:.0%}" for place in order)


def _label(target: Any, spec: Specs) -> str:
    """Returns a target in words."""
    if not isinstance(spec, Spec):
        return ", ".join(f"{name}={_label(target[name], spec[name])}" for name in spec)
    names = spec.class_names
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
        prepared = prepare_one(data, map_fields(tf.constant, item))
        shown = "\n".join(
            np.array2string(np.asarray(one), threshold=12, precision=4, edgeitems=6)
            for one in values_of(prepared)
        )
        table.add_row(Text(label), Text(as_text(item)[:200]), Text(shown))
    Console().print(table)
