"""Pretrained models of texts (KerasHub), with new scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from kx.contracts.specs import Outputs, Spec
from kx.data.tokenizers.lengths import vocabulary_hash
from kx.errors import ConfigError
from kx.hub import import_keras_hub, load_preset, preset_vocabulary
from kx.models.layers import scores
from kx.models.text.embedding import require_tokens, token_input
from kx.types import Count, Fraction


def keras_hub(
    inputs: Spec | Mapping[str, Spec],
    outputs: Outputs,
    *,
    preset: str,
    load_weights: bool = True,
    trainable: bool = True,
    lora_rank: Count | None = None,
    dropout: Fraction = 0.1,
) -> keras.Model:
    """Builds a pretrained encoder of texts under new scores: BERT, DistilBERT, RoBERTa and others.

    The head is that of KerasHub's classifier for this encoder. Two texts, as a premise and a
    hypothesis, are read one after the other, each ended by the token that ends a text.

    Args:
        inputs: Spec of one text, or of each of two: token ids of `tokenizer=keras_hub` with the
            same preset.
        outputs: Description of the scores: their number and names.
        preset: Name of a preset of KerasHub, or a path to a folder of one.
        load_weights: Whether to load the pretrained weights, not to begin at random. Defaults to
            True.
        trainable: Whether to train the encoder, not the head alone. Defaults to True.
        lora_rank: Rank of the matrices that are trained beside those of the encoder's attention,
            in place of the encoder. Defaults to None: all of it is trained.
        dropout: Dropout rate before the scores. Defaults to 0.1.

    Returns:
        Model with raw scores of shape `(batch, outputs.units)`, or of each token. Its layer `base`
        is the encoder.

    Raises:
        ConfigError: If there is no such preset, or the inputs are token ids of another tokenizer.
        MissingExtraError: If KerasHub is not installed.

    Source: Devlin et al. 2019, "BERT", section 3; Hu et al. 2021, "LoRA", section 4 (`lora_rank`).
    """
    hub = import_keras_hub("model=keras_hub")
    backbone = load_preset(
        hub.models.Backbone, preset, "model.preset", load_weights=load_weights, name="base"
    )
    fields = inputs if isinstance(inputs, Mapping) else {"inputs": inputs}
    known = preset_vocabulary(hub, preset, "model.preset") if load_weights else None
    padding = _check(fields, backbone, preset, known)
    if lora_rank is None:
        backbone.trainable = trainable
    else:
        _add_lora(backbone, lora_rank, trainable=trainable)
    given = {name: token_input(name) for name in fields}
    # One text is as it is: the tokenizer has enclosed it.
    joined = JoinTexts(padding, name="join_texts")(list(given.values()))
    taken = {name: joined[name] for name in backbone.input if name in joined}
    if outputs.axes:
        y = _of_tokens(backbone(taken), outputs, dropout)
    else:
        head = _head(hub, backbone, preset)(
            backbone=backbone, num_classes=outputs.units, preprocessor=None, dropout=dropout
        )
        head.compiled = False  # KerasHub has compiled it, of which Keras warns at each load
        y = head(taken)
    x = given if isinstance(inputs, Mapping) else given["inputs"]
    # Scores and losses are of float32, in each precision.
    return keras.Model(x, keras.layers.Activation("linear", dtype="float32")(y), name="keras_hub")


def _add_lora(backbone: Any, rank: int, *, trainable: bool) -> None:
    """Lets an encoder train the matrices of LoRA alone."""
    if not trainable:
        raise ConfigError(
            "model.lora_rank trains a part of the encoder, and model.trainable=false nothing of it."
            " Choose one of both."
        )
    backbone.enable_lora(rank)
    for layer in backbone._flatten_layers():
        if getattr(layer, "lora_enabled", False):
            for variable in layer.trainable_variables:  # the biases beside the matrices
                variable.trainable = "lora" in variable.name


def _check(fields: Mapping[str, Spec], backbone: Any, preset: str, known: list[str] | None) -> int:
    """Returns the id of padding, or raises an error if the texts do not fit the encoder."""
    if len(fields) > 2:
        raise ConfigError(f"model=keras_hub reads one text or two. Received: {', '.join(fields)}.")
    for name, spec in fields.items():
        place = "tokenizer" if name == "inputs" else f"tokenizer.{name}"
        size = require_tokens(spec, "keras_hub", padding=None)
        is_other = known is not None and spec.vocabulary not in (None, vocabulary_hash(known))
        if size != backbone.vocabulary_size or is_other:
            raise ConfigError(
                f"model.preset={preset} has a vocabulary of {backbone.vocabulary_size:,} tokens,"
                f" and the data's is another one, of {size:,}. Take its own: tokenizer=keras_hub"
                f" {place}.preset={preset}."
            )
    longest = getattr(backbone, "max_sequence_length", None)
    length = sum(spec.shape[0] for spec in fields.values())
    if longest is not None and length > longest:
        raise ConfigError(
            f"model.preset={preset} reads up to {longest} tokens, and a text of the data has up to"
            f" {length}. Set tokenizer.sequence_length={longest // len(fields)} or less."
        )
    first = next(iter(fields.values()))
    return int(first.padding_value or 0)


def _head(hub: Any, backbone: Any, preset: str) -> Any:
    """Returns KerasHub's classifier for an encoder."""
    kinds: list[Any] = [kind for kind in vars(hub.models).values() if isinstance(kind, type)]
    for kind in kinds:
        if issubclass(kind, hub.models.TextClassifier) and kind.backbone_cls is type(backbone):
            return kind
    names = sorted(kind.__name__ for kind in kinds if issubclass(kind, hub.models.TextClassifier))
    raise ConfigError(
        f"model.preset={preset}: KerasHub has no classifier of texts for {type(backbone).__name__}."
        f" It has {', '.join(names)}."
    )


