"""What a source of examples hands over, before they are divided into splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from kx.contracts.fields import count_of, map_fields
from kx.contracts.specs import DataIssue, Spec, Specs, identity, keep_target

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Preparation:
    """Holds how raw inputs are prepared, once the training split is known.

    Args:
        prepare: Function, in TensorFlow's graph, from one raw input to a prepared one.
        inputs: Spec of one prepared input, or of each of its fields by name.
        assets: Trackable objects that `prepare` needs, such as lookup tables.
        facts: What was found and a task may need, by name. Defaults to none.
        issues: What was found and a user should know. Defaults to none.
        host: Step on raw texts before `prepare` that TensorFlow's graph cannot hold: a node of
            plain values, whose `_target_` is a function `(texts, **arguments) -> texts`. Where a
            model is exported, it takes the texts after this step. Defaults to None.
        detokenize: How token ids become a text again, for models that write texts: plain values,
            the arguments of `kx.data.texts.detokenize.Detokenizer`. Defaults to None: they
            cannot.
        vectors: Vectors of the tokens, with which the embedding of a model begins
            (`kx.data.tokenizers.vectors.Vectors`). Defaults to None: it begins at random.
        modules: Names of modules that register operations of `prepare` with TensorFlow: they are
            imported before the saved preparation is loaded. Defaults to none.
    """

    prepare: Callable[[Any], Any]
    inputs: Specs
    assets: Sequence[Any] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    issues: tuple[DataIssue, ...] = ()
    host: Mapping[str, Any] | None = None
    detokenize: Mapping[str, Any] | None = None
    vectors: Any = None
    modules: tuple[str, ...] = ()


@dataclass
class Examples:
    """Holds the raw examples of a source. The option of `split` divides them.

    Args:
        inputs: Raw inputs, one for each example: an array, a sequence of bytes or strings, or a
            function from an array of positions to a `tf.data.Dataset` of the raw inputs there.
            Several fields: a mapping of names to arrays or sequences.
        targets: Array or sequence of targets, its first axis the examples, or a mapping of names
            to these.
        input_spec: Spec of one prepared input, or of each of its fields by name.
        target_spec: Spec of one target, or of each of its fields by name. The mean and standard
            deviation of numbers to predict are filled in from the training split.
        prepare: Function, in TensorFlow's graph, from one raw input to a prepared one of fixed
            shape and compact type. Defaults to the raw input itself.
        prepare_target: Function, in TensorFlow's graph, from a raw input and its raw target to the
            target. Defaults to the raw target itself.
        adapt: Function from the raw inputs of the training split to a `Preparation`, for a
            preparation that is learned from data, such as a vocabulary. Defaults to None.
        normalize: Keras layer that becomes the first layer of the model, or layers of fields by
            name; one with an `adapt` method is adapted on the training split. Defaults to None.
        kind: Kind of a raw example, or of each of its fields by name: `"image"` (encoded bytes),
            `"text"` (a string), `"row"` (a line of CSV) or `"array"`.
        name: Name of the data set, for tracking.
        source: Where it came from: a path or a TFDS name.
        own_splits: Split name to positions, where the source divides its examples itself.
            A missing validation or test split is taken from `train`; one that is named and empty
            is not. Examples of no split are left out. Defaults to no split.
        contents: Hash of each example, where it is known. Copies of one content stay in one
            split, and which one does not depend on the order of the examples. Defaults to None.
        copies: Hash of each example that is equal for copies; those in several splits are told.
            Defaults to None: not known.
        columns: Function from a name to one value for each example, for splits by group or time.
            Defaults to None: the source has no columns.
        in_order: Whether the examples follow one another, as the pieces of a text, so that a split
            by time needs no column. Defaults to False.
        issues: Issues of single files and classes, printed and kept with the run.
        example_name: Function from a position to the name of the example. Defaults to None.
        identity: Values that the fingerprint covers. Defaults to inputs, targets and weights.
        weights: Weight of each example in the loss. Defaults to None: no weights.

    Example:
        def points(num_examples: int = 100) -> kx.Examples:
            x = np.random.default_rng(0).normal(size=(num_examples, 2)).astype("float32")
            y = (x[:, 0] > 0).astype("int32")
            return kx.Examples(
                x, y, kx.Spec((2,), "float32"), kx.Spec((), "int32", class_names=("left", "right"))
            )
    """

    inputs: Any
    targets: Any
    input_spec: Specs
    target_spec: Specs
    prepare: Callable[[Any], Any] = identity
    prepare_target: Callable[[Any, Any], Any] = keep_target
    adapt: Callable[[Any], Preparation] | None = None
    normalize: keras.layers.Layer | Mapping[str, keras.layers.Layer] | None = None
    kind: str | Mapping[str, str] = "array"
    name: str = "data"
    source: str = ""
    own_splits: Mapping[str, np.ndarray] = field(default_factory=dict)
    contents: np.ndarray | None = None
    copies: np.ndarray | None = None
    columns: Callable[[str], Sequence[Any]] | None = None
    in_order: bool = False
    issues: tuple[DataIssue, ...] = ()
    example_name: Callable[[int], str] | None = None
    identity: Sequence[Any] = ()
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.inputs = map_fields(_as_inputs, self.inputs)
        self.targets = map_fields(_as_targets, self.targets)
        if self.contents is not None:
            self.contents = np.asarray(self.contents, dtype=object)
        if self.weights is not None:
            self.weights = np.asarray(self.weights, "float32")

    @property
    def num_examples(self) -> int:
        """The number of examples."""
        if isinstance(self.targets, Mapping) and not self.targets:  # there is nothing to predict
            return count_of(self.inputs)
        return count_of(self.targets)

    @property
    def classes(self) -> np.ndarray | None:
        """The class of each example, or None where an example has no single class."""
        spec = self.target_spec
        single = isinstance(spec, Spec) and spec.class_names is not None and spec.shape == ()
        return self.targets.astype("int64") if single else None

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
        return map_fields(partial(at, positions=positions), self.inputs)


def at(values: np.ndarray, positions: np.ndarray) -> Any:
    """Returns values at some positions as TensorFlow takes them: bytes and strings in a list.

    Args:
        values: One value for each example.
        positions: Array of positions.
    """
    chosen = values[positions]
    return chosen.tolist() if chosen.dtype == object else chosen


def _as_inputs(values: Any) -> Any:
    """Returns a sequence as an array of objects, since NumPy strips trailing zeros of bytes."""
    if not isinstance(values, Sequence):
        return values
    raw = np.empty(len(values), dtype=object)
    raw[:] = values
    return raw


def _as_targets(values: Any) -> np.ndarray:
    is_encoded = isinstance(values, Sequence) and len(values) and isinstance(values[0], bytes | str)
    found: np.ndarray = _as_inputs(values) if is_encoded else np.asarray(values)
    return found
