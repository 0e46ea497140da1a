"""Tables: a raw example is a line of CSV, a prepared one a vector of floats."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kx.contracts.specs import Data, Spec
from kx.data.split import fingerprint, split_indices


def decode_row(num_columns: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the preparation of rows: a line of CSV to a float32 vector.

    Args:
        num_columns: numbers in a line.

    Returns:
        A function from a scalar string to a float32 tensor of shape `(num_columns,)`.
    """

    def prepare(row: tf.Tensor) -> tf.Tensor:
        required = [tf.zeros([0], tf.float32)] * num_columns  # an empty cell is an error, not a 0
        columns = tf.io.decode_csv(row, record_defaults=required)
        return tf.stack(columns)

    return prepare


def encode_rows(values: np.ndarray) -> list[str]:
    """Returns each row as a line of CSV that reads back to the same float32 numbers."""
    lines = []
    for row in values.astype("float32"):
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow([repr(float(value)) for value in row])
        lines.append(text.getvalue())
    return lines


def table_data(
    values: np.ndarray,
    targets: np.ndarray,
    *,
    column_names: Sequence[str],
    class_names: Sequence[str] | None = None,
    target_name: str = "target",
    validation_fraction: float,
    test_fraction: float,
    limit: int | None,
    split_seed: int,
    fold: Mapping[str, Any] | None,
    name: str,
    source: str,
) -> Data:
    """Returns the `Data` of a table of numbers.

    Args:
        values: shape `(num_rows, num_columns)`.
        targets: class indices or numbers, shape `(num_rows,)`.
        column_names: one for each column.
        class_names: one for each class; None for numbers to predict.
        target_name: of the number to predict.
        validation_fraction: part of what is not test.
        test_fraction: part of all.
        limit: at most this many to train and validate on, and to test.
        split_seed: which examples go where.
        fold: of a cross-validation, as in `split_indices`.
        name: of the set.
        source: where it came from.
    """
    classes = class_names is not None
    parts = split_indices(
        targets,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        limit=limit,
        split_seed=split_seed,
        stratify=classes,
        fold=fold,
    )
    rows = np.array(encode_rows(values), dtype=object)
    dtype = "int32" if classes else "float32"

    def split(part: str) -> tf.data.Dataset | None:
        if part not in parts:
            return None
        columns: Any = (rows[parts[part]].tolist(), targets[parts[part]].astype(dtype))
        return tf.data.Dataset.from_tensor_slices(columns)

    trained_on = targets[parts["train"]]
    target_spec = (
        Spec((), "int32", class_names=tuple(class_names))
        if class_names is not None
        else number_spec(trained_on[:, None], [target_name])
    )
    return Data(
        train=split("train"),
        validation=split("validation"),
        test=split("test"),
        inputs=Spec((values.shape[1],), "float32", column_names=tuple(column_names)),
        targets=target_spec,
        prepare=decode_row(values.shape[1]),
        normalize=keras.layers.Normalization(
            axis=-1, name="normalize", dtype=keras.config.floatx()
        ),
        kind="row",
        name=name,
        source=source,
        fingerprint=fingerprint(values, targets, *[v for _, v in sorted(parts.items())]),
        positions=parts,
    )


def number_spec(trained_on: np.ndarray, names: Sequence[str]) -> Spec:
    """Returns the spec of numeric targets, with their mean and deviation.

    Args:
        trained_on: targets of the training split, shape `(num_examples, num_targets)`.
        names: one for each target.
    """
    deviation = trained_on.std(axis=0)
    return Spec(
        (),
        "float32",
        column_names=tuple(names),
        mean=tuple(float(value) for value in trained_on.mean(axis=0)),
        standard_deviation=tuple(float(value) or 1.0 for value in deviation),
    )


def wine(
    *,
    validation_fraction: float = 0.15,
    test_fraction: float = 0.25,
    limit: int | None = None,
    split_seed: int = 0,
    fold: Mapping[str, Any] | None = None,
) -> Data:
    """Loads scikit-learn's wine recognition table: 178 rows, 13 columns, 3 classes.

    Args:
        validation_fraction: part of what is not test.
        test_fraction: part of all.
        limit: at most this many to train and validate on, and to test; balanced.
        split_seed: which examples go where.
        fold: of a cross-validation, that validates: `{number: 2, of: 5}`; or, with
            `split: test`, that tests.

    Source: Aeberhard & Forina, "Wine", UCI 1991.
    """
    from sklearn.datasets import load_wine

    bunch = load_wine()
    return table_data(
        bunch.data,
        bunch.target,
        column_names=bunch.feature_names,
        class_names=[str(name) for name in bunch.target_names],
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        limit=limit,
        split_seed=split_seed,
        fold=fold,
        name="wine",
        source="sklearn.datasets.load_wine",
    )


def diabetes(
    *,
    validation_fraction: float = 0.15,
    test_fraction: float = 0.25,
    limit: int | None = None,
    split_seed: int = 0,
    fold: Mapping[str, Any] | None = None,
) -> Data:
    """Loads scikit-learn's diabetes table: 442 rows, 10 columns, one number to predict.

    Args:
        validation_fraction: part of what is not test.
        test_fraction: part of all.
        limit: at most this many to train and validate on, and to test.
        split_seed: which examples go where.
        fold: of a cross-validation, that validates: `{number: 2, of: 5}`; or, with
            `split: test`, that tests.

    Source: Efron et al., "Least Angle Regression", Annals of Statistics 2004.
    """
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    return table_data(
        bunch.data,
        bunch.target,
        column_names=bunch.feature_names,
        target_name="progression",
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        limit=limit,
        split_seed=split_seed,
        fold=fold,
        name="diabetes",
        source="sklearn.datasets.load_diabetes",
    )
