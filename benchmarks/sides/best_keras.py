"""Plain Keras with the fastest tf.data pipeline we can write: what kx is held against.

Images in memory as uint8; shuffled and batched as indices; gathered, cropped and
flipped a batch at a time; one endless stream; no autotuning, a fixed parallelism.
"""

from __future__ import annotations

import os
import time

import keras
import tensorflow as tf
from cifar10 import arguments, cnn, load
from clock import EpochClock
from crop_flip import one_flat_gather
from result import print_result

NUM_PARALLEL_CALLS = os.cpu_count() or 2


def main() -> None:
    args = arguments(__doc__).parse_args()
    keras.utils.set_random_seed(0)
    train, validation = (in_memory(split) for split in load(args.data_dir, args.examples))
    steps = len(train[1]) // args.batch_size
    model = cnn()
    begun = time.perf_counter()
    model.fit(
        train_batches(*train, args.batch_size),
        epochs=args.epochs,
        steps_per_epoch=steps,
        validation_data=validation_batches(*validation, args.batch_size),
        callbacks=[EpochClock()],
        shuffle=False,
        verbose=0,
    )
    fit_seconds = time.perf_counter() - begun
    print_result(
        fit_seconds=fit_seconds,
        examples_per_second=[steps * args.batch_size / s for s in EpochClock.step_seconds()],
        epoch_seconds=EpochClock.epoch_seconds(),
    )


def in_memory(split: tf.data.Dataset) -> tuple[tf.Tensor, tf.Tensor]:
    [(images, labels)] = split.batch(int(split.cardinality())).as_numpy_iterator()
    with tf.device("CPU"):
        return tf.constant(images), tf.constant(labels)


def train_batches(images: tf.Tensor, labels: tf.Tensor, batch_size: int) -> tf.data.Dataset:
    def finish(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return one_flat_gather(tf.gather(images, index)), tf.gather(labels, index)

    indices = tf.data.Dataset.range(len(labels)).shuffle(len(labels))
    batches = indices.batch(batch_size, drop_remainder=True).repeat()
    return without_autotune(batches.map(finish, NUM_PARALLEL_CALLS).prefetch(4))


def validation_batches(images: tf.Tensor, labels: tf.Tensor, batch_size: int) -> tf.data.Dataset:
    examples = tf.data.Dataset.from_tensor_slices((images, labels))
    return without_autotune(examples.batch(batch_size).prefetch(4))


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


if __name__ == "__main__":
    main()
