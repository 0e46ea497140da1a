"""Predicts from raw examples with the preparation, model and task of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kx.contracts.task import Task
from kx.data.sources.images.folder.formats import MAX_MEGAPIXELS
from kx.errors import DataError, first_line
from kx.export.bundle import Bundle
from kx.export.readers.arrays import read_array
from kx.export.readers.images import is_one_image, read_image
from kx.export.readers.rows import read_row
from kx.export.readers.texts import read_text

_BATCH_SIZE = 64


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
        self.max_megapixels = max_megapixels
        self.text_column, self.quotes = text_column, quotes
        self.spec = bundle.spec()
        self.preparation = bundle.preparation()
        [signature] = self.preparation.prepare.concrete_functions
        self.raw_shape = tuple(signature.structured_input_signature[0][0].shape[1:])
        self.model = model
        self.task = task

    def answers(self, raw: Any) -> dict[str, np.ndarray]:
        """Returns the task's answers to a batch of raw examples, by name.

        Args:
            raw: Batch of encoded images, strings, CSV rows or arrays.
        """
        parts = []
        shapes = {np.shape(one) for one in raw} if None in self.raw_shape else ()
        size = 1 if len(shapes) > 1 else _BATCH_SIZE  # only examples of one shape form a batch
        for start in range(0, len(raw), size):
            batch = tf.convert_to_tensor(raw[start : start + size], self.spec["raw_dtype"])
            scores = self.model(self.preparation.prepare(batch), training=False)
            parts.append({k: np.asarray(v) for k, v in self.task.decode(scores).items()})
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def __call__(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """Returns one mapping for each example of the inputs.

        Args:
            inputs: File names, bytes or arrays of uint8 for images; texts, or `.csv` files of
                them; lines, sequences of numbers or `.csv` files for rows; arrays, `.npy`,
                `.npz` and `.json` files, or JSON for arrays.

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
        inputs = self._examples_of(inputs)
        answers: list[dict[str, Any]] = []
        problems: list[DataError] = []
        for start in range(0, len(inputs), _BATCH_SIZE):  # limits the number of files in memory
            pairs = []
            for item in inputs[start : start + _BATCH_SIZE]:
                try:
                    pairs += self._read(item)
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

    def _examples_of(self, inputs: Any) -> Sequence[Any]:
        """Returns the inputs as a sequence of examples: an array may be one example, or several."""
        if hasattr(inputs, "to_dict") and hasattr(inputs, "columns"):  # a pandas DataFrame
            return inputs.to_dict("records")
        if not isinstance(inputs, np.ndarray):
            return inputs
        if self.spec["kind"] == "image":
            one = is_one_image(inputs)
        else:
            one = inputs.ndim == (1 if self.spec["kind"] == "row" else len(self.raw_shape))
        return [inputs] if one and inputs.dtype.kind in "biuf" else list(inputs)

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
            self.preparation.prepare(tf.convert_to_tensor([raw], self.spec["raw_dtype"]))
        except tf.errors.InvalidArgumentError as error:
            return DataError(f"{str(name)[:200]}: {self._complaint(error)}")
        return None

    def _complaint(self, error: Exception) -> str:
        if self.spec["kind"] == "image":
            return (
                "this is not an image that TensorFlow can decode. Expected JPEG, PNG, GIF, BMP or"
                " WebP."
            )
        if self.spec["kind"] == "row":
            columns = self.spec["inputs"].column_names or ()
            return f"expected a line of {len(columns)} numbers: {', '.join(columns)}."
        return first_line(error)

    def _plain(self, key: str, value: Any) -> Any:
        """Returns an answer as JSON values, with probabilities by class name."""
        names = self.spec["targets"].class_names
        value = np.asarray(value)
        if key == "probabilities" and names and value.shape == (len(names),):
            return {n: float(p) for n, p in zip(names, value, strict=True)}
        plain = value.item() if value.size == 1 else value.tolist()
        return _decoded(plain) if value.dtype.kind in "OSU" else plain

    def _read(self, item: Any) -> list[tuple[Any, Any]]:
        kind = self.spec["kind"]
        if kind == "image":
            return read_image(item, self.max_megapixels)
        if kind == "row":
            return read_row(item, self.spec["inputs"].column_names or ())
        if kind == "text":
            return read_text(item, self.text_column, quotes=self.quotes)
        return read_array(item, self.raw_shape, self.spec["raw_dtype"])


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value
