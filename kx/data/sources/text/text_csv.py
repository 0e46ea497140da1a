"""Texts with labels from a CSV or TSV file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kx.contracts.specs import Data, Finding, Spec
from kx.data.sources.delimited import Rows, read_rows
from kx.data.sources.labels import alike, class_targets
from kx.data.split import fingerprint, split_indices
from kx.errors import ConfigError, DataError
from kx.paths import expanded

_NO_WORDS = 2  # tokens: padding, and unknown


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
    quotes: bool = True,
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
        quotes: whether a quotation mark at the beginning of a cell quotes it.

    Returns:
        Raw examples are strings; prepared ones int32 token ids of shape
        `(sequence_length,)`, 0 for padding. The vocabulary is that of the
        training split.

    Raises:
        DataError: if the file or a column is not there, a cell is empty, or a line
            cannot be read for sure.
    """
    several = label_separator is not None  # then an empty cell is an example without a label
    read = partial(_read, text=text, label=label, quotes=quotes, empty_labels=several)
    table = read(path, group=group)
    num_own, findings = len(table.texts), list(table.findings)
    if test_path is not None:
        other = read(test_path, key="data.test_path")
        findings += other.findings
        table = table.followed_by(other)
    _refuse_own_answers(path, test_path, text, label)
    targets, spec = class_targets(table.labels, label, label_separator, table.where)
    one_label = spec.shape == ()
    if isinstance(label, str) and one_label:
        findings += alike(spec.class_names or (), Counter(table.labels[label]), Path(path).name)
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
        groups=np.array(table.groups, dtype=object) if group else None,
    )

    texts = np.array(table.texts, dtype=object)
    vectorize = _vectorizer(
        texts[parts["train"]].tolist(), max_tokens, standardize, split, sequence_length
    )

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
        source=str(expanded(path).absolute()),
        fingerprint=fingerprint(
            [str(t) for t in texts], targets, *[v for _, v in sorted(parts.items())]
        ),
        # On another backend than TensorFlow's, the layer does not track its table.
        assets=[vectorize, vectorize._lookup_layer.lookup_table],
        positions=parts,
        findings=tuple(findings),
    )


def _vectorizer(
    texts: list[str], max_tokens: int, standardize: str | None, split: str, sequence_length: int
) -> keras.layers.TextVectorization:
    """Returns the layer from texts to token ids, with the vocabulary of the training split.

    Raises:
        ConfigError: if it has no place for a word.
        DataError: if there is no word for it.
    """
    if max_tokens <= _NO_WORDS:
        raise ConfigError(
            f"data.max_tokens: expected {_NO_WORDS + 1} or more: padding, unknown, and a word."
            f" Received: {max_tokens}."
        )
    vectorize = keras.layers.TextVectorization(
        max_tokens=max_tokens,
        standardize=standardize,
        split=split,
        output_sequence_length=sequence_length,
    )
    try:
        vectorize.adapt(tf.constant(texts))
        empty = vectorize.vocabulary_size() <= _NO_WORDS
    except tf.errors.InvalidArgumentError as error:  # a table without keys
        if "empty" not in str(error):
            raise
        empty = True
    if empty:
        raise DataError(
            "The vocabulary is empty: no word is left of the texts to train on, after"
            f" data.standardize={standardize} and data.split={split}. Are the texts in the column"
            " of data.text?"
        )
    return vectorize


def _tokenize(vectorize: keras.layers.TextVectorization) -> Callable[[tf.Tensor], tf.Tensor]:
    def prepare(text: tf.Tensor) -> tf.Tensor:
        # As a batch of one: of a single empty text it makes no padding, but nothing.
        return tf.cast(vectorize(text[None])[0], tf.int32)

    return prepare


@dataclass(frozen=True)
class _Texts:
    """Holds texts with the cells of their labels.

    Args:
        texts: of each row.
        labels: column to cells, spaces about them taken away.
        groups: of each row, or None.
        places: of each row, where it stands.
        findings: what was found of the file.
    """

    texts: list[str]
    labels: dict[str, list[str]]
    groups: list[str]
    places: list[str]
    findings: tuple[Finding, ...]

    def followed_by(self, other: _Texts) -> _Texts:
        labels = {name: cells + other.labels[name] for name, cells in self.labels.items()}
        groups = self.groups + [""] * len(other.texts) if self.groups else []
        return _Texts(
            self.texts + other.texts, labels, groups, self.places + other.places, self.findings
        )

    def where(self, row: int) -> str:
        return self.places[row]


def _read(
    path: str,
    text: str,
    label: str | list[str],
    *,
    group: str | None = None,
    key: str = "data.path",
    quotes: bool,
    empty_labels: bool = False,
) -> _Texts:
    """Reads the wanted columns, and refuses what is not there."""
    names = [label] if isinstance(label, str) else label
    keys = {**dict.fromkeys(names, "data.label"), text: "data.text"}
    if group:
        keys[group] = "data.group"
    rows = read_rows(path, keys, quotes=quotes, key=key)
    labels = {name: [cell.strip() for cell in rows.column(name)] for name in names}
    groups = [cell.strip() for cell in rows.column(group)] if group else []
    for name, cells in {**labels, **({group: groups} if group else {})}.items():
        empty = [row for row, cell in enumerate(cells) if not cell]
        if empty and not (empty_labels and name in labels):
            raise DataError(
                f"{rows.where(empty[0])}: column {name!r} is empty, in {len(empty)} of"
                f" {len(cells)} rows. Fill these cells or remove the rows."
            )
    texts = rows.column(text)
    places = [rows.where(row) for row in range(len(texts))]
    return _Texts(texts, labels, groups, places, tuple(_doubts(rows, texts)))


def _doubts(rows: Rows, texts: Sequence[str]) -> Iterator[Finding]:
    """Tells what of a file may be meant otherwise than it is read."""
    name = rows.path.name
    empty = [row for row, text in enumerate(texts) if not text.strip()]
    if empty:
        first = rows.lines[empty[0]]
        yield Finding(name, "kept", f"{len(empty):,} empty texts, the first in line {first}")
    longest = max(range(len(texts)), key=lambda row: rows.num_lines[row])
    if rows.num_lines[longest] > 1:
        count = sum(number > 1 for number in rows.num_lines)
        yield Finding(
            name, "kept", f"{count:,} rows have a quoted cell of several lines; the longest has"
            f" {rows.num_lines[longest]} lines, from line {rows.lines[longest]} on",
        )  # fmt: skip


def _refuse_own_answers(
    path: str, test_path: str | None, text: str, label: str | list[str]
) -> None:
    """Refuses a test by the training's own file, and a label that is the text itself."""
    if test_path is not None and os.path.samefile(expanded(path), expanded(test_path)):
        raise DataError(
            "data.test_path is the file of data.path: the model would be tested by what it was"
            " trained on. Leave it out (data.test_fraction), or name another."
        )
    if text == label or (isinstance(label, list) and text in label):
        raise DataError(f"data.text and data.label are one column, {text!r}.")
