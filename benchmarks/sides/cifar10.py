"""CIFAR-10 and the small net, in plain TFDS and plain Keras."""

from __future__ import annotations

import argparse
import os

import keras

os.environ.setdefault("NO_GCE_CHECK", "true")  # else TFDS waits for Google's metadata host
import tensorflow_datasets as tfds  # noqa: E402


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """Returns a parser with what every training side takes."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--data-dir", help="folder that holds a prepared cifar10/")
    parser.add_argument("--examples", type=int, required=True, help="training and validation")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=128)
    return parser


def train_split(data_dir: str | None, num_examples: int) -> str:
    """Returns the TFDS split of so many training examples, the set repeated if it is smaller."""
    builder = tfds.builder("cifar10", data_dir=data_dir, try_gcs=False)
    whole, rest = divmod(num_examples, builder.info.splits["train"].num_examples)
    return "+".join(["train"] * whole + ([f"train[:{rest}]"] if rest else []))


def load(data_dir: str | None, num_examples: int):
    """Returns the unbatched training and validation sets of TFDS: 9 to 1, as in kx."""
    examples = tfds.load(
        "cifar10",
        split=train_split(data_dir, num_examples),
        data_dir=data_dir,
        as_supervised=True,
        download=False,
        try_gcs=False,
    )
    num_validation = round(0.1 * num_examples)
    return examples.skip(num_validation), examples.take(num_validation)


def cnn() -> keras.Model:
    """Returns the same net as `model=cnn`, pixels rescaled within it."""
    layers = [keras.Input((32, 32, 3), dtype="uint8"), keras.layers.Rescaling(1 / 255)]
    for filters in (32, 64, 128):
        layers.append(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
        layers.append(keras.layers.MaxPooling2D())
    layers += [
        keras.layers.Flatten(),
        keras.layers.Dense(512, activation="relu"),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(10),
    ]
    model = keras.Sequential(layers)
    assert model.count_params() == 1_147_466
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model
