"""The data that an option of `data` returns, and the specs of models and tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from kx.errors import DataError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf


@dataclass(frozen=True)
class Spec:
    """Describes one prepared example: its inputs, or its targets.

    Args:
        shape: Shape without the batch axis: `(32, 32, 3)`.
        dtype: Dtype of the prepared example: `"uint8"`, `"int32"`, `"float32"`.
        class_names: Names of the classes or labels. Defaults to None: no names.
        vocabulary_size: Number of token ids, padding and unknown included. Defaults to None.
        column_names: Names of a table's columns, or of the numbers to predict. Defaults to None.
        mean: Mean of numeric targets over the training split. Defaults to None.
        standard_deviation: Standard deviation of numeric targets over the training split.
            Defaults to None.

    Example:
    >>> Spec((28, 28, 1), "uint8").shape
    (28, 28, 1)
    """

    shape: tuple[int, ...]
    dtype: str
    class_names: tuple[str, ...] | None = None
    vocabulary_size: int | None = None
    column_names: tuple[str, ...] | None = None
    mean: tuple[float, ...] | None = None
    standard_deviation: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        names = self.class_names or ()
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise DataError(
                f"class_names: expected a name for each class. Received twice: {', '.join(twice)}."
            )

    @property
    def num_classes(self) -> int | None:
        """The number of class names, or None where there are none."""
        return None if self.class_names is None else len(self.class_names)

    def to_json(self) -> dict[str, Any]:
        """Returns the spec as plain values, which `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Spec:
        """Returns a spec from plain values.

        Args:
            values: Values that `to_json` returned; a tuple may be a list.
        """
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**fields)


@dataclass(frozen=True)
class Outputs:
    """Describes the outputs of a model.

    Args:
        units: Number of raw scores for each example.
        class_names: Name of each score. Defaults to None: no names.
    """

    units: int
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class DataIssue:
    """Holds an issue of one file or class of a data set.

    Args:
        file: Name of the file or class within the data set.
        what: What was done: `"left out"`, `"converted"`, `"copy"` or `"kept"`.
        reason: Reason in words.
    """

    file: str
    what: str
    reason: str


def identity(example: Any) -> Any:
    """Returns the example unchanged: the preparation of data that needs none.

    Args:
        example: Raw example.
    """
    return example


@dataclass
class Data:
    """Holds a data set: its splits of raw examples, and how they are prepared.

    Args:
        train: Training split: an unbatched `tf.data.Dataset` of `(raw, target)`.
        validation: Validation split, in the form of `train`, or None.
        test: Test split, in the form of `train`, or None.
        inputs: Spec of one prepared example.
        targets: Spec of one target.
        prepare: Function, in TensorFlow's graph, from one raw example to a prepared one of fixed
            shape and compact type. Resources that it uses, such as lookup tables, belong in
            `assets`. Defaults to the raw example itself.
        normalize: Keras layer that becomes the first layer of the saved model; one with an
            `adapt` method is adapted on the training split alone. Defaults to None.
        kind: Kind of a raw example: `"image"` (encoded bytes), `"text"` (a string), `"row"` (a
            line of CSV) or `"array"`. Defaults to `"array"`.
        name: Name of the data set, for tracking. Defaults to `"data"`.
        source: Where it came from: a path or a TFDS name. Defaults to an empty string.
        fingerprint: Hash that changes if the examples change. Defaults to an empty string.
        assets: Trackable objects that `prepare` needs. Defaults to none.
        positions: Split name to the positions of its examples in the whole data set, in the
            order of the split, where they are known. Defaults to none.
        issues: Issues of single files and classes, printed and kept with the run. Defaults to
            none.
        class_counts: Split name to the number of examples of each class, where they are known.
            Defaults to none.
        example_name: Function from a split name and a position to the name of the example, where
            each example is a file. Defaults to None.
    """

    train: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None
    inputs: Spec
    targets: Spec
    prepare: Callable[[Any], Any] = identity
    normalize: keras.layers.Layer | None = None
    kind: str = "array"
    name: str = "data"
    source: str = ""
    fingerprint: str = ""
    assets: list[Any] = field(default_factory=list)
    positions: Mapping[str, np.ndarray] = field(default_factory=dict)
    issues: tuple[DataIssue, ...] = ()
    class_counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    example_name: Callable[[str, int], str] | None = None

    @property
    def splits(self) -> dict[str, tf.data.Dataset]:
        """The splits that exist, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}
