"""A hand-written DCGAN, or with --penalty a WGAN-GP, on the nets of kx.

The recipes are those of https://www.tensorflow.org/tutorials/generative/dcgan (two optimizers, one
tf.function for a step, the non-saturating loss) and of
https://keras.io/examples/generative/wgan_gp (several steps of the critic on one batch). With --fit
the step is the `train_step` of a keras.Model, as in
https://keras.io/examples/generative/dcgan_overriding_train_step. Prints the seconds of each epoch's
steps, and writes images that the generator makes.

    plain_gan.py --images images.npy --epochs 5 --samples samples.npy
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from clock import EpochClock
from result import print_result


def networks(
    shape: tuple[int, ...], latent_size: int, filters: list[int], critic_filters: list[int],
    kernel_size: int, dropout: float,
) -> tuple[keras.Model, keras.Model]:  # fmt: skip
    """Returns a generator and a discriminator as `model=dcgan` has them."""
    scale = 2 ** len(filters)
    first = (-(-shape[0] // scale), -(-shape[1] // scale), filters[0])
    layers = [
        keras.Input((latent_size,)),
        keras.layers.Dense(int(np.prod(first)), use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Reshape(first),
    ]
    for count in filters[1:]:
        layers += [
            keras.layers.Conv2DTranspose(
                count, kernel_size, strides=2, padding="same", use_bias=False
            ),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    last = keras.layers.Conv2DTranspose(shape[-1], kernel_size, strides=2, padding="same")
    generator = keras.Sequential([*layers, last])
    judge = [keras.Input(shape)]
    for count in critic_filters:
        judge += [
            keras.layers.Conv2D(count, kernel_size, strides=2, padding="same"),
            keras.layers.LeakyReLU(0.2),
            keras.layers.Dropout(dropout),
        ]
    return generator, keras.Sequential([*judge, keras.layers.Flatten(), keras.layers.Dense(1)])


class Gan(keras.Model):
    """Trains two networks with `fit`: the means of their losses are its metrics."""

    def __init__(
        self, generator: keras.Model, judge: keras.Model, step: Callable[[Any], Any]
    ) -> None:
        super().__init__()
        self.generator, self.judge, self.step = generator, judge, step
        self.means = {
            name: keras.metrics.Mean(name=name) for name in ("generator_loss", "critic_loss")
        }

    def train_step(self, data: Any) -> dict[str, Any]:
        """Trains one step on a batch of images."""
        for name, loss in self.step(data).items():
            self.means[name].update_state(loss)
        return {name: mean.result() for name, mean in self.means.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True)
    parser.add_argument("--samples", default="")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--latent-size", type=int, default=64)
    parser.add_argument("--filters", type=int, nargs="+", default=[128, 64])
    parser.add_argument("--critic-filters", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--kernel-size", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--beta-1", type=float, default=0.5)
    parser.add_argument("--beta-2", type=float, default=0.999)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--penalty", type=float, default=0.0)
    parser.add_argument("--critic-steps", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fit", action="store_true")
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    images = np.load(args.images)
    generator, judge = networks(
        images.shape[1:], args.latent_size, args.filters, args.critic_filters, args.kernel_size,
        args.dropout,
    )  # fmt: skip
    optimizers = [
        keras.optimizers.Adam(args.learning_rate, args.beta_1, args.beta_2) for _ in range(2)
    ]
    for optimizer, model in zip(optimizers, (generator, judge), strict=True):
        optimizer.build(model.trainable_variables)

    def made(count: tf.Tensor) -> tf.Tensor:
        noise = tf.random.normal([count, args.latent_size])
        return 2 * tf.sigmoid(generator(noise, training=True)) - 1

    def teach_judge(real: tf.Tensor) -> tf.Tensor:
        fake = made(tf.shape(real)[0])
        with tf.GradientTape() as tape:
            of_fake, of_real = judge(fake, training=True), judge(real, training=True)
            if args.penalty:
                share = tf.random.uniform([tf.shape(real)[0], 1, 1, 1])
                between = real + share * (fake - real)
                with tf.GradientTape() as inner:
                    inner.watch(between)
                    scores = judge(between, training=True)
                slopes = inner.gradient(scores, between)
                norms = tf.sqrt(tf.reduce_sum(slopes**2, axis=[1, 2, 3]) + 1e-12)
                loss = tf.reduce_mean(of_fake) - tf.reduce_mean(of_real)
                loss += args.penalty * tf.reduce_mean((norms - 1) ** 2)
            else:
                loss = tf.reduce_mean(tf.nn.softplus(of_fake))
                loss += tf.reduce_mean(tf.nn.softplus(-of_real))
        weights = judge.trainable_variables
        optimizers[1].apply(tape.gradient(loss, weights), weights)
        return loss

    @tf.function
    def step(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        real = tf.cast(batch, tf.float32) / 127.5 - 1
        for _ in range(args.critic_steps):
            of_judge = teach_judge(real)
        with tf.GradientTape() as tape:
            scores = judge(made(tf.shape(real)[0]), training=True)
            loss = tf.reduce_mean(-scores if args.penalty else tf.nn.softplus(-scores))
        weights = generator.trainable_variables
        optimizers[0].apply(tape.gradient(loss, weights), weights)
        return {"generator_loss": loss, "critic_loss": of_judge}

    options = tf.data.Options()
    options.autotune.enabled = False  # the stream of kx has it off, too: it stalls between epochs
    batches = (
        tf.data.Dataset.from_tensor_slices(images)
        .shuffle(len(images))
        .batch(args.batch_size, drop_remainder=True)
        .prefetch(4)
        .with_options(options)
    )
    if args.fit:
        trained = Gan(generator, judge, step)
        trained.compile()
        trained.fit(batches, epochs=args.epochs, callbacks=[EpochClock()], verbose=0)
        seconds = EpochClock.step_seconds()
    else:
        seconds = []
        for _ in range(args.epochs):
            begun = time.perf_counter()
            for batch in batches:
                step(batch)
            seconds.append(time.perf_counter() - begun)
    if args.samples:
        noise = np.random.default_rng(0).normal(size=(1000, args.latent_size)).astype("float32")
        np.save(args.samples, tf.sigmoid(generator(noise, training=False)).numpy())
    print_result(step_seconds=seconds)


if __name__ == "__main__":
    main()
