"""From a source's examples and the positions of each split to `Data`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.examples import SPLITS, Examples, Preparation, at
from kx.contracts.fields import map_fields
from kx.contracts.specs import Data, DataIssue, Spec
from kx.data.fingerprint import content_hashes, fingerprint
from kx.data.split.choose import count_classes
from kx.data.texts.fields import (
    Tokenizer,
    prepare_text_target,
    text_fields,
    tokenized,
    tokenized_target,
)
from kx.data.texts.host import run_host
from kx.errors import DataError

_LOOKED_AT = 200  # texts
_MOST_UNKNOWN = 0.2


def divided(
    examples: Examples,
    parts: Mapping[str, np.ndarray],
    tokenizer_of: Callable[[str], Tokenizer] | None = None,
) -> Data:
    """Returns the `Data` of examples, divided.

    Args:
        examples: Examples of a source.
        parts: Split name to positions, as an option of `split` returns them.
        tokenizer_of: Function from the name of a field of texts, `""` for one value, to its
            tokenizer. Defaults to None: texts stay strings.
    """
    parts = {name: np.asarray(parts[name]) for name in SPLITS if len(parts.get(name, ()))}
    ready = Preparation(examples.prepare, examples.input_spec)
    if examples.adapt is not None:
        ready = examples.adapt(examples.raw(parts["train"]))
    hosts: Mapping[str, Any] = {} if ready.host is None else {"": ready.host}
    target_spec, prepare_target = examples.target_spec, examples.prepare_target
    target_texts: Preparation | None = None
    told: tuple[DataIssue, ...] = ()
    writes = isinstance(target_spec, Spec) and target_spec.dtype == "string"
    if tokenizer_of is not None and text_fields(ready.inputs):
        only = "source" if writes else ""
        ready, hosts = tokenized(ready, examples.dataset(parts["train"]), tokenizer_of, only)
    if tokenizer_of is not None and writes:
        train = list(examples.targets[parts["train"]])
        target_texts = tokenized_target(train, tokenizer_of("target"))
        prepare_target = partial(prepare_text_target, target_texts)
        target_spec = target_texts.inputs
        ready = _with_target(ready, target_texts)
        told = _unknown(target_texts, examples.targets[parts.get("validation", ())])
    name_of = examples.example_name
    identity = examples.identity or _identity(examples)
    splits = {name: _split(examples, positions) for name, positions in parts.items()}
    return Data(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        inputs=ready.inputs,
        targets=map_fields(
            lambda spec, targets: _with_statistics(spec, targets[parts["train"]]),
            target_spec,
            examples.targets,
        ),
        prepare=ready.prepare,
        prepare_target=prepare_target,
        normalize=examples.normalize,
        kind=examples.kind,
        name=examples.name,
        source=examples.source,
        fingerprint=fingerprint(*identity, *[part for _, part in sorted(parts.items())]),
        assets=[*ready.assets, *(target_texts.assets if target_texts else ())],
        target_texts=target_texts,
        vectors=ready.vectors or {},
        positions=parts,
        issues=(*examples.issues, *_copies(examples, parts), *ready.issues, *told),
        class_counts=_class_counts(examples, parts),
        example_name=name_of and (lambda split, number: name_of(int(parts[split][number]))),
        facts=ready.facts,
        host=hosts,
    )


def _with_target(ready: Preparation, made: Preparation) -> Preparation:
    """Returns the preparation of the inputs, with what is known of targets that are texts."""
    known = {**ready.facts.get("detokenize", {}), "target": made.detokenize}
    of_target = {} if made.vectors is None else {"target": made.vectors}
    return replace(
        ready,
        vectors={**(ready.vectors or {}), **of_target},
        facts={**ready.facts, "detokenize": known},
        issues=(*ready.issues, *made.issues),
    )


def _unknown(made: Preparation, texts: np.ndarray) -> tuple[DataIssue, ...]:
    """Returns an issue if many tokens of texts that are to be written are not in the vocabulary."""
    some = list(texts[:_LOOKED_AT])
    some = some if made.host is None else run_host(made.host, some)
    ids = np.array([made.prepare(tf.constant(text)).numpy() for text in some])
    count, unknown = int((ids > 0).sum()) - 2 * len(ids), int((ids == 1).sum())
    if not count or unknown <= _MOST_UNKNOWN * count:
        return ()
    reason = (
        f"{unknown / count:.0%} of the tokens of validation targets are not in the vocabulary, and"
        " cannot be written: tokenizer@tokenizer.target=characters where words have no spaces"
        " between them, or more tokenizer.target.max_tokens"
    )
    return (DataIssue("target", "kept", reason),)


def _copies(examples: Examples, parts: Mapping[str, np.ndarray]) -> list[DataIssue]:
    """Returns issues on examples of which a later split has a copy."""
    issues: list[DataIssue] = []
    if examples.copies is None:
        return issues
    order = [part for part in SPLITS if part in parts]
    for place, part in enumerate(order):
        own = examples.copies[parts[part]]
        for other in order[place + 1 :]:
            there = set(examples.copies[parts[other]])
            count = sum(one in there for one in own)
            if count:
                text = f"{count:,} of {len(own):,} texts are in {other}, too: data.copies=one_split"
                issues.append(DataIssue(part, "copy", f"{text} keeps copies in one split"))
    return issues


def _class_counts(
    examples: Examples, parts: Mapping[str, np.ndarray]
) -> dict[str, tuple[int, ...]]:
    spec, classes = examples.target_spec, examples.classes
    if classes is None or not isinstance(spec, Spec):
        return {}
    return count_classes(classes, parts, len(spec.class_names or ()))


def _identity(examples: Examples) -> list[Any]:
    """Returns the values that the fingerprint covers, fields in the order of their names."""
    # A function itself has another address in each process.
    inputs = content_hashes(examples) if callable(examples.inputs) else examples.inputs
    found: list[Any] = []
    for fields in (inputs, examples.targets):
        if isinstance(fields, Mapping):
            found += [part for name in sorted(fields) for part in (name, fields[name])]
        else:
            found.append(fields)
    return found if examples.weights is None else [*found, examples.weights]


def _split(examples: Examples, positions: np.ndarray) -> tf.data.Dataset:
    targets = map_fields(
        lambda values, spec: _typed(at(values, positions), spec, examples.name),
        examples.targets,
        examples.target_spec,
    )
    weights = () if examples.weights is None else (examples.weights[positions],)
    if callable(examples.inputs):
        rest = [tf.data.Dataset.from_tensor_slices(part) for part in (targets, *weights)]
        return tf.data.Dataset.zip((examples.dataset(positions), *rest))
    return tf.data.Dataset.from_tensor_slices((examples.raw(positions), targets, *weights))


def _typed(targets: Any, spec: Spec, name: str) -> Any:
    """Returns targets in the dtype of their spec; encoded ones, such as masks, unchanged.

    Raises:
        DataError: If the dtype cannot hold them.
    """
    if not isinstance(targets, np.ndarray) or targets.dtype == spec.dtype:
        return targets
    with np.errstate(all="ignore"):
        cast = targets.astype(spec.dtype)
    if cast.dtype.kind in "biu" and targets.dtype.kind in "biuf":
        lost = np.flatnonzero(cast.astype("float64") != targets.astype("float64"))
        if len(lost):
            raise DataError(
                f"{name}: the dtype {spec.dtype} of the target's spec cannot hold"
                f" {targets.flat[lost[0]]!r}, nor {len(lost) - 1} more targets. Change the spec:"
                " 'float32' for numbers, 'int64' for large ones."
            )
    return cast


def _with_statistics(spec: Spec, trained_on: np.ndarray) -> Spec:
    """Returns the spec of targets; of numbers to predict with their mean and deviation."""
    if spec.class_names is not None or spec.mean is not None or len(spec.shape) > 1:
        return spec
    if trained_on.dtype.kind not in "biuf":
        return spec
    rows = trained_on.reshape(len(trained_on), -1).astype("float64")
    return replace(
        spec,
        mean=tuple(float(value) for value in rows.mean(axis=0)),
        standard_deviation=tuple(float(value) or 1.0 for value in rows.std(axis=0)),
    )
