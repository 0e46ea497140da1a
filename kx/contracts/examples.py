"""What a source of examples hands over, before they are divided into splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kx.contracts.specs import DataIssue, Spec, identity

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Preparation:
    """Holds how raw inputs are prepared, once the training split is known.

    Args:
        prepare: Function, in TensorFlow's graph, from one raw input to a prepared one.
        inputs: Spec of one prepared input.
        assets: Trackable objects that `prepare` needs, such as lookup tables.
    """

    prepare: Callable[[Any], Any]
    inputs: Spec
    assets: Sequence[Any] = ()


@dataclass
class Examples:
    """Holds the raw examples of a source. The option of `split` divides them.

    Args:
        inputs: Raw inputs, one for each example: an array, a sequence of bytes or strings, or a
            function from an array of positions to a `tf.data.Dataset` of the raw inputs there.
        targets: Array of targets, its first axis the examples.
        input_spec: Spec of one prepared input.
        target_spec: Spec of one target. The mean and standard deviation of numbers to predict
            are filled in from the training split.
        prepare: Function, in TensorFlow's graph, from one raw input to a prepared one of fixed
            shape and compact type. Defaults to the raw input itself.
        adapt: Function from the raw inputs of the training split to a `Preparation`, for a
            preparation that is learned from data, such as a vocabulary. Defaults to None.
        normalize: Keras layer that becomes the first layer of the model; one with an `adapt`
            method is adapted on the training split. Defaults to None.
        kind: Kind of a raw example: `"image"` (encoded bytes), `"text"` (a string), `"row"` (a
            line of CSV) or `"array"`.
        name: Name of the data set, for tracking.
        source: Where it came from: a path or a TFDS name.
        own_splits: Split name to positions, where the source divides its examples itself.
            A missing validation or test split is taken from `train`; one that is named and empty
            is not. Examples of no split are left out. Defaults to no split.
        contents: Hash of each example, where it is known. Copies of one content stay in one
            split, and which one does not depend on the order of the examples. Defaults to None.
        columns: Function from a name to one value for each example, for splits by group or time.
            Defaults to None: the source has no columns.
        issues: Issues of single files and classes, printed and kept with the run.
        example_name: Function from a position to the name of the example. Defaults to None.
        identity: Values that the fingerprint covers. Defaults to inputs and targets.

    Example:
        def points(num_examples: int = 100) -> kx.Examples:
            x = np.random.default_rng(0).normal(size=(num_examples, 2)).astype("float32")
            y = (x[:, 0] > 0).astype("int32")
            return kx.Examples(
                x, y, kx.Spec((2,), "float32"), kx.Spec((), "int32", class_names=("left", "right"))
            )
    """

    inputs: Any
    targets: np.ndarray
    input_spec: Spec
    target_spec: Spec
    prepare: Callable[[Any], Any] = identity
    adapt: Callable[[Any], Preparation] | None = None
    normalize: keras.layers.Layer | None = None
    kind: str = "array"
    name: str = "data"
    source: str = ""
    own_splits: Mapping[str, np.ndarray] = field(default_factory=dict)
    contents: np.ndarray | None = None
    columns: Callable[[str], Sequence[Any]] | None = None
    issues: tuple[DataIssue, ...] = ()
    example_name: Callable[[int], str] | None = None
    identity: Sequence[Any] = ()

    def __post_init__(self) -> None:
        self.targets = np.asarray(self.targets)
        if isinstance(self.inputs, Sequence):
            raw = np.empty(len(self.inputs), dtype=object)
            raw[:] = self.inputs
            self.inputs = raw
        if self.contents is not None:
            self.contents = np.asarray(self.contents, dtype=object)

    @property
    def num_examples(self) -> int:
        """The number of examples."""
        return len(self.targets)

    @property
    def classes(self) -> np.ndarray | None:
        """The class of each example, or None where an example has no single class."""
        single = self.target_spec.class_names is not None and self.target_spec.shape == ()
        return self.targets if single else None

    def dataset(self, positions: np.ndarray) -> tf.data.Dataset:
        """Returns the raw inputs at some positions.

        Args:
            positions: Array of positions.
        """
        import tensorflow as tf

        if callable(self.inputs):
            return self.inputs(positions)
        return tf.data.Dataset.from_tensor_slices(self.raw(positions))

    def raw(self, positions: np.ndarray) -> Any:
        """Returns the raw inputs at some positions, in memory.

        Args:
            positions: Array of positions.
        """
        if callable(self.inputs):
            return list(self.inputs(positions).as_numpy_iterator())
        chosen = self.inputs[positions]
        return chosen.tolist() if chosen.dtype == object else chosen
