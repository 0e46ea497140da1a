"""Which examples a finished run's model is judged by, where other data is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from omegaconf import DictConfig, OmegaConf

from kx.config import plain
from kx.config.schema import PIPELINE_KEYS
from kx.data.specs import Data
from kx.errors import DataError
from kx.fit.batches import make_data
from kx.tracking.runs import Run

# Keys of data that take a part of it: those of the training mean the training's data.
_FRACTIONS = ("validation_fraction", "test_fraction")
_DIVIDES = (*_FRACTIONS, "limit", "split_seed", "fold")


def judged_data(
    run: Run, config: DictConfig, overrides: Sequence[str], split: str | None
) -> tuple[Data, str, str]:
    """Returns the data, the split that is judged, and in words which examples these are.

    The run's own data is judged by its test split. Of other data, that is a split of its own;
    where it has none, all of it, and not the part that the run's fractions would take.

    Args:
        run: finished.
        config: of the run, with the overrides.
        overrides: `data=…` and `data.KEY=…`.
        split: the name of one, for the very division that the config says.

    Raises:
        DataError: if there is no such split.
    """
    own = _source(config.data) == _source(run.config["data"])
    keys = {word.lstrip("+~").partition("=")[0].removeprefix("data.") for word in overrides}
    whole = not own and split is None and not keys & set(_DIVIDES)
    if whole:
        for key in (*_FRACTIONS, "limit", "fold"):
            if key in config.data:
                config.data[key] = 0.0 if key in _FRACTIONS else None
    data = make_data(config)
    if overrides and data.fingerprint != run.tags().get("kx.fingerprint"):
        _tell_what_was_seen(run, data, own=own)
    name = split or "test"
    if whole and data.test is None:
        _judge_all(data)
        return data, name, f"all of {data.name}, which has no test split of its own"
    if name not in data.splits:
        raise DataError(f"The data has no {name!r} split. Available: {', '.join(data.splits)}.")
    which = ", one of its own" if whole else ""
    return data, name, f"the {name} split of {data.name}{which}"


def _source(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns where data comes from: the config of it without how it is divided and kept."""
    known = plain(node, resolve=True) if OmegaConf.is_config(node) else node
    return {key: value for key, value in known.items() if key not in (*_DIVIDES, *PIPELINE_KEYS)}


def _tell_what_was_seen(run: Run, data: Data, *, own: bool) -> None:
    """Says that a model may be judged by examples that it was trained on."""
    if own:
        print(
            "note: this is the data of the training, divided otherwise: examples that the model was"
            " trained on may be among those judged"
        )
        return
    raw, _ = run.bundle().examples()
    if raw.dtype != data.train.element_spec[0].dtype or raw.dtype != tf.string:
        return
    kept = set(raw.numpy().ravel().tolist())
    splits = [split.map(lambda inputs, _: inputs) for split in data.splits.values()]
    here = {one for split in splits for one in split.as_numpy_iterator() if one in kept}
    if here:
        print(
            f"note: {len(here)} of {len(kept)} examples of the run's own data are in {data.name}:"
            " examples that the model was trained on may be among those judged"
        )


def _judge_all(data: Data) -> None:
    """Makes all examples the test split."""
    parts = [part for part in ("train", "validation") if part in data.splits]
    sizes = [int(data.splits[part].cardinality()) for part in parts]
    data.test = data.train
    if data.validation is not None:
        data.test = data.test.concatenate(data.validation)
    if all(part in data.positions for part in parts):
        positions = [data.positions[part] for part in parts]
        data.positions = {"test": np.concatenate(positions)}
    named = data.example_name
    if named is not None:

        def example_name(split: str, number: int) -> str:
            within = number < sizes[0]
            return named(parts[0] if within else parts[1], number - (0 if within else sizes[0]))

        data.example_name = example_name
