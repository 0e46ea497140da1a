"""Applies a tokenizer to the texts among the prepared inputs of a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kx.contracts.examples import Preparation
from kx.contracts.fields import named_fields
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
    ready: Preparation, raw: Any, tokenizer_of: Callable[[str], Tokenizer]
) -> tuple[Preparation, dict[str, Mapping[str, Any]]]:
    """Returns a preparation after which each text is tokenized, and the host steps by field.

    Args:
        ready: Preparation of a source, which leaves its texts as they are.
        raw: Raw inputs of the training split: a sequence, a mapping of sequences by field, or a
            sequence of mappings.
        tokenizer_of: Function from the name of a field, `""` for one value, to its tokenizer.

    Raises:
        ConfigError: If a text is no field of the raw inputs.
    """
    found = {name: tokenizer_of(name)(_texts(raw, name)) for name in text_fields(ready.inputs)}
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
    prepared = Preparation(
        prepare,
        specs,
        [*ready.assets, *(asset for made in each for asset in made.assets)],
        dict(ready.facts),
        (*ready.issues, *(issue for made in each for issue in made.issues)),
    )
    return prepared, {name: made.host for name, made in found.items() if made.host is not None}


def _texts(raw: Any, name: str) -> list[str]:
    if name and isinstance(raw, Mapping):
        values = raw.get(name)
    elif name:
        values = [one.get(name) for one in raw] if isinstance(raw[0], Mapping) else None
    else:
        values = raw
    if values is None or any(not isinstance(one, str | bytes) for one in values):
        raise ConfigError(
            f"The text {name or 'inputs'!r} is tokenized from the raw field of that name, which"
            " must be a string. Received: none."
        )
    return [one.decode(errors="replace") if isinstance(one, bytes) else one for one in values]
