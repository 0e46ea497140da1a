"""Predicts from raw examples with the preparation, model and task of a finished run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kx.contracts.fields import map_fields, named_fields, values_of
from kx.contracts.specs import Spec
from kx.contracts.task import Task
from kx.data.sources.images.folder.formats import MAX_MEGAPIXELS
from kx.data.texts.host import after_host
from kx.errors import DataError, first_line
from kx.export.bundle import Bundle
from kx.export.readers.examples import Field, Reader

_BATCH_SIZE = 64
_BY_CLASS = ("probabilities", "shares")  # answers with a number for each class


class Predictor:
    """Predicts the answers to raw examples.

    Args:
        bundle: Bundle with the preparation and the specs.
        model: Model that returns scores.
        task: Task that decodes the scores.
        max_megapixels: Size of the largest image that is accepted, in megapixels. Defaults to
            `MAX_MEGAPIXELS`.
        text_column: Column of the texts in a file. Defaults to `"text"`.
        quotes: Whether quotation marks quote a cell of the file. Defaults to True.
    """

    def __init__(
        self,
        bundle: Bundle,
        model: keras.Model,
        task: Task,
        max_megapixels: float = MAX_MEGAPIXELS,
        text_column: str = "text",
        quotes: bool = True,
    ) -> None:
        self.spec = bundle.spec()
        self.preparation = bundle.preparation()
        [signature] = self.preparation.prepare.concrete_functions
        raw = signature.structured_input_signature[0][0]
        own = self.spec.get("own_inputs")
        taken, kinds_of_raw = (self.spec["inputs"], self.spec["kind"])
        if own is not None:
            taken, kinds_of_raw = own, "array"
        self._taken = taken
        columns = map_fields(lambda spec: spec.column_names or (), taken)

        def field(raw: tf.TensorSpec, kind: str, column_names: Sequence[str]) -> Field:
            return Field(kind, tuple(raw.shape[1:]), raw.dtype.name, tuple(column_names))

        if isinstance(raw, Mapping):  # raw fields may be others than the prepared ones
            given = kinds_of_raw
            kinds = dict.fromkeys(raw, given) if isinstance(given, str) else given
            of_fields = columns if isinstance(columns, Mapping) else {}
            columns = {name: of_fields.get(name, ()) for name in raw}
            self.fields: Any = map_fields(
                lambda kind, spec, names: field(spec, kind, names), kinds, raw, columns
            )
        else:
            self.fields = field(raw, kinds_of_raw, columns)
        self.reader = Reader(self.fields, max_megapixels, text_column, quotes)
        self.model = model
        self.task = task

    def answers(self, raw: Any) -> dict[str, np.ndarray]:
        """Returns the task's answers to a batch of raw examples, by name.

        Args:
            raw: Batch of encoded images, strings, CSV rows or arrays: a sequence of examples, or
                of several fields also a batch of each by name.
        """
        if isinstance(raw, Mapping):
            raw = [
                dict(zip(raw, values, strict=True)) for values in zip(*raw.values(), strict=True)
            ]
        parts = []
        lengths: dict[int, int] = {}
        size = _BATCH_SIZE if self._form_batches(raw) else 1
        for start in range(0, len(raw), size):
            prepared = self._prepared(raw[start : start + size])
            for length, count in self._full(prepared):
                lengths[length] = lengths.get(length, 0) + count
            answers = self.task.answer(self.model, prepared)
            parts.append({k: np.asarray(v) for k, v in answers.items()})
        for length, cut in lengths.items():
            print(
                f"{cut:,} of {len(raw):,} texts have all the {length} tokens that the model reads,"
                " or more: what comes after these is not read",
                file=sys.stderr,
            )
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def _full(self, prepared: Any) -> Iterator[tuple[int, int]]:
        """Yields a length of texts in tokens, and how many texts have it or are longer."""
        kinds = {name: field.kind for name, field in named_fields(self.fields, "").items()}
        for name, spec in named_fields(self._taken, "").items():
            if kinds.get(name) == "text" and spec.padding_value is not None:
                ids = np.asarray(prepared[name] if name else prepared)
                if count := int((ids[:, -1] != spec.padding_value).sum()):
                    yield spec.shape[0], count

    def _form_batches(self, raw: Sequence[Any]) -> bool:
        """Returns whether raw examples have one shape, so that several form a batch."""
        for name, field in named_fields(self.fields, "").items():
            if (
                None in field.shape
                and len({np.shape(one[name] if name else one) for one in raw}) > 1
            ):
                return False
        return True

    def _prepared(self, raw: Sequence[Any]) -> Any:
        return self.preparation.prepare(self._batch(after_host(self.spec.get("host", {}), raw)))

    def _batch(self, raw: Sequence[Any]) -> Any:
        """Returns raw examples as a batch of tensors."""
        if isinstance(self.fields, Field):
            return tf.convert_to_tensor(list(raw), self.fields.dtype)
        return {
            name: tf.convert_to_tensor([one[name] for one in raw], field.dtype)
            for name, field in self.fields.items()
        }

    def __call__(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """Returns one mapping for each example of the inputs.

        Args:
            inputs: File names, bytes or arrays of uint8 for images; texts, or `.csv` files of
                them; lines, sequences of numbers or `.csv` files for rows; arrays, `.npy`,
                `.npz` and `.json` files, or JSON for arrays. Of several fields: a mapping of
                these by name, `.csv` or `.jsonl` files.

        Returns:
            Mappings with `"input"` and the task's answers: `"label"`, `"confidence"`,
            `"probabilities"`; `"value"` for numbers.

        Raises:
            DataError: If an input cannot be read; the message names each of those.
        """
        answers, problems = self.try_each(inputs)
        if problems:
            raise DataError("\n".join(map(str, problems)))
        return answers

    def try_each(self, inputs: Sequence[Any]) -> tuple[list[dict[str, Any]], list[DataError]]:
        """Returns the answers to the inputs that can be read, and the errors of the others.

        Args:
            inputs: Inputs in the form of `__call__`.

        Returns:
            The answers, in order, and an error for each input that has none.
        """
        inputs = self.reader.examples_of(inputs)
        answers: list[dict[str, Any]] = []
        problems: list[DataError] = []
        for start in range(0, len(inputs), _BATCH_SIZE):  # limits the number of files in memory
            pairs = []
            for item in inputs[start : start + _BATCH_SIZE]:
                try:
                    read = self.reader.read(item)
                    for name, raw in read:
                        self._refuse_numbers(name, raw)
                    pairs += read
                except DataError as error:
                    problems.append(error)
            try:
                answers += self._answered(pairs)
            except tf.errors.InvalidArgumentError:
                bad = [self._problem(*pair) for pair in pairs]
                if not any(bad):
                    raise
                problems += filter(None, bad)
                answers += self._answered([p for p, b in zip(pairs, bad, strict=True) if not b])
        return answers, problems

    def _answered(self, pairs: list[tuple[Any, Any]]) -> list[dict[str, Any]]:
        if not pairs:
            return []
        answers = self.answers([raw for _, raw in pairs])
        return [
            {"input": name, **{k: self._plain(k, v[i]) for k, v in answers.items()}}
            for i, (name, _) in enumerate(pairs)
        ]

    def _problem(self, name: Any, raw: Any) -> DataError | None:
        """Returns the error of preparing a raw example, or None if there is none."""
        try:
            self._prepared([raw])
        except tf.errors.InvalidArgumentError as error:
            return DataError(f"{str(name)[:200]}: {self._complaint(error)}")
        return None

    def _refuse_numbers(self, name: Any, raw: Any) -> None:
        """Raises `DataError` for the number of a category, or of a token, that there is not."""
        specs = named_fields(self._taken, "")
        for field, spec in specs.items():
            size = spec.vocabulary_size or (spec.sizes[0] if spec.sizes else None)
            kind = named_fields(self.fields, "").get(field)
            if size is None or kind is None or kind.kind != "array" or "int" not in kind.dtype:
                continue
            numbers = np.asarray(raw[field] if field else raw)
            if numbers.size and not 0 <= numbers.min() <= numbers.max() < size:
                raise DataError(
                    f"{str(name)[:200]}: expected numbers from 0 to {size - 1}. Received:"
                    f" {numbers.min()} to {numbers.max()}."
                )

    def _complaint(self, error: Exception) -> str:
        kinds = {field.kind for field in values_of(self.fields)}
        if "image" in kinds:
            return (
                "this is not an image that TensorFlow can decode. Expected JPEG, PNG, GIF, BMP or"
                " WebP."
            )
        if kinds == {"row"} and isinstance(self.fields, Field):
            columns = self.fields.column_names
            return f"expected a line of {len(columns)} numbers: {', '.join(columns)}."
        return first_line(error)

    def _plain(self, key: str, value: Any) -> Any:
        """Returns an answer as JSON values, with probabilities by class name."""
        targets = self.spec["targets"]
        names = targets.class_names if isinstance(targets, Spec) else None
        value = np.asarray(value)
        if key in _BY_CLASS and names and value.shape == (len(names),):
            return {n: float(p) for n, p in zip(names, value, strict=True)}
        plain = value.item() if value.size == 1 else value.tolist()
        return _decoded(plain) if value.dtype.kind in "OSU" else plain


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value
