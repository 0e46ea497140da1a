"""Checks the contract of a model builder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kx.contracts.fields import map_fields, values_of
from kx.contracts.specs import Outputs, Specs
from kx.fit.model.checks import ends_of, refuse_own_steps
from kx.testing.contract import random_inputs, require


def check_model(
    builder: Callable[[Any, Any], keras.Model],
    inputs: Specs,
    outputs: Outputs | Mapping[str, Outputs] | None = None,
    *,
    unused: float = 0.5,
) -> None:
    """Checks that a builder returns uncompiled models of raw scores that train, save and load.

    Args:
        builder: Function `(inputs, outputs) -> keras.Model`; give it sizes with
            `functools.partial`.
        inputs: Spec of one prepared example, or of each of its fields.
        outputs: Output of the model, or outputs by name. Defaults to None: four units.
        unused: Largest fraction of the trainable weights that a training step may leave as they
            are: a bias without effect, a shift of a normalization. Defaults to 0.5.

    Raises:
        ContractError: If a part of the contract does not hold.

    Example:
    >>> from kx.data import Spec
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


def _check_form(
    model: keras.Model, inputs: Specs, outputs: Outputs | Mapping[str, Outputs]
) -> None:
    require(isinstance(model, keras.Model), f"expected a keras.Model. Received: {model!r}.")
    require(not model.compiled, "expected an uncompiled model: kx compiles it for the task.")
    refuse_own_steps(model)
    takes, gives = map(_shapes, ends_of(model))
    expected = map_fields(lambda spec: (None, *spec.shape), inputs)
    require(_fits(takes, expected), f"expected inputs of shape {expected}. Received: {takes}.")
    wanted = map_fields(lambda one: (None, *one.shape), outputs)
    require(gives == wanted, f"expected scores of shape {wanted}. Received: {gives}.")
    found = model(map_fields(lambda spec: random_inputs(spec, 2), inputs), training=False)
    for scores in map(keras.ops.convert_to_numpy, values_of(found)):
        kind = keras.config.floatx()
        require(scores.dtype == kind, f"expected float scores, not {scores.dtype}.")
        require(bool(np.isfinite(scores).all()), "expected finite scores of random inputs.")
        sums = np.allclose(scores.sum(axis=-1), 1.0, atol=1e-4)
        require(
            not (scores.shape[-1] > 1 and sums and (scores >= 0).all()),
            "expected raw scores (logits). Received: probabilities; remove the softmax, which the"
            " loss and the predictions apply.",
        )


def _fits(taken: Any, expected: Any) -> bool:
    """Returns whether a model takes inputs of some shapes; one axis of it may take any size."""
    if isinstance(expected, Mapping):
        return taken.keys() == expected.keys() and all(
            _fits(taken[n], expected[n]) for n in expected
        )
    return len(taken) == len(expected) and all(
        one is None or one == other for one, other in zip(taken, expected, strict=True)
    )


def _shapes(tensors: Any) -> Any:
    return map_fields(lambda tensor: tuple(tensor.shape), tensors)


def _check_training(
    model: keras.Model,
    inputs: Specs,
    outputs: Outputs | Mapping[str, Outputs],
    unused: float,
) -> None:
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]
    require(bool(before), "expected trainable weights. Received: none.")
    model.compile("adam", map_fields(lambda _: keras.losses.MeanSquaredError(), outputs))
    model.optimizer.build(model.trainable_variables)  # else its first step is traced twice
    generator = np.random.default_rng(1)

    def numbers(output: Outputs) -> np.ndarray:
        shape = (8, *(size or 1 for size in output.shape))
        if output.along is not None:  # scores for each token of a text
            spec = inputs[output.along] if isinstance(inputs, Mapping) else inputs
            shape = (8, spec.shape[0], output.units)
        return generator.normal(size=shape).astype("float32")

    examples = map_fields(lambda spec: random_inputs(spec, 8), inputs)
    model.fit(examples, map_fields(numbers, outputs), epochs=1, verbose=0)
    same = [
        weight.path
        for weight, was in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(was, keras.ops.convert_to_numpy(weight))
    ]
    require(
        len(same) <= unused * len(before),
        f"expected that a training step changes the weights. Unchanged: {', '.join(same)}.",
    )


def _check_file(model: keras.Model, inputs: Specs) -> None:
    examples = map_fields(lambda spec: random_inputs(spec, 2, seed=2), inputs)
    expected = model(examples, training=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        loaded = keras.models.load_model(path)
    scores = loaded(examples, training=False)
    for before, after in zip(values_of(expected), values_of(scores), strict=True):
        one, other = keras.ops.convert_to_numpy(before), keras.ops.convert_to_numpy(after)
        require(
            np.array_equal(one, other),
            "expected the same scores from a saved and loaded model. Largest difference:"
            f" {np.abs(one - other).max()}.",
        )
