"""What a data option hands over, and the specs that models and tasks are built from."""

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
        shape: without the batch axis: `(32, 32, 3)`.
        dtype: of the prepared example: `"uint8"`, `"int32"`, `"float32"`.
        class_names: names of the classes or labels, where they have names.
        vocabulary_size: number of token ids, padding and unknown included.
        column_names: of a table's inputs, or of the numbers to predict.
        mean: of numeric targets over the training split.
        standard_deviation: likewise.

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
        """Returns plain values that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Spec:
        """Returns the spec that `to_json` wrote."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**fields)


@dataclass(frozen=True)
class Outputs:
    """Describes what a model must give.

    Args:
        units: number of raw scores for each example.
        class_names: their names, where they have names.
    """

    units: int
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class DataIssue:
    """Holds what was found of one file, or class, of a data set.

    Args:
        file: its name, within the set.
        what: what was done: `"left out"`, `"converted"`, `"copy"`, `"kept"`.
        reason: in words.
    """

    file: str
    what: str
    reason: str


def identity(example: Any) -> Any:
    """Returns what it is given: the preparation of data that needs none."""
    return example


@dataclass
class Data:
    """Holds a data set: its splits of raw examples, and how they are prepared.

    Args:
        train: unbatched `tf.data.Dataset` of `(raw, target)`, of known cardinality.
        validation: likewise, or None.
        test: likewise, or None.
        inputs: spec of one prepared example.
        targets: spec of one target.
        prepare: function, in TensorFlow's graph, from one raw example to a
            prepared one of fixed shape and compact type. Resources (lookup
            tables) that it uses belong in `assets`.
        normalize: Keras layer that becomes the first of the saved model; one
            with an `adapt` method is adapted on the training split alone.
        kind: what a raw example is: `"image"` (encoded bytes), `"text"` (a
            string), `"row"` (a line of CSV), or `"array"`.
        name: of the set, for tracking.
        source: where it came from: a path, a TFDS name.
        fingerprint: changes if the examples change.
        assets: trackable objects that `prepare` needs.
        positions: split name to the places of its examples in the whole set, in
            the split's order, where they are known.
        issues: what was found of single files: told, and kept with the run.
        class_counts: split name to the number of examples of each class, where known.
        example_name: function from a split's name and a position to the name of the example,
            where each is a file of its own.
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
        """The splits that there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}
