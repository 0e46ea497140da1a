"""Which examples a finished run's model is judged by, where other data is named."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from kx.config import plain
from kx.config.schema import PIPELINE_KEYS
from kx.contracts.specs import Data
from kx.errors import ConfigError, DataError
from kx.fit.batches import make_data
from kx.paths import expanded
from kx.runs import Run

# Keys of data that take a part of it: those of the training mean the training's data.
_FRACTIONS = ("validation_fraction", "test_fraction")
_DIVIDES = (*_FRACTIONS, "limit", "split_seed", "fold")
_NAMES_FILES = ("path", "manifest", "file", "root", "dir", "folder")  # ends of keys that do
_OTHER_DIVISION = (*_FRACTIONS, "fold")  # who gives one of these means a part of other data


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
    whole = not own and split is None and not keys & set(_OTHER_DIVISION)
    if not own and "data" not in keys:
        _refuse_files_of_the_run(config, keys)
    if whole:
        for key in {*_FRACTIONS, "limit", "fold"} - keys:
            if key in config.data:
                config.data[key] = 0.0 if key in _FRACTIONS else None
    if not own and "class_names" in config.data and config.data.class_names is None:
        # As the model has them: of other data, not every class needs an example.
        names = run.bundle().spec()["targets"].class_names
        config.data.class_names = None if names is None else list(names)
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


def _refuse_files_of_the_run(config: DictConfig, keys: Set[str]) -> None:
    """Refuses other data that is named in a part: the other files would be the run's own.

    Raises:
        ConfigError: with the keys that name a file or a folder, and were not given.
    """
    if not keys & _required_arguments(config.data["_target_"]):
        return  # test_path=…: beside the run's own training data, as is meant
    roots = [Path(), *(expanded(str(config.data[key])) for key in ("root",) if key in config.data)]
    left = [
        key
        for key, value in plain(config.data, resolve=True).items()
        if key not in keys
        and key.endswith(_NAMES_FILES)
        and isinstance(value, str)
        and any(root.joinpath(expanded(value)).exists() for root in roots if value)
    ]
    if left:
        said = ", ".join(f"data.{key}={config.data[key]}" for key in left)
        raise ConfigError(
            f"{said} is of the run's own data, and would be read beside {', '.join(sorted(keys))}."
            f" Give its place, too, or null: {' '.join(f'data.{key}=null' for key in left)}"
        )


def _required_arguments(target: str) -> set[str]:
    """Returns the arguments of a function that have no default.

    Args:
        target: as of `_target_`.
    """
    parameters = inspect.signature(get_object(target)).parameters.values()
    return {p.name for p in parameters if p.default is p.empty}


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
