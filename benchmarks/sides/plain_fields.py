"""`model.fit` on dictionaries of arrays, or on masks, with a hand-written tf.data pipeline.

The nets are those of `model=fusion` and `model=unet`. Prints the seconds of each epoch's steps.

    plain_fields.py --arrays arrays.npz --epochs 5
"""

from __future__ import annotations

import argparse
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from clock import EpochClock
from result import print_result

from kx.contracts.specs import Outputs, Spec
from kx.models.images.unet import unet
from kx.models.multimodal.fusion import fusion


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--arrays", required=True)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()  # as kx does
    arrays = np.load(args.arrays)
    train, validation = (split_of(arrays, name) for name in ("train", "validation"))
    inputs, targets = train
    num_classes = int(targets.max()) + 1
    if "question" in inputs:
        model = with_question(inputs, num_classes)
        metrics: list[Any] = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5)]
    else:
        model = with_masks(inputs["image"], num_classes)
        inputs, validation = inputs["image"], (validation[0]["image"], validation[1])
        metrics = ["accuracy", keras.metrics.MeanIoU(num_classes, sparse_y_pred=False)]
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=metrics,
    )
    stream = tf.data.Dataset.from_tensor_slices((inputs, targets))
    stream = stream.shuffle(len(targets), seed=0).batch(32).prefetch(4)
    judged = tf.data.Dataset.from_tensor_slices(validation).batch(32).prefetch(4)
    model.fit(
        stream, validation_data=judged, epochs=args.epochs, callbacks=[EpochClock()], verbose=0
    )
    print_result(step_seconds=EpochClock.step_seconds())


def split_of(arrays: Any, split: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns the inputs by name, and the targets, of a split."""
    names = [name.split("/")[1] for name in arrays if name.startswith(f"{split}/")]
    found = {name: arrays[f"{split}/{name}"] for name in names}
    return found, found.pop("target")


def with_question(inputs: dict[str, np.ndarray], num_classes: int) -> keras.Model:
    """Returns a net for an image and the tokens of a question."""
    image, question = inputs["image"], inputs["question"]
    specs = {
        "image": Spec(image.shape[1:], "float32", kind="image"),
        "question": Spec(
            question.shape[1:], "int32", kind="tokens", vocabulary_size=int(question.max()) + 1
        ),
    }
    net = fusion(specs, Outputs(num_classes))
    pixels = keras.Input(image.shape[1:], dtype="uint8", name="image")
    words = keras.Input(question.shape[1:], dtype="int32", name="question")
    scores = net({"image": keras.layers.Rescaling(1 / 255)(pixels), "question": words})
    return keras.Model({"image": pixels, "question": words}, scores)


def with_masks(images: np.ndarray, num_classes: int) -> keras.Model:
    """Returns a U-Net."""
    shape = images.shape[1:]
    net = unet(Spec(shape, "float32"), Outputs(num_classes, axes=shape[:2]))
    pixels = keras.Input(shape, dtype="uint8")
    return keras.Model(pixels, net(keras.layers.Rescaling(1 / 255)(pixels)))


if __name__ == "__main__":
    main()
