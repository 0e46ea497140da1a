"""Plans of training in phases: which layers are trained when, on which data, at which rate.

Each is a function `(epochs, *, …) -> list[Phase]`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import keras

from kx.contracts.specs import Data
from kx.errors import ConfigError, did_you_mean
from kx.types import Fraction, Positive

_BLOCK = re.compile(r"(.*?(?:block|layer)_?\d+[a-z]?)(?:_|$)")


@dataclass(frozen=True)
class Phase:
    """Holds a phase of a training, which has its own optimizer.

    Args:
        name: Name that is shown to users.
        last_epoch: Number of the last epoch of the phase, counted from 1 over the whole
            training. EarlyStopping, or the end of the training, may end the phase before.
        learning_rate: Learning rate in place of the optimizer's. Defaults to None: the
            optimizer's.
        prepare: Function that sets which layers of the model are trainable. Defaults to
            None: no change.
        data: Function from the data of the run to that of the phase: other examples with the same
            specs and splits. At the end of each later phase, the model is evaluated on the
            validation splits of all such phases so far: `phase/NAME/val_accuracy`. Normalization,
            test split and report are those of the run's data. Defaults to None: that data.
        rates: Function from the model to factors of the learning rate, by the path of a variable.
            Those of variables that it does not name are 1. Defaults to None: one rate for all.
    """

    name: str
    last_epoch: int
    learning_rate: float | None = None
    prepare: Callable[[keras.Model], None] | None = None
    data: Callable[[Data], Data] | None = None
    rates: Callable[[keras.Model], Mapping[str, float]] | None = None


def fine_tune(
    epochs: int,
    *,
    frozen_epochs: int = 5,
    fine_tune_at: int | str | None = None,
    learning_rate: Positive = 1e-5,
    base: str = "base",
) -> list[Phase]:
    """Trains the layers above a base first, then also the base, or its upper layers.

    The base's batch normalizations are never trained: their statistics are those of the many
    images that the base was trained on.

    Args:
        epochs: Number of epochs of the whole training.
        frozen_epochs: Number of epochs at the start in which the base is frozen. Defaults to 5.
        fine_tune_at: First layer of the base that is trained after them: its name, or its
            index, counted from the end if negative. Defaults to None: all layers.
        learning_rate: Learning rate after them. Defaults to 1e-5.
        base: Name of the layer of the model that is the base. Defaults to "base".

    Returns:
        Both phases, or only the second one if `frozen_epochs` is 0.

    Raises:
        ConfigError: If `frozen_epochs` is negative.

    Source: Yosinski et al. 2014, "How transferable are features in deep neural networks?";
    Kornblith et al. 2019, section 4.

    Example:
    >>> [phase.name for phase in fine_tune(20, frozen_epochs=5, fine_tune_at=-30)]
    ['frozen', 'fine_tune']
    """
    if frozen_epochs < 0:
        raise ConfigError(f"transfer.frozen_epochs: expected 0 or more. Received: {frozen_epochs}.")

    def freeze(model: keras.Model) -> None:
        found = _base(model, base)
        if any(getattr(layer, "lora_enabled", False) for layer in found._flatten_layers()):
            raise ConfigError(
                "transfer=fine_tune would train all of a base of which model.lora_rank trains a"
                " part. Choose one of both: transfer=none, or model.lora_rank=null."
            )
        found.trainable = False

    def thaw(model: keras.Model) -> None:
        freeze(model)
        _thaw(_base(model, base), fine_tune_at)

    frozen = Phase("frozen", frozen_epochs, prepare=freeze)
    tuned = Phase("fine_tune", epochs, learning_rate, thaw)
    return [frozen, tuned] if frozen_epochs else [tuned]


def layer_decay(epochs: int, *, decay: Fraction = 0.9, base: str = "base") -> list[Phase]:
    """Trains the layers of a base the more slowly, the further they are from its output.

    The layers above the base have the learning rate of the optimizer, the last block of the base
    `decay` times as much, the one before it `decay**2` times … Weight decay, which optimizers
    apply apart from the gradients, has the whole rate in all layers. The base's batch
    normalizations are not trained, as in `fine_tune`.

    Args:
        epochs: Number of epochs of the training.
        decay: Factor from a block to the one before it. Defaults to 0.9.
        base: Name of the layer of the model that is the base. Defaults to "base".

    Returns:
        One phase.

    Raises:
        ConfigError: While the phase begins, if nothing of the base is trained, or the names of its
            layers do not tell its blocks.

    Source: Howard & Ruder 2018, "Universal language model fine-tuning", section 3.2; Clark et al.
    2020, "ELECTRA", appendix B.

    Example:
    >>> [phase.name for phase in layer_decay(3)]
    ['layer_decay']
    """

    def rates(model: keras.Model) -> dict[str, float]:
        found = _base(model, base)
        blocks = _blocks(found)
        factors = {
            variable.path: decay ** (len(blocks) - number)
            for number, layers in enumerate(blocks)
            for layer in layers
            for variable in layer.trainable_variables
        }
        if not factors:
            raise ConfigError(
                f"transfer=layer_decay has no effect: nothing of the base {found.name!r} is trained"
                " (model.trainable=false). Choose transfer=none, or train it."
            )
        return factors

    def freeze_normalizations(model: keras.Model) -> None:
        _freeze_normalizations(_base(model, base))

    return [Phase("layer_decay", epochs, prepare=freeze_normalizations, rates=rates)]


def _blocks(base: keras.Model) -> list[list[keras.layers.Layer]]:
    """Returns the layers of a base with weights, in blocks from its input on.

    The names of its layers tell: `transformer_layer_0`, `conv2_block1_1_conv`, `block1a_bn` …
    Layers before the first block are a block, too; those after one belong to it.
    """
    blocks: dict[str, list[keras.layers.Layer]] = {}
    current = ""
    for layer in base.layers:
        named = _BLOCK.match(layer.name)
        current = named[1] if named else current
        if layer.weights:
            blocks.setdefault(current, []).append(layer)
    if not any(blocks):
        raise ConfigError(
            f"transfer=layer_decay: the names of the layers of the base {base.name!r} tell no"
            " blocks (transformer_layer_0, conv2_block1_conv …). Choose transfer=fine_tune."
        )
    return list(blocks.values())


def _base(model: keras.Model, name: str) -> keras.Model:
    """Returns the layer of a model, or of a model within it, that is the base.

    Raises:
        ConfigError: If there is no such layer. Its message names those that could be the base.
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
    """Makes the layers of a base trainable from one on, without its batch normalizations."""
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
    _freeze_normalizations(base)


def _freeze_normalizations(base: keras.Model) -> None:
    """Keeps the statistics of the many images that a base was trained on."""
    for layer in base._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
