"""A chain of augmentations: built from the config, and applied in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from kx.config import build
from kx.contracts.fields import named_fields, values_of
from kx.contracts.specs import Spec, Specs
from kx.data.augment.operations import (
    Augment,
    Batch,
    is_marked,
    matrices_of,
    precedes_encoding,
    takes_tokens,
)
from kx.data.augment.warp import warp_boxes, warp_mask
from kx.data.random import fold_in
from kx.errors import ConfigError

_FIRST_VIEW = 10_007  # streams of views, apart from those of the entries of a chain


class Chain:
    """Holds augmentations in order, each with a random stream of its own.

    Those that change images or texts alone run before the task encodes the targets, until the
    first one that mixes examples or is of a user: from there on, all run after it.

    Args:
        names: Name of each augmentation.
        functions: Functions `(inputs, targets, seeds) -> (inputs, targets)`.
    """

    def __init__(self, names: Sequence[str], functions: Sequence[Augment]) -> None:
        self.names, self.functions = list(names), list(functions)
        whole = [i for i, one in enumerate(functions) if not precedes_encoding(one)]
        self._first_whole = whole[0] if whole else len(self.functions)
        self._inputs: Specs | None = None
        self._targets: Specs | None = None
        self._tokens: Mapping[str, Sequence[str]] = {}
        self._views = 1

    def of(
        self,
        inputs: Specs,
        targets: Specs,
        views: int = 1,
        tokens: Mapping[str, Sequence[str]] | None = None,
    ) -> Chain:
        """Returns the chain for examples with these specs.

        Args:
            inputs: Spec of one prepared input, or of each of its fields.
            targets: Spec of one target, or of each of its fields.
            views: Number of times that each example is augmented. With several, all augmentations
                run before `encode`, and leave the targets as they are. Defaults to 1.
            tokens: What each token id stands for, by the name of the field, `""` for one value.
                Defaults to None: not known.
        """
        made = Chain(self.names, self.functions)
        made._inputs, made._targets, made._views = inputs, targets, views
        made._tokens = tokens or {}
        return made

    def before_encoding(self, inputs: Any, targets: Any, seeds: tf.Tensor) -> Batch:
        """Applies the augmentations of images, with masks and boxes that belong to them.

        Args:
            inputs: Batch of prepared inputs.
            targets: Batch of targets, as they are stored.
            seeds: Seeds of the examples, shape `(batch, 2)`.

        Returns:
            Inputs and targets; with several views, inputs of shape `(batch, views, …)`.
        """
        if self._views == 1:
            return self._apply(range(self._first_whole), inputs, targets, seeds)
        views = [
            self(inputs, targets, fold_in(seeds, _FIRST_VIEW + number))[0]
            for number in range(self._views)
        ]
        return tf.nest.map_structure(lambda *one: tf.stack(one, axis=1), *views), targets

    def after_encoding(self, inputs: Any, targets: Any, seeds: tf.Tensor) -> Batch:
        """Applies the augmentations from the first one that mixes examples.

        Args:
            inputs: Batch of prepared inputs.
            targets: Batch of targets, as the loss takes them.
            seeds: Seeds of the examples, shape `(batch, 2)`.
        """
        if self._views > 1:
            return inputs, targets
        return self._apply(range(self._first_whole, len(self.functions)), inputs, targets, seeds)

    def __call__(self, inputs: Any, targets: Any, seeds: tf.Tensor) -> Batch:
        """Applies all augmentations in order."""
        return self._apply(range(len(self.functions)), inputs, targets, seeds)

    def _apply(self, numbers: range, inputs: Any, targets: Any, seeds: tf.Tensor) -> Batch:
        for number in numbers:
            function, own = self.functions[number], fold_in(seeds, number)
            if is_marked(function, "changes_words"):
                inputs = self._reworded(self.names[number], function, inputs, own)
                continue
            if not is_marked(function, "changes_images"):
                inputs, targets = function(inputs, targets, own)
                continue
            inputs, targets = self._changed(function, inputs, targets, own)
        return inputs, targets

    def _changed(self, function: Augment, inputs: Any, targets: Any, seeds: tf.Tensor) -> Batch:
        """Returns a batch whose images are changed, with masks and boxes moved as they are."""
        matrices = matrices_of(function)
        size = self._size(inputs)
        if isinstance(inputs, Mapping):
            names = image_fields(self._inputs)
            inputs = {**inputs, **{name: function(inputs[name], (), seeds)[0] for name in names}}
        else:
            inputs, _ = function(inputs, (), seeds)
        if matrices is None:
            return inputs, targets
        # One input is the image itself, which has moved already.
        if isinstance(inputs, Mapping) and _has_places(self._inputs):
            inputs = _moved(inputs, self._inputs, matrices(size, seeds), size)
        if _has_places(self._targets):
            targets = _moved(targets, self._targets, matrices(size, seeds), size)
        return inputs, targets

    def _reworded(self, name: str, function: Any, inputs: Any, seeds: tf.Tensor) -> Any:
        """Returns inputs whose texts are changed, each by a random stream of its own."""
        fields = named_fields(inputs, "")
        texts = token_fields(self._inputs, fields)
        if not texts:
            raise ConfigError(f"augment={name} changes words: texts as token ids. augment=none.")
        found = dict(fields)
        for number, field in enumerate(texts):
            options: dict[str, Any] = {}
            if self._inputs is not None or takes_tokens(function):
                # A tokenizer that does not tell may enclose a text, or pad it by another token.
                tokens = self._tokens_of(name, field)
                options = {"tokens": tokens} if takes_tokens(function) else {}
            found[field], _ = function(fields[field], (), fold_in(seeds, number), **options)
        return found if isinstance(inputs, Mapping) else found[""]

    def _tokens_of(self, name: str, field: str) -> Sequence[str]:
        if field not in self._tokens:
            raise ConfigError(
                f"augment={name} needs to know what each token id stands for, and the tokenizer of"
                f" {field or 'the text'} does not tell (ngrams, tokenizer=keras_hub). Choose"
                " another tokenizer, or another augmentation."
            )
        return self._tokens[field]

    def _size(self, inputs: Any) -> tuple[int, int]:
        first = inputs
        if isinstance(inputs, Mapping):
            first = inputs[image_fields(self._inputs)[0]]
        return tuple(first.shape[1:3])


def image_fields(inputs: Specs | None) -> list[str]:
    """Returns the names of the fields that are images.

    Args:
        inputs: Specs of the fields by name.
    """
    if not isinstance(inputs, Mapping):
        return []
    return [name for name, spec in inputs.items() if spec.kind == "image"]


def token_fields(specs: Specs | None, fields: Mapping[str, Any]) -> list[str]:
    """Returns the names of the fields that are token ids, `""` for one value.

    Args:
        specs: Specs of the inputs, or None if they are not known: one value of whole numbers.
        fields: Inputs by name.
    """
    if specs is None:
        return [
            name for name, one in fields.items() if one.shape.rank == 2 and one.dtype.is_integer
        ]
    return [name for name, spec in named_fields(specs, "").items() if spec.kind == "tokens"]


def _has_places(specs: Specs | None) -> bool:
    """Returns whether fields hold places in an image: masks or boxes."""
    return specs is not None and any(spec.kind in ("mask", "boxes") for spec in values_of(specs))


def _moved(fields: Any, specs: Any, matrices: tf.Tensor, size: tuple[int, int]) -> Any:
    """Returns fields whose masks and boxes have moved with the images."""
    if isinstance(specs, Spec):
        return _moved_field(fields, specs, matrices, size, None)
    gone: Any = None
    for name, spec in specs.items():
        if spec.kind == "boxes":
            moved, gone = warp_boxes(fields[name], matrices, size, _padding(spec))
            fields = {**fields, name: moved}
    return {
        name: _moved_field(value, specs[name], matrices, size, gone)
        for name, value in fields.items()
    }


def _padding(spec: Spec) -> float:
    return -1.0 if spec.padding_value is None else spec.padding_value


def _moved_field(value: Any, spec: Spec, matrices: tf.Tensor, size: Any, gone: Any) -> Any:
    """Returns a field moved with the images; rows of boxes that have left the image are cleared."""
    if spec.kind == "mask":
        return warp_mask(value, matrices, int(spec.padding_value or 0))
    if spec.kind == "boxes":
        return value if gone is not None else warp_boxes(value, matrices, size, _padding(spec))[0]
    if gone is None or spec.padding_value is None or not spec.shape:
        return value
    if spec.shape[0] != gone.shape[1]:
        return value
    row = tf.reshape(gone, (-1, spec.shape[0], *[1] * (len(spec.shape) - 1)))
    return tf.where(row, tf.cast(_padding(spec), value.dtype), value)


def chain(entries: Mapping[str, Any]) -> Chain | None:
    """Builds the `augment` config: its entries in order, each with a random stream of its own.

    Args:
        entries: Name to a node with `_target_`; null entries are skipped.

    Returns:
        Function `(inputs, targets, seeds) -> (inputs, targets)`, or None if there is no entry.
    """
    functions = {
        name: build(node, place=f"augment.{name}", partial=True)
        for name, node in entries.items()
        if node is not None
    }
    return Chain(list(functions), list(functions.values())) if functions else None
