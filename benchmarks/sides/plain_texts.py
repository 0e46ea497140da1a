"""`model.fit` on token ids, with the pipeline that a Keras user would write at best.

The recipe is that of https://keras.io/examples/nlp/bidirectional_lstm_imdb, on the net of
`model=lstm`; batches are trimmed to their longest text. Prints the seconds of each epoch's steps.

    plain_texts.py --arrays texts.npz --epochs 5
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
import tensorflow as tf
from clock import EpochClock
from result import print_result

from kx.contracts.specs import Outputs, Spec
from kx.models.text.recurrent import lstm


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--arrays", required=True)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()  # as kx does
    arrays = np.load(args.arrays)
    tokens, targets = arrays["train/image"], arrays["train/target"]
    size = int(tokens.max()) + 1
    spec = Spec(tokens.shape[1:], "int32", vocabulary_size=size, kind="tokens")
    model = lstm(spec, Outputs(int(targets.max()) + 1))
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    options = tf.data.Options()
    options.autotune.enabled = False  # the stream of kx has it off, too: it stalls between epochs

    def batches(split: str) -> tf.data.Dataset:
        pair = arrays[f"{split}/image"], arrays[f"{split}/target"]
        found = tf.data.Dataset.from_tensor_slices(pair)
        if split == "train":
            found = found.shuffle(len(pair[0]), seed=0)
        trimmed = found.batch(32).map(trim, num_parallel_calls=2, deterministic=True)
        return trimmed.prefetch(4).with_options(options)

    model.fit(
        batches("train"), validation_data=batches("validation"), epochs=args.epochs,
        callbacks=[EpochClock()], verbose=0,
    )  # fmt: skip
    print_result(step_seconds=EpochClock.step_seconds())


def trim(tokens: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts the padding at the end of all texts."""
    longest = tf.reduce_max(tf.math.count_nonzero(tokens, axis=1))
    return tokens[:, :longest], targets


if __name__ == "__main__":
    main()
