"""Image classification data sets of TensorFlow Datasets."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.examples import Examples
from kx.contracts.specs import Spec
from kx.data.sources.images.pixels import decode_image, normalization
from kx.data.sources.tfds_builder import dataset_of, prepared_builder
from kx.errors import DataError
from kx.types import ImageSize, Normalization


def tfds_images(
    name: str,
    *,
    data_dir: str | None = None,
    download: bool = True,
    image_size: ImageSize | None = None,
    train_split: str = "train",
    validation_split: str | None = None,
    test_split: str | None = None,
    normalize: Normalization = "unit",
) -> Examples:
    """Loads an image classification data set of TensorFlow Datasets.

    Args:
        name: TFDS name, optionally with a config or version: `cifar10:3.0.2`.
        data_dir: Path to the folder of prepared data sets. Defaults to None: the folder of TFDS.
        download: Whether to download and prepare a data set that is missing. Defaults to True.
        image_size: `[height, width]`. Defaults to None: the size that TFDS declares.
        train_split: TFDS split, which may be a slice: `train[:50%]`. Defaults to `"train"`.
        validation_split: TFDS split. Defaults to None: the data set's `validation` if it has one,
            else a fraction of the training split.
        test_split: TFDS split. Defaults to None: the data set's `test` if it has one, else a
            fraction of the training split.
        normalize: As in `kx.data.sources.images.pixels.normalization`. Defaults to `"unit"`.

    Returns:
        Raw examples are the encoded bytes that TFDS stores.

    Raises:
        DataError: If the data set is missing and cannot be downloaded, or does not consist of
            images with one class each.
    """
    builder = prepared_builder(name, data_dir, download)
    shape = _image_shape(builder, image_size)
    own = builder.info.splits
    validation_split = validation_split or ("validation" if "validation" in own else None)
    test_split = test_split or ("test" if "test" in own else None)
    sources = {"train": train_split, "validation": validation_split, "test": test_split}
    stored = {part: _Stored(builder, split) for part, split in sources.items() if split}
    ends = np.cumsum([0, *(len(one.labels) for one in stored.values())])
    places = {part: np.arange(*ends[i : i + 2]) for i, part in enumerate(stored)}

    def inputs(positions: np.ndarray) -> tf.data.Dataset:
        """Returns the images at some positions, in the order of the source."""
        found = [
            one.only(chosen - places[part][0])
            for part, one in stored.items()
            if len(chosen := positions[np.isin(positions, places[part])])
        ]
        return functools.reduce(tf.data.Dataset.concatenate, found)

    sizes = {k: (v.num_examples, v.num_bytes) for k, v in sorted(own.items())}
    version, labels = builder.info.full_name, np.concatenate([s.labels for s in stored.values()])
    return Examples(
        inputs,
        labels,
        Spec(shape, "uint8"),
        Spec((), "int32", class_names=tuple(builder.info.features["label"].names)),
        prepare=decode_image(shape),
        normalize=normalization(normalize, shape[-1]),
        kind="image",
        name=builder.name,
        source=f"tfds:{version}",
        own_splits=places,
        identity=(version, sizes, sources, labels),
    )


def _image_shape(builder: Any, image_size: Sequence[int] | None) -> tuple[int, int, int]:
    """Returns the shape of a prepared image."""
    features = builder.info.features
    names = list(features) if hasattr(features, "keys") else []
    if "image" not in names or "label" not in names or not hasattr(features["label"], "names"):
        raise DataError(
            f"data.name={builder.name} is not a set of images with one class each: expected the"
            f" features 'image' and 'label' (a ClassLabel). Received: {', '.join(names)}."
        )
    height, width, channels = features["image"].shape
    if image_size is not None:
        if len(image_size) != 2:
            raise DataError(f"data.image_size: expected [height, width]. Received: {image_size!r}.")
        height, width = image_size
    if height is None or width is None:
        raise DataError(
            f"The images of {builder.name} have many sizes: choose one,"
            " data.image_size=[224,224] (height, width)."
        )
    return int(height), int(width), int(channels or 3)


class _Stored:
    """Holds one TFDS split, read in a fixed order, with encoded images."""

    def __init__(self, builder: Any, split: str) -> None:
        import tensorflow_datasets as tfds

        decoders = {"image": tfds.decode.SkipDecoding()}
        self.dataset = dataset_of(builder, split, decoders=decoders)
        only_labels = self.dataset.map(lambda example: example["label"]).batch(4096)
        self.labels = np.concatenate([np.zeros(0, "int64"), *only_labels.as_numpy_iterator()])

    def only(self, chosen: np.ndarray) -> tf.data.Dataset:
        """Returns the images at the chosen indices, in the order of the split."""
        keep = np.zeros(len(self.labels), dtype=bool)
        keep[chosen] = True
        wanted = tf.constant(keep)
        numbered = self.dataset.enumerate().filter(lambda i, _: tf.gather(wanted, i))
        images = numbered.map(lambda _, example: example["image"])
        return images.apply(tf.data.experimental.assert_cardinality(len(chosen)))
