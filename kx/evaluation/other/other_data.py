"""Selects the examples by which a finished run's model is judged, also of other data."""

from __future__ import annotations

import functools
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
from kx.contracts.examples import Examples
from kx.contracts.specs import Data, class_names_of
from kx.data.split.checks import check_examples
from kx.data.split.choose import limited
from kx.data.split.divided import divided
from kx.data.texts.host import after_host
from kx.errors import ConfigError, DataError
from kx.fit.batches import make_data, make_examples
from kx.paths import expanded
from kx.runs import Run

_NAMES_FILES = ("path", "manifest", "file", "root", "dir", "folder")  # suffixes of keys of files


def judged_data(
    run: Run, config: DictConfig, overrides: Sequence[str], split: str | None
) -> tuple[Data, str, str]:
    """Returns the data, the name of the judged split, and a description of its examples.

    The test split of the run's own data is judged. Of other data, it is a test split of its own
    or, without one, all of the data, and not the split that the run's fractions would select.

    Args:
        run: Finished run.
        config: Config of the run, with the overrides.
        overrides: Overrides `data=…`, `data.KEY=…`, `split=…` and `split.KEY=…`.
        split: Name of a split of exactly those in the config, or None for the choice above.

    Raises:
        DataError: If there is no such split.
    """
    own = _source(config.data) == _source(run.config["data"])
    words = [word.lstrip("+~") for word in overrides]
    keys = {
        word.partition("=")[0].removeprefix("data.") for word in words if word.startswith("data")
    }
    divides = [w for w in words if w.startswith("split") and not w.startswith("split.limit=")]
    whole = not own and split is None and not divides
    if not own and "data" not in keys:
        _refuse_files_of_the_run(config, keys)
    if not own and "class_names" in config.data and config.data.class_names is None:
        # The classes of the model, since other data need not have examples of each.
        names = class_names_of(run.bundle().spec()["targets"])
        config.data.class_names = None if names is None else list(names)
    same_source = config.data["_target_"] == run.config["data"].get("_target_")
    if not own and same_source and "image_size" not in keys and "image_size" in config.data:
        config.data.image_size = run.config["data"]["image_size"]  # targets may have its axes
    examples, name = make_examples(config), split or "test"
    which = f"the {name} split of {{}}"
    if whole and isinstance(examples, Examples):
        check_examples(examples)
        limit = config.split.limit if any(w.startswith("split.limit=") for w in words) else None
        data, which = _undivided(examples, limit)
    else:
        data = make_data(config, examples, tokenize=False)
        if whole and data.test is None:  # a user's own function, which splits the data itself
            data.test, data.positions = _joined(data), {}
            which = "all of {}, which has no test split of its own"
    # Also without overrides: the files, or the way in which a version divides them, may be others.
    trained_on = run.tags().get("kx.fingerprint")
    if data.fingerprint != trained_on and (overrides or trained_on):
        _tell_what_was_seen(run, data, own=own)
    if name not in data.splits:
        raise DataError(f"The data has no {name!r} split. Available: {', '.join(data.splits)}.")
    return data, name, which.format(data.name)


def _undivided(examples: Examples, limit: int | None) -> tuple[Data, str]:
    """Returns data whose test split is the source's own or, without one, all examples."""
    own = examples.own_splits
    everything = np.arange(examples.num_examples)
    if own:
        everything = np.sort(np.concatenate([np.asarray(part) for part in own.values()]))
    test, which = np.asarray(own.get("test", ())), "the test split of {}, one of its own"
    if not len(test):
        test, which = everything, "all of {}, which has no test split of its own"
    judged = np.sort(limited(test, examples.classes, limit, seed=0))
    return divided(examples, {"train": everything, "test": judged}), which


def _joined(data: Data) -> tf.data.Dataset:
    """Returns the examples of all splits: training and validation."""
    return functools.reduce(tf.data.Dataset.concatenate, data.splits.values())


def _refuse_files_of_the_run(config: DictConfig, keys: Set[str]) -> None:
    """Raises `ConfigError` with the files of the run's own data that the overrides leave."""
    if not keys & _required_arguments(config.data["_target_"]):
        return  # test_path=…: meant to be used with the run's own training data
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
    """Returns the arguments without a default of the function that `_target_` names."""
    parameters = inspect.signature(get_object(target)).parameters.values()
    return {p.name for p in parameters if p.default is p.empty}


def _source(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the source of the data: its config without the keys of the pipeline."""
    known = plain(node, resolve=True) if OmegaConf.is_config(node) else node
    return {key: value for key, value in known.items() if key not in PIPELINE_KEYS}


def _tell_what_was_seen(run: Run, data: Data, *, own: bool) -> None:
    """Prints a note if a model may be judged by examples that it was trained on."""
    if data.environment is not None:
        return
    if own:
        print(
            "note: this is the data of the training, changed or divided otherwise: examples that"
            " the model was trained on may be among those judged"
        )
        return
    raw, _ = run.bundle().examples()
    if isinstance(raw, Mapping):
        return
    if raw.dtype != data.train.element_spec[0].dtype or raw.dtype != tf.string:
        return
    kept = set(raw.numpy().ravel().tolist())
    splits = [split.map(lambda inputs, *_: inputs) for split in data.splits.values()]
    every = [one for split in splits for one in split.as_numpy_iterator()]
    found = after_host(run.bundle().spec().get("host", {}), every)
    here = {one for one in (tf.compat.as_bytes(one) for one in found) if one in kept}
    if here:
        print(
            f"note: {len(here)} of {len(kept)} examples of the run's own data are in {data.name}:"
            " examples that the model was trained on may be among those judged"
        )
