"""From a source's examples and the positions of each split to `Data`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import tensorflow as tf

from kx.contracts.examples import SPLITS, Examples, Preparation
from kx.contracts.specs import Data, Spec
from kx.data.fingerprint import content_hashes, fingerprint
from kx.data.split.choose import count_classes


def divided(examples: Examples, parts: Mapping[str, np.ndarray]) -> Data:
    """Returns the `Data` of examples, divided.

    Args:
        examples: Examples of a source.
        parts: Split name to positions, as an option of `split` returns them.
    """
    parts = {name: np.asarray(parts[name]) for name in SPLITS if len(parts.get(name, ()))}
    ready = Preparation(examples.prepare, examples.input_spec)
    if examples.adapt is not None:
        ready = examples.adapt(examples.raw(parts["train"]))
    spec, name_of = examples.target_spec, examples.example_name
    classes, num_classes = examples.classes, len(spec.class_names or ())
    identity = examples.identity
    if not identity:  # a function itself has another address in each process
        inputs = content_hashes(examples) if callable(examples.inputs) else examples.inputs
        identity = (inputs, examples.targets)
    splits = {name: _split(examples, positions) for name, positions in parts.items()}
    return Data(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        inputs=ready.inputs,
        targets=_with_statistics(spec, examples.targets[parts["train"]]),
        prepare=ready.prepare,
        normalize=examples.normalize,
        kind=examples.kind,
        name=examples.name,
        source=examples.source,
        fingerprint=fingerprint(*identity, *[part for _, part in sorted(parts.items())]),
        assets=list(ready.assets),
        positions=parts,
        issues=examples.issues,
        class_counts={} if classes is None else count_classes(classes, parts, num_classes),
        example_name=name_of and (lambda split, number: name_of(int(parts[split][number]))),
    )


def _split(examples: Examples, positions: np.ndarray) -> tf.data.Dataset:
    targets = examples.targets[positions].astype(examples.target_spec.dtype)
    if callable(examples.inputs):
        pairs = (examples.dataset(positions), tf.data.Dataset.from_tensor_slices(targets))
        return tf.data.Dataset.zip(pairs)
    return tf.data.Dataset.from_tensor_slices((examples.raw(positions), targets))


def _with_statistics(spec: Spec, trained_on: np.ndarray) -> Spec:
    """Returns the spec of targets; of numbers to predict with their mean and deviation."""
    if spec.column_names is None or spec.class_names is not None or spec.mean is not None:
        return spec
    rows = trained_on.reshape(len(trained_on), -1).astype("float64")
    return replace(
        spec,
        mean=tuple(float(value) for value in rows.mean(axis=0)),
        standard_deviation=tuple(float(value) or 1.0 for value in rows.std(axis=0)),
    )
