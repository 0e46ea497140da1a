"""How many images a second does the input pipeline alone give, on its own?

    python benchmarks/pipelines.py --data-dir FOLDER
    python benchmarks/pipelines.py --pairs 9 --images 50000
    python benchmarks/pipelines.py --parts files

ways    32x32x3 uint8 images of CIFAR-10 that are in memory, batches of 128, pad-crop
        by four pixels and flip: kx's `train_batches` with `augment=crop_flip` against
        four other ways to write it. Then each of kx's augmentations, against none.
layers  each augmentation against Keras's layer for it. Bar: at least 1.5 for flip,
        crop_flip, translate, rotate, zoom and randaugment.
files   a folder of 4,800 JPEG files of some 300x400 pixels, decoded, resized to 96x96,
        cropped and flipped, for ten epochs: kx against the best tf.data that we can
        write, which keeps the decoded pictures, too. Bar: at least 0.95 of all epochs.
        The first epoch and those after it by themselves; and kx's look at each file,
        which comes before, once, and belongs to none of them.

All run in one process, in turn, with autotuning off, the same parallelism and the
same prefetching; the first batches of each are not counted (of files: the first round).
kx also draws its random numbers by (seed, epoch, example), so that a run can be
repeated; the others draw from TensorFlow's global generator.

Prints images/s (wall clock), images per second of CPU time, which a busy machine
disturbs less, and kx's rate over each other one: the median of the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from common import arguments, heading, median, ratio
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from sides import crop_flip  # noqa: E402

from kx.config import CONF_DIR, compose  # noqa: E402
from kx.contracts.specs import Data  # noqa: E402
from kx.data.augment import Augment, chain  # noqa: E402
from kx.data.batches import train_batches  # noqa: E402
from kx.data.sources.images.folder.images import image_folder  # noqa: E402
from kx.data.sources.images.tfds import tfds_images  # noqa: E402
from kx.data.split.divided import divided
from kx.data.store import NUM_PARALLEL_CALLS, Stored, store  # noqa: E402

BATCH_SIZE = 128
WARM_UP_BATCHES = 20
NUM_FILES = 4_800
NUM_EPOCHS = 10  # of the files
SIZE = (96, 96)  # height, width
PREFETCH_BATCHES = 4

Pipeline = Callable[[int], tf.data.Dataset]  # number of batches -> batches


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--images", type=int, default=50_000, help="of each measurement")
    parts = {"ways": ways, "layers": layers, "files": files}
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    args = parser.parse_args()
    if args.quick:
        args.images = 1_280
    keras.utils.set_random_seed(0)
    for part in args.parts:
        parts[part](args)


def cifar10(args: argparse.Namespace) -> Stored:
    """Returns the training images, in memory."""
    return store(tfds_images("cifar10", data_dir=args.data_dir, download=False), "train")


def ways(args: argparse.Namespace) -> None:
    stored = cifar10(args)
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


KERAS_LAYERS: dict[str, Callable[[], list[keras.layers.Layer]]] = {
    "flip": lambda: [keras.layers.RandomFlip("horizontal")],
    "crop_flip": lambda: [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomTranslation(4 / 32, 4 / 32, fill_mode="constant"),
    ],
    "translate": lambda: [keras.layers.RandomTranslation(0.1, 0.1, fill_mode="constant")],
    "rotate": lambda: [keras.layers.RandomRotation(15 / 360, fill_mode="constant")],
    "zoom": lambda: [keras.layers.RandomZoom(0.1, 0.1, fill_mode="constant")],
    "randaugment": lambda: [keras.layers.RandAugment((0, 255), num_ops=2, factor=0.3)],
    "shear": lambda: [keras.layers.RandomShear(0.2, 0.0, fill_mode="constant")],
    "color": lambda: [
        keras.layers.RandomColorJitter(
            (0, 255), brightness_factor=0.2, contrast_factor=0.2, saturation_factor=0.2,
            hue_factor=0.05,
        )
    ],
    "grayscale": lambda: [keras.layers.RandomGrayscale(0.2)],
    "autocontrast": lambda: [keras.layers.AutoContrast((0, 255))],
    "blur": lambda: [keras.layers.RandomGaussianBlur(0.5, kernel_size=3, sigma=1.0)],
    "erase": lambda: [keras.layers.RandomErasing(0.5)],
    "mixup": lambda: [keras.layers.MixUp(0.2)],
    "cutmix": lambda: [keras.layers.CutMix(1.0)],
}  # fmt: skip
WITH_BAR = ("flip", "crop_flip", "translate", "rotate", "zoom", "randaugment")


def layers(args: argparse.Namespace) -> None:
    heading("kx's augmentations against Keras's layers")
    stored = cifar10(args)
    for name, make in KERAS_LAYERS.items():
        sides = {
            name: kx_pipeline(stored, name),
            f"Keras, {name}": partial(keras_layers, stored, keras.Sequential(make())),
        }
        rates = measure_all(args, sides)
        bar = 1.5 if name in WITH_BAR else None
        ratio(f"{name}: kx / Keras", *rates.values(), at_least=bar)


def keras_layers(stored: Stored, model: keras.Sequential, num_batches: int) -> tf.data.Dataset:
    """Augments batches by Keras's layers, in tf.data as their guide has it."""
    mixes = isinstance(model.layers[0], keras.layers.MixUp | keras.layers.CutMix)

    def finish(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.gather(stored.inputs, index)
        labels = tf.one_hot(tf.gather(stored.targets, index), 10)
        if mixes:
            mixed = model.layers[0]({"images": images, "labels": labels}, training=True)
            return mixed["images"], mixed["labels"]
        return model(images, training=True), labels

    return batches_of(stored, finish, num_batches)


# --- files


def files(args: argparse.Namespace) -> None:
    heading("A folder of JPEG files: kx against hand-written tf.data")
    count = 128 if args.quick else NUM_FILES
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KX_CACHE_DIR"] = str(Path(folder, "cache"))
        pictures = Path(folder, "pictures")
        write_pictures(pictures, count)
        words = {"root": str(pictures), "image_size": SIZE}
        begun = time.perf_counter()
        examples = image_folder(**words, resize="stretch")
        print(f"  the look at each file: {count / (time.perf_counter() - begun):,.0f} files/s")
        data = divided(examples, {"train": np.arange(examples.num_examples)})
        augment = chain(compose(["augment=crop_flip"]).config.augment)
        rates: dict[str, list[list[float]]] = {"kx": [], "tf.data": []}
        for _ in range(args.pairs + 1):  # the first round warms TensorFlow and the disk
            rates["kx"].append(epoch_rates(partial(kx_batches, data, augment), count))
            plain = partial(plain_batches, pictures, count)
            rates["tf.data"].append(epoch_rates(plain, count))
    found = {
        name: {
            "first epoch": [one[0] for one in many],
            "an epoch after it": [statistics.median(one[1:]) for one in many],
            f"all {NUM_EPOCHS} epochs": [statistics.harmonic_mean(one) for one in many],
        }
        for name, many in ((name, rounds[1:]) for name, rounds in rates.items())
    }
    for what in found["kx"]:
        for name in found:
            median(f"{name}, {what}", found[name][what], "images/s")
        bar = {"at_least": 0.95} if what.startswith("all") else {}
        ratio(f"{what}: kx / tf.data", found["kx"][what], found["tf.data"][what], **bar)


def write_pictures(folder: Path, count: int) -> None:
    """Writes smooth pictures with some noise, as photographs are, in four classes."""
    generator = np.random.default_rng(0)
    for number in range(count):
        height, width = generator.integers(250, 350), generator.integers(330, 470)
        coarse = generator.integers(0, 256, (12, 16, 3)).astype("uint8")
        picture = Image.fromarray(coarse).resize((int(width), int(height)), Image.BICUBIC)
        noise = generator.integers(-12, 12, (height, width, 3))
        pixels = np.clip(np.asarray(picture, "int32") + noise, 0, 255).astype("uint8")
        place = folder / f"class_{number % 4}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number:05d}.jpg", quality=85)


