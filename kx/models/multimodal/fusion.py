"""A model of several fields: a tower for each, joined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kx.contracts.fields import named_fields
from kx.contracts.specs import Outputs, Spec
from kx.errors import ConfigError
from kx.models.layers import mean_of_tokens, scores
from kx.models.text.embedding import token_input
from kx.types import Count, Fraction


def fusion(
    inputs: Spec | Mapping[str, Spec],
    outputs: Outputs,
    *,
    filters: list[Count] = [16, 32, 64],  # noqa: B006
    embedding_units: Count = 32,
    units: Count = 64,
    joined_units: Count = 128,
    tower_dropout: Fraction = 0.2,
    dropout: Fraction = 0.3,
) -> keras.Model:
    """Builds a tower for each field by its kind, joins them, and scores what they have found.

    Images pass convolutions and poolings, token ids an embedding whose mean over the text is
    taken, numbers nothing; then each field a dense layer, ReLU and dropout.

    Args:
        inputs: Specs of the fields by name, or of one value.
        outputs: Description of the scores: their number and names.
        filters: Number of filters of each convolution of an image. Defaults to [16, 32, 64].
        embedding_units: Size of a token's embedding. Defaults to 32.
        units: Units of the dense layer of a field. Defaults to 64.
        joined_units: Units of the dense layer after the fields are joined. Defaults to 128.
        tower_dropout: Dropout rate at the end of each tower. Defaults to 0.2.
        dropout: Dropout rate before the scores. Defaults to 0.3.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`.

    Raises:
        ConfigError: If a field has a form that no tower takes.

    Example:
    >>> fields = {"image": Spec((16, 16, 3), "float32"), "age": Spec((1,), "float32")}
    >>> sorted(one.name for one in fusion(fields, Outputs(3)).inputs)
    ['age', 'image']
    """
    xs, found = {}, []
    for name, spec in named_fields(inputs, "inputs").items():
        is_text = spec.vocabulary_size and len(spec.shape) == 1
        xs[name] = token_input(name) if is_text else keras.Input(spec.shape, name=name)
        h = _tower(xs[name], spec, name, filters, embedding_units)
        h = keras.layers.Dense(units, activation="relu", name=f"{name}_dense")(h)
        found.append(keras.layers.Dropout(tower_dropout, name=f"{name}_dropout")(h))
    h = keras.layers.Concatenate()(found) if len(found) > 1 else found[0]
    h = keras.layers.Dense(joined_units, activation="relu")(h)
    h = keras.layers.Dropout(dropout)(h)
    fields = xs if isinstance(inputs, Mapping) else xs["inputs"]
    return keras.Model(fields, scores(h, outputs.units), name="fusion")


def _tower(x: Any, spec: Spec, name: str, filters: list[int], embedding_units: int) -> Any:
    """Returns a vector for each example of a field."""
    if spec.vocabulary_size and len(spec.shape) == 1:
        h = keras.layers.Embedding(spec.vocabulary_size, embedding_units, name=f"{name}_embedding")(
            x
        )
        return mean_of_tokens(h, x)
    if len(spec.shape) == 3:
        h = x
        for number, count in enumerate(filters):
            h = keras.layers.Conv2D(
                count, 3, padding="same", activation="relu", name=f"{name}_conv_{number}"
            )(h)
            h = keras.layers.MaxPooling2D(padding="same", name=f"{name}_pool_{number}")(h)
        return keras.layers.Flatten(name=f"{name}_flat")(h)
    if len(spec.shape) == 1:
        return x
    raise ConfigError(
        f"model=fusion has a tower for images (height, width, channels), token ids and rows of"
        f" numbers. Received: field {name!r} of shape {tuple(spec.shape)}, {spec.dtype}."
    )
