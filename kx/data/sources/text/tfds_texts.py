"""Texts of TensorFlow Datasets: IMDb's reviews, SST-2, and others with a text and a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kx.contracts.examples import Examples
from kx.data.sources.delimited import read_text
from kx.data.sources.text.labelled import Copies, Texts, labelled
from kx.data.sources.tfds_builder import dataset_of, prepared_builder
from kx.errors import DataError
from kx.paths import expanded

_SST = {"train": "train", "validation": "dev", "test": "test"}


def tfds_texts(
    name: str,
    *,
    text: str = "text",
    label: str = "label",
    data_dir: str | None = None,
    download: bool = True,
    train_split: str = "train",
    validation_split: str | None = None,
    test_split: str | None = "test",
    copies: Copies = "kept",
) -> Examples:
    """Loads texts with classes of TensorFlow Datasets.

    Args:
        name: TFDS name, optionally with a config or version: `glue/sst2`.
        text: Feature of the text. Defaults to `"text"`.
        label: Feature of the class. Defaults to `"label"`.
        data_dir: Path to the folder of prepared data sets. Defaults to None: the folder of TFDS.
        download: Whether to download and prepare a data set that is missing. Defaults to True.
        train_split: TFDS split, which may be a slice: `train[:50%]`. Defaults to `"train"`.
        validation_split: TFDS split. Defaults to None: a fraction of the training split.
        test_split: TFDS split. Defaults to `"test"`. None: a fraction of the training split.
        copies: `"kept"`, or `"one_split"`: texts that differ in nothing but case, spaces and
            punctuation are in one split alone. Defaults to `"kept"`.

    Returns:
        Examples that are strings; a tokenizer makes numbers of them.

    Raises:
        DataError: If the data set is missing and cannot be downloaded, or has no such features.
    """
    import tensorflow_datasets as tfds

    builder = prepared_builder(name, data_dir, download)
    features = builder.info.features
    names = list(features) if hasattr(features, "keys") else []
    has = text in names and isinstance(features[text], tfds.features.Text)
    if not has or label not in names or not hasattr(features[label], "names"):
        raise DataError(
            f"data.name={name}: expected the features data.text={text} (a Text) and"
            f" data.label={label} (a ClassLabel). Received: {', '.join(names)}."
        )
    classes = features[label].names
    splits = {"train": train_split, "validation": validation_split, "test": test_split}
    parts = {
        part: _read(builder, split, text, label, classes)
        for part, split in splits.items()
        if split is not None
    }
    return labelled(
        parts, label="label", name=builder.name, source=f"tfds:{builder.info.full_name}",
        copies=copies,
    )  # fmt: skip


def _read(builder: Any, split: str, text: str, label: str, classes: list[str]) -> Texts:
    texts, labels = [], []
    for one in dataset_of(builder, split).as_numpy_iterator():
        number = int(one[label])
        if number < 0:
            raise DataError(
                f"{builder.name}: the labels of its split {split!r} are not published. Choose"
                " another: data.test_split=validation"
            )
        texts.append(one[text].decode(errors="replace"))
        labels.append(classes[number])
    places = [f"{builder.name}, {split}, number {number}" for number in range(len(texts))]
    return Texts(texts, {"label": labels}, places)


def sst2(
    root: str | None = None,
    *,
    data_dir: str | None = None,
    download: bool = True,
    copies: Copies = "kept",
) -> Examples:
    """Loads sentences of film reviews that are negative or positive: SST-2.

    Args:
        root: Path to a folder with `stsa.binary.train`, `stsa.binary.dev` and `stsa.binary.test`:
            6,920, 872 and 1,821 sentences, each line a class (0 or 1) and a sentence. Defaults to
            None: `glue/sst2` of TensorFlow Datasets, 67,349 phrases and sentences to train, whose
            872 validation sentences are the test split, since the labels of its test are not
            published.
        data_dir: Path to the folder of TFDS's prepared data sets. Defaults to None: its own.
        download: Whether to download and prepare a data set that is missing. Defaults to True.
        copies: `"kept"`, or `"one_split"`: texts that differ in nothing but case, spaces and
            punctuation are in one split alone. Defaults to `"kept"`.

    Returns:
        Examples that are strings; a tokenizer makes numbers of them.

    Raises:
        DataError: If the data is missing or cannot be downloaded.

    Source: Socher et al. 2013, "Recursive deep models for semantic compositionality over a
    sentiment treebank".
    """
    if root is None:
        return tfds_texts(
            "glue/sst2", text="sentence", data_dir=data_dir, download=download,
            test_split="validation", copies=copies,
        )  # fmt: skip
    folder = expanded(root)
    parts = {part: _sentences(folder / f"stsa.binary.{name}") for part, name in _SST.items()}
    return labelled(parts, label="label", name="sst2", source=str(folder.absolute()), copies=copies)


def _sentences(file: Path) -> Texts:
    if not file.is_file():
        raise DataError(
            f"data.root: there is no file {file}. Expected stsa.binary.train, .dev and .test; or"
            " leave it out for glue/sst2 of TensorFlow Datasets."
        )
    text, issues = read_text(file)
    texts, labels, places = [], [], []
    for number, line in enumerate(text.splitlines(), 1):
        label, _, sentence = line.partition(" ")
        if label not in ("0", "1") or not sentence.strip():
            raise DataError(
                f"{file}, line {number}: expected 0 or 1, a space and a sentence. Received:"
                f" {line[:60]!r}."
            )
        texts.append(sentence)
        labels.append("positive" if label == "1" else "negative")
        places.append(f"{file}, line {number}")
    return Texts(texts, {"label": labels}, places, issues)