def epoch_rates(make: Callable[[], tf.data.Dataset], count: int) -> list[float]:
    """Returns images/s of each epoch, the first one with the making of the pipeline."""
    per_epoch = count // BATCH_SIZE
    rates = []
    begun = time.perf_counter()
    for number, (images, _) in enumerate(make(), 1):
        assert images.shape[0] == BATCH_SIZE
        if number % per_epoch == 0:
            rates.append(per_epoch * BATCH_SIZE / (time.perf_counter() - begun))
            begun = time.perf_counter()
    assert len(rates) == NUM_EPOCHS
    return rates


def kx_batches(data: Data, augment: Augment) -> tf.data.Dataset:
    """Returns the batches of kx, whose preparation belongs to the first epoch."""
    return train_batches(
        store(data, "train"), batch_size=BATCH_SIZE, epochs=NUM_EPOCHS, seed=0,
        encode=partial(tf.one_hot, depth=4), augment=augment,
    )  # fmt: skip


def plain_batches(folder: Path, count: int) -> tf.data.Dataset:
    """Returns hand-written batches: decoded in parallel, kept in memory, augmented by batch."""
    paths = sorted(map(str, folder.glob("*/*.jpg")))
    labels = [int(Path(path).parent.name[-1]) for path in paths]

    def read(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        image = tf.image.resize(image, SIZE, antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8), label

    def finish(images: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.ensure_shape(images, (BATCH_SIZE, *SIZE, 3))
        return crop_flip.one_flat_gather(images), tf.one_hot(label, 4)

    examples = tf.data.Dataset.from_tensor_slices((paths, labels))
    kept = examples.map(read, num_parallel_calls=NUM_PARALLEL_CALLS).cache()
    batches = kept.shuffle(count).batch(BATCH_SIZE, drop_remainder=True)
    batches = batches.map(finish, num_parallel_calls=NUM_PARALLEL_CALLS)
    return finished(batches.repeat(NUM_EPOCHS), count // BATCH_SIZE * NUM_EPOCHS)


# --- measuring


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

    return batches_of(stored, finish, num_batches)


def batches_of(
    stored: Stored, finish: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]], num_batches: int
) -> tf.data.Dataset:
    """Shuffles and batches indices, and makes each batch of them a batch of examples."""
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
