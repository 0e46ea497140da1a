"""Texts with labels from a CSV or TSV file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from kx.data.specs import Data, Spec
from kx.data.splits import fingerprint, split_indices
from kx.errors import DataError, did_you_mean


def text_csv(
    path: str,
    *,
    text: str = "text",
    label: str | list[str] = "label",
    label_separator: str | None = None,
    test_path: str | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.2,
    max_tokens: int = 20000,
    sequence_length: int = 128,
    standardize: str | None = "lower_and_strip_punctuation",
    split: str = "whitespace",
    limit: int | None = None,
    split_seed: int = 0,
    fold: Mapping[str, Any] | None = None,
    group: str | None = None,
) -> Data:
    """Loads texts with labels from a CSV or TSV file with a header line.

    Args:
        path: the file; `.tsv` is split at tabs, `.gz` and the like are unpacked.
        text: the column of the text.
        label: the column of the label (any words or numbers; each is a class),
            or a list of columns of 0 and 1, for several labels at once.
        label_separator: splits one column into several labels: `"|"`.
        test_path: a second file for the test split. None takes `test_fraction`.
        validation_fraction: part of what is not test, stratified.
        test_fraction: part of all, stratified.
        max_tokens: size of the vocabulary, padding and unknown included.
        sequence_length: tokens a text is cut or padded to.
        standardize: as in `keras.layers.TextVectorization`.
        split: `"whitespace"`, or `"character"` (Chinese).
        limit: at most this many to train and validate on, and to test; balanced.
        split_seed: which examples go where.
        fold: of a cross-validation, that validates: `{number: 2, of: 5}`; or, with
            `split: test`, that tests.
        group: a column; rows of one value (an author, a patient) stay together
            in one split.

    Returns:
        Raw examples are strings; prepared ones int32 token ids of shape
        `(sequence_length,)`, 0 for padding. The vocabulary is that of the
        training split.

    Raises:
        DataError: if the file or a column is not there, or a cell is empty.
    """
    columns = [text, *([label] if isinstance(label, str) else label)]
    several = label_separator is not None  # then an empty cell is an example without a label
    frame = _read(path, [*columns, *([group] if group else [])], empty_labels=several)
    num_own = len(frame)
    if test_path is not None:
        frame = pd.concat(
            [frame, _read(test_path, columns, empty_labels=several)], ignore_index=True
        )
    targets, spec = _targets(frame, label, label_separator)
    one_label = spec.shape == ()
    labels = targets if one_label else np.zeros(len(targets), "int32")
    parts = split_indices(
        labels,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        num_own=num_own,
        limit=limit,
        split_seed=split_seed,
        stratify=one_label,
        fold=fold,
        groups=frame[group].to_numpy() if group else None,
    )

    texts = frame[text].to_numpy(dtype=object)
    vectorize = keras.layers.TextVectorization(
        max_tokens=max_tokens,
        standardize=standardize,
        split=split,
        output_sequence_length=sequence_length,
    )
    vectorize.adapt(tf.constant(texts[parts["train"]].tolist()))

    def dataset(part: str) -> tf.data.Dataset | None:
        if part not in parts:
            return None
        chosen = parts[part]
        return tf.data.Dataset.from_tensor_slices((texts[chosen].tolist(), targets[chosen]))

    return Data(
        train=dataset("train"),
        validation=dataset("validation"),
        test=dataset("test"),
        inputs=Spec((sequence_length,), "int32", vocabulary_size=vectorize.vocabulary_size()),
        targets=spec,
        prepare=_tokenize(vectorize),
        kind="text",
        name=Path(path).name.split(".")[0],
        source=str(Path(path).expanduser().absolute()),
        fingerprint=fingerprint(
            [str(t) for t in texts], targets, *[v for _, v in sorted(parts.items())]
        ),
        # On another backend than TensorFlow's, the layer does not track its table.
        assets=[vectorize, vectorize._lookup_layer.lookup_table],
        positions=parts,
    )


def _tokenize(vectorize: keras.layers.TextVectorization) -> Callable[[tf.Tensor], tf.Tensor]:
    def prepare(text: tf.Tensor) -> tf.Tensor:
        # As a batch of one: of a single empty text it makes no padding, but nothing.
        return tf.cast(vectorize(text[None])[0], tf.int32)

    return prepare


def _read(path: str, columns: Sequence[str], *, empty_labels: bool) -> pd.DataFrame:
    """Reads the wanted columns as strings, and refuses what is not there."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"data.path: there is no file {file.absolute()}.")
    separator = "\t" if ".tsv" in file.suffixes else ","
    try:
        frame = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{file} is empty. Expected a header line, and rows.") from error
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{file} cannot be read as {file.suffix or 'CSV'}: {error}") from error
    for column in columns:
        if column not in frame.columns:
            raise DataError(
                f"{file} has no column {column!r} (data.text, data.label, data.group)."
                f" {did_you_mean(column, frame.columns, 'Columns')}"
            )
    if frame.empty:
        raise DataError(f"{file} has a header line, but no row.")
    for column in () if empty_labels else columns[1:]:
        empty = np.flatnonzero(frame[column].str.strip() == "")
        if len(empty):
            raise DataError(
                f"{file}, line {empty[0] + 2}: column {column!r} is empty, in"
                f" {len(empty)} of {len(frame)} rows. Fill these cells or remove the rows."
            )
    return frame[list(columns)]


def _targets(
    frame: pd.DataFrame, label: str | list[str], separator: str | None
) -> tuple[np.ndarray, Spec]:
    if isinstance(label, list):
        cells = frame[label].apply(lambda column: pd.to_numeric(column, errors="coerce"))
        if not cells.isin([0, 1]).all().all():
            bad = next(name for name in label if not cells[name].isin([0, 1]).all())
            raise DataError(
                f"data.label: a list names columns of 0 and 1. Column {bad!r} has other values:"
                f" {', '.join(sorted(set(frame[bad]) - {'0', '1'})[:5])}."
            )
        return cells.to_numpy("float32"), Spec((len(label),), "float32", class_names=tuple(label))
    if separator is not None:
        given = [{w.strip() for w in cell.split(separator)} - {""} for cell in frame[label]]
        names = sorted(set().union(*given))
        hot = np.array([[name in words for name in names] for words in given], dtype="float32")
        return hot, Spec((len(names),), "float32", class_names=tuple(names))
    names = sorted(set(frame[label]), key=_natural)
    if len(names) < 2:
        raise DataError(f"data.label: column {label!r} has one value only, {names[0]!r}.")
    if len(names) > max(100, len(frame) // 2):
        raise DataError(
            f"data.label: column {label!r} has {len(names)} different values in {len(frame)} rows:"
            " is this the column of the classes?"
        )
    index = {name: i for i, name in enumerate(names)}
    classes = frame[label].map(index).to_numpy("int32")
    return classes, Spec((), "int32", class_names=tuple(names))


def _natural(name: str) -> tuple[int, float, str]:
    """Sorts numbers as numbers, then words."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name
