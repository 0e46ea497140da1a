"""Generation of images by two networks: one makes them, the other judges them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import keras
import tensorflow as tf

from kx.contracts.specs import Outputs, Spec, Specs
from kx.contracts.task import Task
from kx.errors import ConfigError
from kx.tasks.images.adversary import Adversary, Game
from kx.types import Count, NonNegative, Positive, RunName


def adversarial(
    targets: Specs,
    inputs: Specs,
    *,
    critic: Callable[[Spec], keras.Model],
    monitor: str | None = None,
    monitor_mode: str = "min",
    loss: Literal["non_saturating", "wasserstein"] = "non_saturating",
    latent_size: Count = 64,
    critic_steps: Count = 1,
    critic_learning_rate: Positive | None = None,
    gradient_penalty: NonNegative = 0.0,
    classifier: RunName | None = None,
    num_samples: Count = 1000,
) -> Task:
    """Makes the task of generating images like those of the data, against a critic.

    The generator is the model that is kept. The critic learns beside it, with an optimizer of the
    same kind. No metric tells which epoch is better: the last one is kept. Augmentations change the
    images that are to be made, too.

    Args:
        targets: Specs of the targets. Not used.
        inputs: Spec of one image of uint8 pixels.
        critic: Function from the spec of one image of floats in [-1, 1] to a model that gives one
            raw score for it.
        monitor: Metric by which epochs and runs are compared. Defaults to None: none.
        monitor_mode: `"max"` or `"min"`. Defaults to `"min"`.
        loss: `"non_saturating"` (Goodfellow et al. 2014), or `"wasserstein"`, with
            `gradient_penalty` about 10 and `critic_steps` about 5 (Gulrajani et al. 2017). Defaults
            to `"non_saturating"`.
        latent_size: Number of random numbers from which an image is made. Defaults to 64.
        critic_steps: Number of steps of the critic for each one of the generator. Defaults to 1.
        critic_learning_rate: Learning rate of the critic. Defaults to None: the optimizer's.
        gradient_penalty: Weight of the squared difference of 1 and the norm of the critic's
            gradient between real and made images. Defaults to 0.
        classifier: RUN of a classification on the same images. The report then compares images in
            its features (Fréchet distance), and counts the classes of what is made. Defaults to
            None: it does not.
        num_samples: Number of images that the report makes. Defaults to 1000.

    Returns:
        Task whose models take noise and give a score for each pixel and channel; its sigmoid is
        the pixel.

    Raises:
        ConfigError: If the inputs are not one image of uint8, or if the critic is not a model of
            such images.

    Source: Goodfellow et al. 2014, "Generative adversarial nets"; Gulrajani et al. 2017, "Improved
    training of Wasserstein GANs"; Heusel et al. 2017, "GANs trained by a two time-scale update
    rule", section 3, for the Fréchet distance.
    """
    image = _image(inputs)
    game = Game(loss, latent_size, critic_steps, critic_learning_rate, gradient_penalty)

    def learner(generator: keras.Model) -> keras.Model:
        if classifier is not None:  # so that a mistake raises before the training
            from kx.tasks.images.samples import judge_of

            judge_of(classifier, image)
        judge = critic(Spec(image.shape, "float32", kind="image"))
        if not isinstance(judge, keras.Model) or judge.output_shape != (None, 1):
            raise ConfigError(
                "task.critic: expected a keras.Model with one score for each image. Received:"
                f" {judge!r}{_shape(judge)}."
            )
        return Adversary(generator, judge, game)

    def report(answers: Any, options: Any) -> Any:
        from kx.report.generated import generated_findings
        from kx.tasks.images.samples import generated, judge_of, untrained

        start = untrained(answers.model, options.seed)
        makes, before = (
            partial(generated, model, decode, latent_size) for model in (answers.model, start)
        )
        judge = None if classifier is None else judge_of(classifier, image)
        return generated_findings(answers, options, makes, before, judge, num_samples)

    return Task(
        outputs=Outputs(image.shape[-1], axes=tuple(image.shape[:-1])),
        encode=None,
        loss=None,
        metrics=list,
        decode=decode,
        report=report,
        monitor=monitor,
        monitor_mode=monitor_mode,
        inputs=Spec((latent_size,), "float32"),
        learner=learner,
        learner_metrics=("generator_loss", "critic_loss", "val_generator_loss", "val_critic_loss"),
    )


def decode(scores: Any) -> dict[str, Any]:
    """Returns the images of a batch of scores, in [0, 1].

    Args:
        scores: Raw scores, shape `(batch, height, width, channels)`.
    """
    return {"image": tf.sigmoid(tf.cast(scores, tf.float32))}


def _image(inputs: Specs) -> Spec:
    if not isinstance(inputs, Spec) or len(inputs.shape) != 3 or inputs.dtype != "uint8":
        form = f"{inputs.dtype} {inputs.shape}" if isinstance(inputs, Spec) else f"{list(inputs)}"
        raise ConfigError(
            "task=adversarial expects images of pixels from 0 to 255, uint8, of shape (height,"
            f" width, channels). Received: {form}."
        )
    return inputs


def _shape(judge: Any) -> str:
    return f", output shape {judge.output_shape}" if isinstance(judge, keras.Model) else ""
