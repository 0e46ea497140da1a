"""The learner of adversarial generation: a generator and its critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from kx.errors import ConfigError


@dataclass(frozen=True)
class Game:
    """Holds the rules by which both networks learn; see `adversarial`."""

    loss: str
    latent_size: int
    critic_steps: int
    critic_learning_rate: float | None
    gradient_penalty: float


class _Slower(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of batches, for an optimizer that makes several steps in each."""

    def __init__(self, schedule: Any, num_steps: int) -> None:
        super().__init__()
        self.schedule, self.num_steps = schedule, num_steps

    def __call__(self, step: Any) -> Any:
        return self.schedule(step // self.num_steps)


class Adversary(keras.Model):
    """Trains a generator and a critic, each with an optimizer of its own.

    Args:
        generator: Model that is kept, from noise to scores whose sigmoid is a pixel.
        critic: Model from images in [-1, 1] to one score for each.
        game: Rules by which both learn.
    """

    def __init__(self, generator: keras.Model, critic: keras.Model, game: Game) -> None:
        super().__init__(name=generator.name)
        self.generator, self.critic, self.game = generator, critic, game
        self.random = keras.random.SeedGenerator()
        self.generator_loss = keras.metrics.Mean(name="generator_loss")
        self.critic_loss = keras.metrics.Mean(name="critic_loss")
        self.built = True

    def compile(self, optimizer: keras.optimizers.Optimizer, **options: Any) -> None:  # type: ignore[override]
        """Compiles the learner, and makes the critic's optimizer.

        Args:
            optimizer: Optimizer of the generator.
            **options: Further arguments of `keras.Model.compile`.
        """
        super().compile(optimizer=optimizer, **options)
        # That of mixed_float16 is in one that scales the loss.
        inner: Any = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        values = inner.get_config()
        rate, own_rate = inner._learning_rate, self.game.critic_learning_rate
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            if own_rate is not None:
                raise ConfigError(
                    "task.critic_learning_rate: with a schedule, the critic has that of the"
                    " optimizer. task.critic_learning_rate=null, or schedule=none."
                )
            values["learning_rate"] = _Slower(rate, self.game.critic_steps)
        elif own_rate is not None:
            values["learning_rate"] = own_rate
        critics = type(inner).from_config(values)
        if inner is not self.optimizer:
            critics = keras.optimizers.LossScaleOptimizer(critics)
        self.critic_optimizer = critics
        self.optimizer.build(self.generator.trainable_variables)
        self.critic_optimizer.build(self.critic.trainable_variables)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The optimizers of the generator and of the critic."""
        return [self.optimizer, self.critic_optimizer]

    def call(self, noise: Any, training: bool = False) -> Any:
        """Returns the scores of generated images."""
        return self.generator(noise, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Lets the critic learn from a batch of images, and then the generator from the critic.

        Args:
            data: Batch of images, and whatever the data has beside them.
        """
        images, _, weights = keras.utils.unpack_x_y_sample_weight(data)
        if weights is not None:
            raise ConfigError("task=adversarial: weights of examples have no effect on it.")
        real = tf.cast(images, tf.float32) / 127.5 - 1
        for _ in range(self.game.critic_steps):
            self._teach_critic(real)
        self._teach_generator(tf.shape(real)[0])
        return {"generator_loss": self.generator_loss.result(),
                "critic_loss": self.critic_loss.result()}  # fmt: skip

    def test_step(self, data: Any) -> dict[str, Any]:
        """Judges validation images and as many new ones, without a change.

        Args:
            data: Batch of images, and whatever the data has beside them.
        """
        images = keras.utils.unpack_x_y_sample_weight(data)[0]
        real = tf.cast(images, tf.float32) / 127.5 - 1
        made = self._made(tf.shape(real)[0], training=False)
        judged = self._scores(made, training=False), self._scores(real, training=False)
        self.generator_loss.update_state(self._loss_of_generator(judged[0]))
        self.critic_loss.update_state(self._loss_of_critic(*judged))
        return {"generator_loss": self.generator_loss.result(),
                "critic_loss": self.critic_loss.result()}  # fmt: skip

    def _made(self, count: Any, *, training: bool) -> Any:
        """Returns new images in [-1, 1]."""
        noise = keras.random.normal(
            (count, self.game.latent_size), dtype="float32", seed=self.random
        )
        return 2 * tf.sigmoid(tf.cast(self.generator(noise, training=training), tf.float32)) - 1

    def _scores(self, images: Any, *, training: bool) -> Any:
        return tf.cast(self.critic(images, training=training), tf.float32)

    def _loss_of_generator(self, made: Any) -> Any:
        if self.game.loss == "wasserstein":
            return -tf.reduce_mean(made)
        return tf.reduce_mean(tf.nn.softplus(-made))

    def _loss_of_critic(self, made: Any, real: Any) -> Any:
        if self.game.loss == "wasserstein":
            return tf.reduce_mean(made) - tf.reduce_mean(real)
        return tf.reduce_mean(tf.nn.softplus(made)) + tf.reduce_mean(tf.nn.softplus(-real))

    def _teach_critic(self, real: Any) -> None:
        made = self._made(tf.shape(real)[0], training=True)
        with tf.GradientTape() as tape:
            judged = self._scores(made, training=True), self._scores(real, training=True)
            loss = self._loss_of_critic(*judged)
            if self.game.gradient_penalty:
                loss += self.game.gradient_penalty * self._penalty(real, made)
            scaled = self.critic_optimizer.scale_loss(loss)
        weights = self.critic.trainable_variables
        self.critic_optimizer.apply(tape.gradient(scaled, weights), weights)
        self.critic_loss.update_state(loss)

    def _penalty(self, real: Any, made: Any) -> Any:
        """Returns how far the norm of the critic's gradient is from 1, between both images."""
        share = keras.random.uniform(
            (tf.shape(real)[0], 1, 1, 1), dtype="float32", seed=self.random
        )
        between = real + share * (made - real)
        with tf.GradientTape() as tape:
            tape.watch(between)
            scores = self._scores(between, training=True)
        slopes = tape.gradient(scores, between)
        norms = tf.sqrt(tf.reduce_sum(slopes**2, axis=(1, 2, 3)) + 1e-12)
        return tf.reduce_mean((norms - 1) ** 2)

    def _teach_generator(self, count: Any) -> None:
        with tf.GradientTape() as tape:
            made = self._made(count, training=True)
            loss = self._loss_of_generator(self._scores(made, training=True))
            scaled = self.optimizer.scale_loss(loss)
        weights = self.generator.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, weights), weights)
        self.generator_loss.update_state(loss)
