"""Reconstruction: autoencoders, one of which draws its code in training."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import kx
from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.images.autoencoder import DrawnCode, vae

WORDS = ["data=digits", "task=reconstruction", "augment=none", "split.limit=300"]
WORDS += ["optimizer.learning_rate=0.01", "report.num_bootstrap_samples=20"]


@pytest.mark.parametrize("model", ["vae", pytest.param("autoencoder", marks=pytest.mark.slow)])
def test_an_autoencoder_is_reported_exported_and_asked_without_chance(
    project: Path, tmp_path: Path, model: str
) -> None:
    small = [f"model={model}", "model.filters=[8,8]", "model.latent_units=8", "epochs=6"]
    run = kx.train(*WORDS, *small, quiet=True)
    losses = run.history["train/loss"]
    assert losses[-1] < losses[0]
    found = run.metrics
    assert found["test/mean_squared_error"] == pytest.approx(found["test/squared_error"], rel=1e-5)
    expected = -10 * np.log10(found["test/mean_squared_error"])
    assert found["test/psnr"] == pytest.approx(expected)
    assert run.artifact("report/test/reconstructions.png").is_file()
    raw, answers = run.bundle().examples()
    again = kx.load_run(run.id).predictor.answers(raw)
    for name in ("reconstruction", "squared_error"):
        np.testing.assert_allclose(again[name], answers[name], atol=1e-6)
    images = np.stack([tf.io.decode_png(one).numpy() for one in raw.numpy()]) / 255
    gaps = np.square(answers["reconstruction"] - images).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(answers["squared_error"], gaps, rtol=1e-4)
    folder = run.export(tmp_path / "exported")
    served = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    twice = [served(inputs=raw)["reconstruction"].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*twice)
    np.testing.assert_allclose(twice[0], answers["reconstruction"], atol=1e-5)


def test_a_drawn_code_is_the_mean_outside_of_training_and_adds_the_divergence() -> None:
    layer = DrawnCode(0.5, seed=1)
    mean = np.array([[1.0, -2.0]], "float32")
    log_variance = np.array([[0.0, np.log(4.0)]], "float32")
    np.testing.assert_array_equal(layer([mean, log_variance], training=False), mean)
    # KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1 - log s^2) / 2, summed over the code.
    divergence = (1 + 1 - 1) / 2 + (4 + 4 - 1 - np.log(4)) / 2
    assert float(layer.losses[0]) == pytest.approx(0.5 * divergence, rel=1e-6)
    many = np.repeat(mean, 20_000, axis=0), np.repeat(log_variance, 20_000, axis=0)
    drawn = keras.ops.convert_to_numpy(layer(list(many), training=True))
    np.testing.assert_allclose(drawn.mean(axis=0), mean[0], atol=0.05)
    np.testing.assert_allclose(drawn.std(axis=0), [1.0, 2.0], atol=0.05)


def test_the_loss_of_a_vae_is_the_mean_of_the_pixels_and_the_divergence() -> None:
    """The bound of Kingma & Welling, section 3, divided by the number of pixels."""
    inputs, outputs = Spec((4, 4, 1), "float32"), Outputs(1, axes=(4, 4))
    model = vae(inputs, outputs, filters=[2], latent_units=2, beta=3.0)
    image = np.random.default_rng(0).random((5, 4, 4, 1)).astype("float32")
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    whole = model.evaluate(image, image, verbose=0)
    scores = keras.ops.convert_to_numpy(model(image, training=False))
    entropy = np.mean(np.logaddexp(0, scores) - image * scores)
    code = keras.Model(model.input, [model.get_layer(n).output for n in ("code", "log_variance")])
    mean, log_variance = (keras.ops.convert_to_numpy(one) for one in code(image))
    each = (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=-1) / 2
    assert whole == pytest.approx(entropy + 3.0 * each.mean() / 16, rel=1e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=wine", "task=reconstruction"], "expects images"),
        (["data=digits", "task=reconstruction", "augment=none"], "must give 1 scores"),
        (["data=digits", "model=vae"], "gives scores at each pixel"),
    ],
)
def test_parts_that_do_not_fit_are_refused(project: Path, words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        kx.train(*words, "epochs=1", "tracking=none", quiet=True)
