"""Tables: raw examples are lines of CSV, prepared ones vectors of floats."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from kx.contracts.examples import Examples
from kx.contracts.specs import Spec


def decode_row(num_columns: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the preparation of rows: a line of CSV to a float32 vector.

    Args:
        num_columns: Number of numbers in a line.

    Returns:
        Function from a scalar string to a float32 tensor of shape `(num_columns,)`.
    """

    # Without Python's control flow on tensors: to look for it takes longer than to trace it.
    @tf.autograph.experimental.do_not_convert
    def prepare(row: tf.Tensor) -> tf.Tensor:
        required = [tf.zeros([0], tf.float32)] * num_columns  # an empty cell is an error, not a 0
        columns = tf.io.decode_csv(row, record_defaults=required)
        return tf.stack(columns)

    return prepare


def encode_rows(values: np.ndarray) -> list[str]:
    """Returns each row as a line of CSV, from which the same float32 numbers are read.

    Args:
        values: Numbers, shape `(num_rows, num_columns)`.
    """
    lines = []
    for row in values.astype("float32"):
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow([repr(float(value)) for value in row])
        lines.append(text.getvalue())
    return lines


def table(
    values: np.ndarray,
    targets: np.ndarray,
    *,
    column_names: Sequence[str],
    class_names: Sequence[str] | None = None,
    target_name: str = "target",
    name: str,
    source: str,
) -> Examples:
    """Returns the examples of a table of numbers.

    Args:
        values: Numbers, shape `(num_rows, num_columns)`.
        targets: Class indices or numbers, shape `(num_rows,)`.
        column_names: Name of each column.
        class_names: Name of each class. Defaults to None: the targets are numbers to predict.
        target_name: Name of the number to predict. Defaults to `"target"`.
        name: Name of the table.
        source: Where it came from.
    """
    return Examples(
        encode_rows(values),
        targets,
        Spec((values.shape[1],), "float32", column_names=tuple(column_names)),
        Spec((), "float32", column_names=(target_name,))
        if class_names is None
        else Spec((), "int32", class_names=tuple(class_names)),
        prepare=decode_row(values.shape[1]),
        normalize=keras.layers.Normalization(
            axis=-1, name="normalize", dtype=keras.config.floatx()
        ),
        kind="row",
        name=name,
        source=source,
        identity=(values, targets),
    )


def wine() -> Examples:
    """Loads scikit-learn's wine recognition table: 178 rows, 13 columns, 3 classes.

    Source: Aeberhard & Forina, "Wine", UCI 1991.
    """
    from sklearn.datasets import load_wine

    bunch = load_wine()
    return table(
        bunch.data,
        bunch.target,
        column_names=bunch.feature_names,
        class_names=[str(name) for name in bunch.target_names],
        name="wine",
        source="sklearn.datasets.load_wine",
    )


def diabetes() -> Examples:
    """Loads scikit-learn's diabetes table: 442 rows, 10 columns, one number to predict.

    Source: Efron et al., "Least Angle Regression", Annals of Statistics 2004.
    """
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    return table(
        bunch.data,
        bunch.target,
        column_names=bunch.feature_names,
        target_name="progression",
        name="diabetes",
        source="sklearn.datasets.load_diabetes",
    )
