"""Applies a tokenizer to the texts among the prepared inputs of a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import tensorflow as tf

from kx.contracts.examples import Preparation
from kx.contracts.fields import named_fields
from kx.contracts.specs import Spec
from kx.data.texts.detokenize import enclosed, with_ends
from kx.data.texts.host import host_in_graph
from kx.errors import ConfigError

Tokenizer = Callable[[Sequence[str]], Preparation]


def text_fields(specs: Any) -> list[str]:
    """Returns the names of the fields that are raw texts, `""` for one value.

    Args:
        specs: Spec of one prepared input, or of each of its fields by name.
    """
    fields = named_fields(specs, "")
    return [name for name, spec in fields.items() if spec.dtype == "string"]


def tokenized(
    ready: Preparation,
    train: tf.data.Dataset,
    tokenizer_of: Callable[[str], Tokenizer],
    only: str = "",
) -> tuple[Preparation, dict[str, Mapping[str, Any]]]:
    """Returns a preparation after which each text is tokenized, and the host steps by field.

    Args:
        ready: Preparation of a source, whose texts are strings.
        train: Raw inputs of the training split.
        tokenizer_of: Function from the name of a field to its tokenizer.
        only: Name of the tokenizer of a single value: `"source"` where the target is a text, too.
            Defaults to `""`.

    Raises:
        ConfigError: If a tokenizer has a host step, and its text is no raw text.
    """
    found: dict[str, Preparation] = {}
    hosts: dict[str, Mapping[str, Any]] = {} if ready.host is None else {"": ready.host}
    for name in text_fields(ready.inputs):
        texts = _texts(train.map(partial(_field, ready.prepare, name)))
        found[name] = tokenizer_of(name or only)(texts)
        host = found[name].host
        if host is None:
            continue
        if hosts.get(name) is not None or texts != _raw_texts(train, name):
            raise ConfigError(
                f"tokenizer{name and '.' + name}: {host['_target_']} runs in Python, before the"
                " preparation of the data, which changes this text first. Choose another tokenizer,"
                " or let the data return the text as it is."
            )
        hosts[name] = host
    specs: Any = {name: made.inputs for name, made in found.items()}
    specs = {**ready.inputs, **specs} if isinstance(ready.inputs, Mapping) else specs[""]

    def prepare(raw: Any) -> Any:
        inputs = ready.prepare(raw)
        if not isinstance(inputs, Mapping):
            return found[""].prepare(inputs)
        return {
            name: found[name].prepare(value) if name in found else value
            for name, value in inputs.items()
        }

    each = list(found.values())
    tokens = {name: made.detokenize for name, made in found.items() if made.detokenize}
    modules = sorted({*ready.modules, *(name for made in each for name in made.modules)})
    prepared = Preparation(
        prepare,
        specs,
        [*ready.assets, *(asset for made in each for asset in made.assets)],
        {
            **ready.facts,
            **({"detokenize": tokens} if tokens else {}),
            **({"modules": modules} if modules else {}),
        },
        (*ready.issues, *(issue for made in each for issue in made.issues)),
        vectors={name: made.vectors for name, made in found.items() if made.vectors is not None},
    )
    return prepared, hosts


def tokenized_target(texts: Sequence[str], tokenizer: Tokenizer) -> Preparation:
    """Returns how targets that are texts become token ids, with a start and an end.

    Args:
        texts: Targets of the training split.
        tokenizer: Tokenizer of the target.

    Raises:
        ConfigError: If its ids cannot become a text again.
    """
    made = tokenizer(texts)
    spec = made.inputs
    if made.detokenize is None or not isinstance(spec, Spec) or spec.vocabulary_size is None:
        raise ConfigError(
            "tokenizer.target: its token ids cannot become a text again (ngrams, or a tokenizer"
            " without `detokenize`). tokenizer.target.ngrams=null, or another tokenizer."
        )
    size: int = spec.vocabulary_size

    return replace(
        made,
        prepare=lambda text: enclosed(made.prepare(text), size),
        inputs=replace(spec, shape=(spec.shape[0] + 2,), vocabulary_size=size + 2),
        detokenize=with_ends(made.detokenize),
        vectors=made.vectors and made.vectors.with_ends(),
    )


def prepare_text_target(made: Preparation, raw: Any, target: Any) -> Any:
    """Returns a target that is a text as token ids: a `prepare_target` of data.

    Args:
        made: Preparation of the targets.
        raw: Raw input, which is not used.
        target: Text.
    """
    text = target if made.host is None else host_in_graph(made.host, target)
    return made.prepare(text)


def _field(prepare: Callable[[Any], Any], name: str, raw: Any) -> Any:
    inputs = prepare(raw)
    return inputs[name] if name else inputs


def _texts(dataset: tf.data.Dataset) -> list[str]:
    return [one.decode(errors="replace") for one in dataset.as_numpy_iterator()]


def _raw_texts(train: tf.data.Dataset, name: str) -> list[str] | None:
    """Returns the raw texts of a field, or None if no raw field of that name is a text."""
    spec = train.element_spec
    if isinstance(spec, Mapping) is not bool(name) or (name and name not in spec):
        return None
    one = spec[name] if name else spec
    if one.dtype != tf.string or one.shape.rank != 0:
        return None
    return _texts(train.map(lambda raw: raw[name]) if name else train)
