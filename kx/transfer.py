"""Plans of transfer learning: which layers learn when, and how fast.

Each is `(epochs, *, …) -> list[Phase]`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras

from kx.errors import ConfigError, did_you_mean
from kx.types import Positive


@dataclass(frozen=True)
class Phase:
    """Holds a part of a training, with an optimizer of its own.

    Args:
        name: as users see it.
        last_epoch: after which it ends, if EarlyStopping or the training has not ended before.
        learning_rate: in place of the optimizer's. Defaults to None: the optimizer's.
        prepare: function that says which layers of the model learn. Defaults to None:
            they stay as they are.
    """

    name: str
    last_epoch: int
    learning_rate: float | None = None
    prepare: Callable[[keras.Model], None] | None = None


def fine_tune(
    epochs: int,
    *,
    frozen_epochs: int = 5,
    fine_tune_at: int | str | None = None,
    learning_rate: Positive = 1e-5,
    base: str = "base",
) -> list[Phase]:
    """Trains what is above a base first, then the base too, or its upper layers.

    The base's batch normalizations never learn: their statistics are those of the many
    images that the base was trained on.

    Args:
        epochs: of the whole training.
        frozen_epochs: the first of them, in which the base stays as it is.
        fine_tune_at: the first layer of the base that learns after them: its name, or its
            number, from the end if it is negative. Defaults to None: all learn.
        learning_rate: after them.
        base: name of the layer of the model that is the base.

    Returns:
        Both phases; one alone if `frozen_epochs` is 0.

    Raises:
        ConfigError: if `frozen_epochs` is negative.

    Source: Yosinski et al. 2014, "How transferable are features in deep neural networks?";
    Kornblith et al. 2019, section 4.

    Example:
    >>> [phase.name for phase in fine_tune(20, frozen_epochs=5, fine_tune_at=-30)]
    ['frozen', 'fine_tune']
    """
    if frozen_epochs < 0:
        raise ConfigError(f"transfer.frozen_epochs: expected 0 or more. Received: {frozen_epochs}.")

    def freeze(model: keras.Model) -> None:
        _base(model, base).trainable = False

    def thaw(model: keras.Model) -> None:
        _thaw(_base(model, base), fine_tune_at)

    frozen = Phase("frozen", frozen_epochs, prepare=freeze)
    tuned = Phase("fine_tune", epochs, learning_rate, thaw)
    return [frozen, tuned] if frozen_epochs else [tuned]


def _base(model: keras.Model, name: str) -> keras.Model:
    """Returns the layer of a model, or of one within it, that is the base.

    Raises:
        ConfigError: with the names of those that could be it.
    """
    inner = {layer.name: layer for layer in _inner_models(model)}
    if name in inner:
        return inner[name]
    there = [other for other in inner if other != model.name]
    raise ConfigError(
        f"transfer.base={name}: the model {model.name!r} has no such model within it."
        + (
            f" {did_you_mean(name, there)}"
            if there
            else " It has none: take model=resnet, wide_resnet, or one of keras.applications"
            " (mobilenet, resnet50 …), or let your builder call a keras.Model of that name as a"
            " layer. To train all in one phase: transfer=none."
        )
    )


def _inner_models(model: keras.Model) -> Iterator[keras.Model]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield layer
            yield from _inner_models(layer)


def _thaw(base: keras.Model, fine_tune_at: int | str | None) -> None:
    """Lets a base learn from a layer on, its batch normalizations excepted."""
    names = [layer.name for layer in base.layers]
    if isinstance(fine_tune_at, str):
        if fine_tune_at not in names:
            close = difflib.get_close_matches(fine_tune_at, names, n=5)
            raise ConfigError(
                f"transfer.fine_tune_at: the base {base.name!r} has no layer {fine_tune_at!r}."
                + (f" Did you mean {' or '.join(map(repr, close))}?" if close else "")
                + " `kx summary` with the same words shows all."
            )
        start = names.index(fine_tune_at)
    else:
        start = fine_tune_at or 0
        if not -len(names) <= start < len(names):
            raise ConfigError(
                f"transfer.fine_tune_at: the base {base.name!r} has {len(names)} layers, numbers 0"
                f" to {len(names) - 1}, or -{len(names)} to -1 from the end. Received: {start}."
            )
        start %= len(names)
    base.trainable = True
    for layer in base.layers[:start]:
        layer.trainable = False
    for layer in base._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
