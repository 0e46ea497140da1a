"""A U-Net on a folder of images and masks, as a Keras user writes it: the score that kx is held to.

The recipe is that of https://keras.io/examples/vision/oxford_pets_image_segmentation (sparse cross
entropy, the best epoch by the validation split), on the net of `model=unet`, with mirrored images
and Adam's default rate. Prints mean IoU and pixel accuracy on the test split.

    plain_masks.py --root camvid --epochs 15
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from result import print_result

from kx.contracts.specs import Outputs, Spec
from kx.models.images.unet import unet

NUM_CLASSES, IGNORED = 11, 11


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    train, validation, test = (load(Path(args.root) / name) for name in ("train", "val", "test"))
    shape = train[0].shape[1:]
    inputs = keras.Input(shape, dtype="uint8")
    net = unet(Spec(shape, "float32"), Outputs(NUM_CLASSES, axes=shape[:2]))
    model = keras.Model(inputs, net(keras.layers.Rescaling(1 / 255)(inputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORED)
    model.compile("adam", loss)
    stream = tf.data.Dataset.from_tensor_slices(train).shuffle(len(train[0])).batch(8)
    best = keras.callbacks.ModelCheckpoint(
        "best.weights.h5", save_best_only=True, save_weights_only=True
    )
    model.fit(
        stream.map(mirrored).prefetch(2),
        validation_data=tf.data.Dataset.from_tensor_slices(validation).batch(8),
        epochs=args.epochs, callbacks=[best], verbose=2,
    )  # fmt: skip
    model.load_weights("best.weights.h5")
    print_result(**scores(model, *test))


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and the masks of a folder."""
    names = sorted(path.stem for path in (folder / "images").iterdir())

    def read(kind: str) -> np.ndarray:
        files = {path.stem: path for path in (folder / kind).iterdir()}
        return np.stack([np.asarray(Image.open(files[name])) for name in names])

    return read("images"), read("masks").astype("int32")


def mirrored(images: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mirrors half of the images, and their masks."""
    turned = tf.random.uniform([tf.shape(images)[0]]) < 0.5
    images = tf.where(turned[:, None, None, None], tf.reverse(images, [2]), images)
    return images, tf.where(turned[:, None, None], tf.reverse(masks, [2]), masks)


def scores(model: keras.Model, images: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Returns mean IoU and pixel accuracy over all pixels that are not ignored."""
    answers = np.concatenate(
        [np.argmax(model.predict_on_batch(images[i : i + 8]), -1) for i in range(0, len(images), 8)]
    )
    known = masks != IGNORED
    counts = np.zeros((NUM_CLASSES, NUM_CLASSES), "int64")
    np.add.at(counts, (masks[known], answers[known]), 1)
    both = np.diag(counts)
    union = counts.sum(0) + counts.sum(1) - both
    return {
        "mean_iou": float(np.mean(both[union > 0] / union[union > 0])),
        "pixel_accuracy": float(both.sum() / counts.sum()),
    }


if __name__ == "__main__":
    main()
