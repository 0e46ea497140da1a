"""A convolutional autoencoder as a Keras user writes it: the loss that kx is held to.

The recipe is that of https://keras.io/examples/vision/autoencoder (binary cross entropy of pixels,
Adam), on the net of `model=autoencoder` or `model=vae`. Prints the loss on the test split, of the
epoch with the lowest loss on the validation split.

    plain_autoencoder.py --arrays images.npz --model vae --epochs 20
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
from result import print_result

from kx.contracts.specs import Outputs, Spec
from kx.models.images import autoencoder as nets


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--arrays", required=True)
    parser.add_argument("--model", default="autoencoder")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    arrays = np.load(args.arrays)
    train, validation, test = (
        arrays[name].astype("float32") / 255 for name in ("train", "validation", "test")
    )
    shape = train.shape[1:]
    outputs = Outputs(shape[-1], axes=shape[:2])
    model = getattr(nets, args.model)(Spec(shape, "float32"), outputs)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile("adam", loss)
    best = keras.callbacks.ModelCheckpoint(
        "best.weights.h5", save_best_only=True, save_weights_only=True
    )
    model.fit(
        train, train, validation_data=(validation, validation), epochs=args.epochs,
        batch_size=args.batch_size, callbacks=[best], verbose=0,
    )  # fmt: skip
    model.load_weights("best.weights.h5")
    answers = model.predict(test, verbose=0)
    print_result(
        loss=float(model.evaluate(test, test, verbose=0)), cross_entropy=float(loss(test, answers))
    )


if __name__ == "__main__":
    main()
