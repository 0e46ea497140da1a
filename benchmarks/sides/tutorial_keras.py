"""Plain Keras as tutorials have it: cache, shuffle, batch, augment, prefetch, all AUTOTUNE.

The augmentation is that of `augment=crop_flip`: up to four pixels of shift, and mirroring.
"""

from __future__ import annotations

import time

import keras
import tensorflow as tf
from cifar10 import arguments, cnn, load
from clock import EpochClock
from result import print_result


def main() -> None:
    args = arguments(__doc__).parse_args()
    keras.utils.set_random_seed(0)
    train, validation = load(args.data_dir, args.examples)
    num_train = int(train.cardinality())
    augment = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomTranslation(4 / 32, 4 / 32, fill_mode="constant"),
        ]
    )
    train = (
        train.cache()
        .shuffle(num_train)
        .batch(args.batch_size)
        .map(lambda x, y: (augment(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    validation = validation.batch(args.batch_size).cache().prefetch(tf.data.AUTOTUNE)

    model = cnn()
    begun = time.perf_counter()
    model.fit(
        train,
        epochs=args.epochs,
        validation_data=validation,
        callbacks=[EpochClock()],
        verbose=2,
    )
    fit_seconds = time.perf_counter() - begun
    print_result(
        fit_seconds=fit_seconds,
        examples_per_second=[num_train / s for s in EpochClock.step_seconds()],
        epoch_seconds=EpochClock.epoch_seconds(),
    )


if __name__ == "__main__":
    main()