def _of_tokens(found: Any, outputs: Outputs, dropout: float) -> Any:
    """Returns scores of each token, from what an encoder returns."""
    h = found["sequence_output"] if isinstance(found, Mapping) else found
    return scores(keras.layers.Dropout(dropout)(h), outputs.units)


@keras.saving.register_keras_serializable("kx")
class JoinTexts(keras.layers.Layer):
    """Puts texts one after the other, without the padding between them.

    Args:
        padding: Id of padding. Defaults to 0.
        **options: Options of a Keras layer.

    Example:
    >>> both = JoinTexts()([keras.ops.array([[1, 7, 2, 0]]), keras.ops.array([[1, 8, 2]])])
    >>> keras.ops.convert_to_numpy(both["token_ids"]).tolist()
    [[1, 7, 2, 8, 2, 0]]
    >>> keras.ops.convert_to_numpy(both["segment_ids"]).tolist()
    [[0, 0, 0, 1, 1, 0]]
    """

    def __init__(self, padding: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.padding = padding

    def call(self, texts: list[Any]) -> dict[str, Any]:
        """Returns the token ids, which of them are no padding, and the number of their text.

        Args:
            texts: Token ids of each text, shape `(batch, length)`, with padding at their ends. All
                but the first lose their first token, which begins a text.
        """
        ops = keras.ops
        first, *rest = texts
        tokens = ops.concatenate([first, *(one[:, 1:] for one in rest)], axis=1)
        numbers = [ops.zeros_like(first), *(ops.ones_like(one[:, 1:]) for one in rest)]
        segments = ops.concatenate(numbers, axis=1)
        if rest:
            held = ops.not_equal(tokens, self.padding)
            places = ops.cumsum(ops.ones_like(tokens), axis=1)
            # What is no padding comes first, in its order.
            order = ops.argsort(ops.where(held, places, places + ops.shape(tokens)[1]), axis=1)
            tokens = ops.take_along_axis(tokens, order, axis=1)
            segments = ops.take_along_axis(segments, order, axis=1)
        held = ops.not_equal(tokens, self.padding)
        return {
            "token_ids": tokens,
            "padding_mask": held,
            "segment_ids": ops.where(held, segments, 0),
        }

    def compute_output_spec(self, texts: list[Any]) -> dict[str, Any]:
        """Returns the shapes: a text of any length.

        Args:
            texts: Token ids of each text.
        """
        shape = (texts[0].shape[0], None)
        return {
            name: keras.KerasTensor(shape, dtype="bool" if name == "padding_mask" else "int32")
            for name in ("token_ids", "padding_mask", "segment_ids")
        }

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, with which Keras makes the layer again."""
        return {**super().get_config(), "padding": self.padding}
