"""The data that an option of `data` returns, and the specs of models and tasks.

Raw examples, prepared inputs, targets and outputs are one value, or fields by name:
`{"image": …, "question": …}`. Fields have the same names wherever they go, in the model
(`keras.Input(…, name="question")`) as in the prepared example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from kx.errors import DataError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from kx.contracts.environment import Environment
    from kx.contracts.examples import Preparation


@dataclass(frozen=True)
class Spec:
    """Describes one field of a prepared example: an input, or a target.

    Args:
        shape: Shape without the batch axis: `(32, 32, 3)`.
        dtype: Dtype of the prepared example: `"uint8"`, `"int32"`, `"float32"`.
        class_names: Names of the classes or labels. Defaults to None: no names.
        vocabulary_size: Number of token ids, padding and unknown included. Defaults to None.
        column_names: Names of a table's columns, or of the numbers to predict. Defaults to None.
        mean: Mean of numeric targets over the training split. Defaults to None.
        standard_deviation: Standard deviation of numeric targets over the training split.
            Defaults to None.
        kind: What the field is: `"image"`, `"mask"`, `"boxes"`, `"text"`, `"tokens"`, `"words"`,
            `"audio"`, `"series"`, `"number"`, `"category"`, `"id"`, `"time"` or `"array"`. It
            decides how the field is shown and augmented. Defaults to `"array"`.
        padding_value: Value that pads examples of variable length to `shape[0]`. Augmentations
            fill masks and boxes with it. Defaults to None: not padded.
        sizes: Number of categories of each column, where it has some. Defaults to None.
        vocabulary: Hash of the words that token ids stand for, and of how texts become words.
            Defaults to None: not known.

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
    kind: str = "array"
    padding_value: float | None = None
    sizes: tuple[int, ...] | None = None
    vocabulary: str | None = None

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


Specs = Spec | Mapping[str, Spec]


@dataclass(frozen=True)
class Outputs:
    """Describes one output of a model.

    Args:
        units: Number of raw scores: the last axis of the output.
        class_names: Name of each score. Defaults to None: no names.
        axes: Sizes of the axes between batch and scores, such as `(height, width)`; None for an
            axis of any size. Defaults to no axes.
        along: Name of the input, `""` for one value, whose length the only axis has: scores for
            each of its tokens. Defaults to None: of none.
    """

    units: int
    class_names: tuple[str, ...] | None = None
    axes: tuple[int | None, ...] = ()
    along: str | None = None

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of the output without the batch axis."""
        return (*self.axes, self.units)


def single(specs: Specs | None) -> Spec | None:
    """Returns the spec of one value, or None for fields by name.

    Args:
        specs: Spec, or specs of fields by name.
    """
    return specs if isinstance(specs, Spec) else None


def class_names_of(specs: Specs) -> tuple[str, ...] | None:
    """Returns the class names of one value, or None if it has none, or for fields by name.

    Args:
        specs: Spec, or specs of fields by name.
    """
    return specs.class_names if isinstance(specs, Spec) else None


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


def keep_target(raw: Any, target: Any) -> Any:
    """Returns the target unchanged: the preparation of targets that need none.

    Args:
        raw: Raw example.
        target: Raw target.
    """
    return target


@dataclass
class Data:
    """Holds a data set: its splits of raw examples, and how they are prepared.

    Args:
        train: Training split: an unbatched `tf.data.Dataset` of `(raw, target)`, or of
            `(raw, target, weight)`.
        validation: Validation split, in the form of `train`, or None.
        test: Test split, in the form of `train`, or None.
        inputs: Spec of one prepared example, or of each of its fields by name.
        targets: Spec of one prepared target, or of each of its fields by name: `{}`, or None, for
            data that has nothing to predict.
        prepare: Function, in TensorFlow's graph, from one raw example to a prepared one of fixed
            shape and compact type. Resources that it uses, such as lookup tables, belong in
            `assets`. Defaults to the raw example itself.
        prepare_target: Function, in TensorFlow's graph, from a raw example and its raw target to
            the target: boxes and masks follow the image's new size. Defaults to the raw target.
        normalize: Keras layer that becomes the first layer of the saved model, or layers of
            fields by name; one with an `adapt` method is adapted on the training split alone.
            Defaults to None.
        kind: Kind of a raw example, or of each of its fields by name: `"image"` (encoded bytes),
            `"text"` (a string), `"row"` (a line of CSV) or `"array"`. Defaults to `"array"`.
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
        facts: What was found on the training split and a task may need, by name: plain values
            that JSON can hold. Defaults to none.
        environment: Environment in which an agent acts, in place of examples
            (`kx.contracts.environment`): `train` has the numbers of the steps of an epoch,
            `validation` and `test` those of episodes. Defaults to None.
        host: Steps on raw texts before `prepare`, outside TensorFlow's graph, by field (`""` for
            one value): nodes as in `kx.contracts.examples.Preparation`. Defaults to none.
        vectors: Vectors of tokens by field (`""` for one value, `"target"` for a target that is a
            text), with which embeddings begin. Defaults to none.
        target_texts: Preparation of targets that are texts, which is kept with the run. Defaults to
            None: the targets are no texts.
    """

    train: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: tf.data.Dataset | None
    inputs: Specs
    targets: Specs
    prepare: Callable[[Any], Any] = identity
    prepare_target: Callable[[Any, Any], Any] = keep_target
    normalize: keras.layers.Layer | Mapping[str, keras.layers.Layer] | None = None
    kind: str | Mapping[str, str] = "array"
    name: str = "data"
    source: str = ""
    fingerprint: str = ""
    assets: list[Any] = field(default_factory=list)
    positions: Mapping[str, np.ndarray] = field(default_factory=dict)
    issues: tuple[DataIssue, ...] = ()
    class_counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    example_name: Callable[[str, int], str] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    environment: Environment | None = None
    host: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    vectors: Mapping[str, Any] = field(default_factory=dict)
    target_texts: Preparation | None = None

    def __post_init__(self) -> None:
        if self.targets is None:
            self.targets = {}

    @property
    def has_weights(self) -> bool:
        """Whether each example has a weight in the loss."""
        return len(self.train.element_spec) == 3

    @property
    def splits(self) -> dict[str, tf.data.Dataset]:
        """The splits that exist, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}
