"""Which examples a finished run's model is judged by, where other data is named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from omegaconf import DictConfig

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
    keys = {word.lstrip("+~").partition("=")[0].removeprefix("data.") for word in overrides}
    whole = bool(overrides) and split is None and not keys & set(_DIVIDES)
    if whole:
        for key in (*_FRACTIONS, "limit", "fold"):
            if key in config.data:
                config.data[key] = 0.0 if key in _FRACTIONS else None
    data = make_data(config)
    if overrides and not whole and data.fingerprint != run.tags().get("kx.fingerprint"):
        print(
            "note: the data is divided as this command says. Of the run's own data, examples that"
            " the model was trained on may be among those judged"
        )
    name = split or "test"
    if whole and data.test is None:
        _judge_all(data)
        return data, name, f"all of {data.name}, which has no test split of its own"
    if name not in data.splits:
        raise DataError(f"The data has no {name!r} split. Available: {', '.join(data.splits)}.")
    own = ", one of its own" if whole else ""
    return data, name, f"the {name} split of {data.name}{own}"


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
