"""How many images a second does the input pipeline alone give, on its own?

    python benchmarks/pipelines.py --data-dir FOLDER
    python benchmarks/pipelines.py --pairs 9 --images 50000

32x32x3 uint8 images of CIFAR-10 that are in memory, batches of 128, pad-crop by
four pixels and flip: kx's `train_batches` with `augment=crop_flip` against four
other ways to write it. Then each of kx's augmentations, against none.

All run in one process, in turn, with autotuning off, the same parallelism and the
same prefetching; the first batches of each are not counted. kx also draws its
random numbers by (seed, epoch, example), so that a run can be repeated; the others
draw from TensorFlow's global generator.

Prints images/s (wall clock), images per second of CPU time, which a busy machine
disturbs less, and kx's rate over each other one: the median of the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

from common import arguments, heading, ratio

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from sides import crop_flip  # noqa: E402

from kx.config import CONF_DIR, compose  # noqa: E402
from kx.data.augment import chain  # noqa: E402
from kx.data.pipeline import NUM_PARALLEL_CALLS, Stored, store, train_batches  # noqa: E402
from kx.data.tfds import tfds_images  # noqa: E402

BATCH_SIZE = 128
WARM_UP_BATCHES = 20
PREFETCH_BATCHES = 4

Pipeline = Callable[[int], tf.data.Dataset]  # number of batches -> batches


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--images", type=int, default=50_000, help="of each measurement")
    args = parser.parse_args()
    if args.quick:
        args.images = 1_280
    keras.utils.set_random_seed(0)
    stored = store(tfds_images("cifar10", data_dir=args.data_dir, download=False), "train")

    heading("Flip and pad-crop of 32x32x3 images: kx against four other ways")
    rates = measure_all(args, {"kx": kx_pipeline(stored, "crop_flip"), **other_ways(stored)})
    for name in list(rates)[1:]:
        ratio(f"kx / {name}", rates["kx"], rates[name])

    heading("kx's augmentations against none")
    options = sorted(path.stem for path in (CONF_DIR / "augment").glob("*.yaml"))
    rates = measure_all(args, {name: kx_pipeline(stored, name) for name in options})
    for name in options:
        if name != "none":
            ratio(f"{name} / none", rates[name], rates["none"])


def measure_all(args: argparse.Namespace, pipelines: dict[str, Pipeline]) -> dict[str, list[float]]:
    """Measures the pipelines in turn, prints a line for each, and returns images/s."""
    rates: dict[str, list[float]] = {name: [] for name in pipelines}
    cpu_rates: dict[str, list[float]] = {name: [] for name in pipelines}
    for _ in range(args.pairs):
        for name, pipeline in pipelines.items():
            seconds, cpu_seconds, images = measure(pipeline, args.images // BATCH_SIZE)
            rates[name].append(images / seconds)
            cpu_rates[name].append(images / cpu_seconds)
    for name in pipelines:
        wall, cpu = statistics.median(rates[name]), statistics.median(cpu_rates[name])
        print(f"  {name:<52} {wall:>9,.0f} images/s {cpu:>9,.0f} images/s of CPU", flush=True)
    return rates


def measure(pipeline: Pipeline, num_batches: int) -> tuple[float, float, int]:
    """Returns seconds, seconds of CPU time, and the number of images, after the warm-up."""
    images = 0
    batches = iter(pipeline(WARM_UP_BATCHES + num_batches))
    for _ in range(WARM_UP_BATCHES):
        next(batches)
    begun, begun_cpu = time.perf_counter(), time.process_time()
    for inputs, _ in batches:
        images += len(inputs)
    return time.perf_counter() - begun, time.process_time() - begun_cpu, images


# --- kx


def kx_pipeline(stored: Stored, augment: str) -> Pipeline:
    """Returns kx's training stream, as `augment=…` has it."""
    config = compose(["data=cifar10", f"augment={augment}"]).config
    batches_per_epoch = stored.num_batches(BATCH_SIZE, drop_remainder=True)

    def pipeline(num_batches: int) -> tf.data.Dataset:
        stream = train_batches(
            stored,
            batch_size=BATCH_SIZE,
            epochs=-(-num_batches // batches_per_epoch),
            seed=0,
            encode=partial(tf.one_hot, depth=10),
            augment=chain(config.augment),
        )
        return stream.take(num_batches)

    return pipeline


# --- the other ways


def other_ways(stored: Stored) -> dict[str, Pipeline]:
    """Returns name to pipeline: hand-written ones, and that of Keras's layers."""
    layers = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomTranslation(4 / 32, 4 / 32, fill_mode="constant"),
        ]
    )
    return {
        "tf.image, a map over single images": partial(per_image, stored),
        "Keras RandomFlip + RandomTranslation on batches": partial(
            per_batch, stored, lambda images: layers(images, training=True)
        ),
        "two batched gathers": partial(per_batch, stored, crop_flip.two_gathers),
        "one flat gather, written by hand": partial(per_batch, stored, crop_flip.one_flat_gather),
    }


def per_image(stored: Stored, num_batches: int) -> tf.data.Dataset:
    """Augments single images, then batches: the usual script with `tf.image`."""

    def finish(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return crop_flip.per_image(image), tf.one_hot(label, 10)

    examples = tf.data.Dataset.from_tensor_slices((stored.inputs, stored.targets))
    shuffled = examples.shuffle(stored.num_examples).repeat()
    augmented = shuffled.map(finish, num_parallel_calls=NUM_PARALLEL_CALLS)
    return finished(augmented.batch(BATCH_SIZE), num_batches)


def per_batch(
    stored: Stored, augment: Callable[[tf.Tensor], tf.Tensor], num_batches: int
) -> tf.data.Dataset:
    """Shuffles and batches indices, then gathers and augments a batch at a time."""

    def finish(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = tf.gather(stored.inputs, index), tf.gather(stored.targets, index)
        return augment(images), tf.one_hot(labels, 10)

    indices = tf.data.Dataset.range(stored.num_examples).shuffle(stored.num_examples)
    batches = indices.batch(BATCH_SIZE, drop_remainder=True).repeat()
    return finished(batches.map(finish, num_parallel_calls=NUM_PARALLEL_CALLS), num_batches)


def finished(batches: tf.data.Dataset, num_batches: int) -> tf.data.Dataset:
    """Prefetches, with autotuning off."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(PREFETCH_BATCHES).take(num_batches).with_options(options)


if __name__ == "__main__":
    main()
