"""Checks the contract of a model builder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from kx.contracts.specs import Outputs, Spec
from kx.fit.assemble import refuse_own_steps
from kx.testing.contract import random_inputs, require


def check_model(
    builder: Callable[[Spec, Outputs], keras.Model],
    inputs: Spec,
    outputs: Outputs | None = None,
    *,
    unused: float = 0.5,
) -> None:
    """Checks that a builder returns uncompiled models of raw scores that train, save and load.

    Args:
        builder: Function `(inputs, outputs) -> keras.Model`; give it sizes with
            `functools.partial`.
        inputs: Spec of one prepared example.
        outputs: Outputs of the model. Defaults to None: four units.
        unused: Largest fraction of the trainable weights that a training step may leave as they
            are: a bias without effect, a shift of a normalization. Defaults to 0.5.

    Raises:
        ContractError: If a part of the contract does not hold.

    Example:
    >>> from kx.models.tables.dense import linear
    >>> check_model(linear, Spec((3,), "float32"), Outputs(2))
    """
    outputs = outputs or Outputs(4)
    model = builder(inputs, outputs)
    _check_form(model, inputs, outputs)
    other = builder(inputs, outputs)
    shared = {id(v) for v in model.variables} & {id(v) for v in other.variables}
    require(not shared, f"expected new weights at each call; {len(shared)} are of both models.")
    _check_training(model, inputs, outputs, unused)
    _check_file(model, inputs)


def _check_form(model: keras.Model, inputs: Spec, outputs: Outputs) -> None:
    require(isinstance(model, keras.Model), f"expected a keras.Model. Received: {model!r}.")
    require(not model.compiled, "expected an uncompiled model: kx compiles it for the task.")
    refuse_own_steps(model)
    expected = (None, *inputs.shape)
    require(
        model.input_shape == expected,
        f"expected inputs of shape {expected}. Received: {model.input_shape}.",
    )
    require(
        model.output_shape == (None, outputs.units),
        f"expected scores of shape {(None, outputs.units)}. Received: {model.output_shape}.",
    )
    scores = keras.ops.convert_to_numpy(model(random_inputs(inputs, 2), training=False))
    require(scores.dtype == keras.config.floatx(), f"expected float scores, not {scores.dtype}.")
    require(bool(np.isfinite(scores).all()), "expected finite scores of random inputs.")
    sums_to_one = outputs.units > 1 and np.allclose(scores.sum(axis=-1), 1.0, atol=1e-4)
    require(
        not (sums_to_one and (scores >= 0).all()),
        "expected raw scores (logits). Received: probabilities; remove the softmax, which the loss"
        " and the predictions apply.",
    )


def _check_training(model: keras.Model, inputs: Spec, outputs: Outputs, unused: float) -> None:
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]
    require(bool(before), "expected trainable weights. Received: none.")
    model.compile("adam", keras.losses.MeanSquaredError())
    targets = np.random.default_rng(1).normal(size=(8, outputs.units)).astype("float32")
    model.fit(random_inputs(inputs, 8), targets, epochs=1, verbose=0)
    same = [
        weight.path
        for weight, was in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(was, keras.ops.convert_to_numpy(weight))
    ]
    require(
        len(same) <= unused * len(before),
        f"expected that a training step changes the weights. Unchanged: {', '.join(same)}.",
    )


def _check_file(model: keras.Model, inputs: Spec) -> None:
    examples = random_inputs(inputs, 2, seed=2)
    expected = keras.ops.convert_to_numpy(model(examples, training=False))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        loaded = keras.models.load_model(path)
    scores = keras.ops.convert_to_numpy(loaded(examples, training=False))
    require(
        np.array_equal(scores, expected),
        "expected the same scores from a saved and loaded model. Largest difference:"
        f" {np.abs(scores - expected).max()}.",
    )
