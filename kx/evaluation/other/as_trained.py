"""Gives other data the preparation and the classes of a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from kx.contracts.examples import Preparation
from kx.contracts.fields import map_fields, named_fields
from kx.contracts.specs import Data, Spec, Specs
from kx.data.texts.fields import prepare_text_target
from kx.errors import DataError
from kx.runs import Run


def as_trained(data: Data, run: Run) -> Data:
    """Returns data with the preparation and the class indices of a run.

    Args:
        data: Data of the same kind as the run's, which is changed in place.
        run: Finished run.

    Raises:
        DataError: If the data is of another kind, or has other classes.
    """
    spec, preparation = run.bundle().spec(), run.bundle().preparation()
    trained: Specs = spec["targets"]
    if data.kind != spec["kind"]:
        raise DataError(
            f"The model was trained on {spec['kind']} data. Received: {data.kind} data."
        )

    def prepare(raw: Any) -> Any:
        batch = preparation.prepare(map_fields(lambda one: one[None], raw))
        return map_fields(lambda one: one[0], batch)

    data.prepare, data.inputs, data.host = prepare, spec["inputs"], spec.get("host", {})
    if hasattr(preparation, "prepare_target"):
        _prepare_texts(data, preparation, spec)
        return data
    if isinstance(trained, Spec) and isinstance(data.targets, Spec):
        _renumber_classes(data, data.targets, trained)
    elif named_fields(data.targets, "").keys() != named_fields(trained, "").keys():
        raise DataError("This data has other fields of targets than the model.")
    else:
        map_fields(_require_same_classes, data.targets, trained)
    data.targets = trained
    return data


def _prepare_texts(data: Data, preparation: Any, spec: Mapping[str, Any]) -> None:
    """Gives targets that are texts the vocabulary of a run."""
    if not (isinstance(data.targets, Spec) and data.targets.dtype == "string"):
        raise DataError("The model writes texts. Received: data whose targets are no texts.")
    made = Preparation(preparation.prepare_target, spec["targets"], host=spec.get("target_host"))
    data.prepare_target = partial(prepare_text_target, made)
    data.targets = spec["targets"]


def require_same_world(data: Data, run: Run) -> None:
    """Raises an error if an agent would act in a world that it does not know, or on examples.

    Args:
        data: Data, with an environment or with examples.
        run: Finished run.

    Raises:
        DataError: If only one of both has an environment, or if observations or actions differ.
    """
    spec = run.bundle().spec()
    actions: Any = (spec.get("facts") or {}).get("action_names")
    environment = data.environment
    if (environment is None) is not (actions is None):
        has, wants = ("examples", "an environment") if environment is None else (
            "an environment", "examples"
        )  # fmt: skip
        raise DataError(f"The model was trained on {wants}. Received: {has} ({data.name}).")
    if environment is None:
        return
    if (environment.observation, list(environment.action_names)) != (spec["inputs"], actions):
        raise DataError(
            f"The agent knows the observations {spec['inputs'].dtype} {spec['inputs'].shape}"
            f" {spec['inputs'].sizes or ''} and the actions {', '.join(actions)}. Received:"
            f" {environment.observation.dtype} {environment.observation.shape}"
            f" {environment.observation.sizes or ''}, {', '.join(environment.action_names)}."
        )


def require_same_form(data: Data, run: Run) -> None:
    """Raises an error if data has examples of another form than those of a run.

    Args:
        data: Data.
        run: Finished run, whose model takes other inputs than the examples.

    Raises:
        DataError: If shapes or dtypes differ.
    """
    trained = run.bundle().spec()["inputs"]
    here, there = (
        {name: (spec.shape, spec.dtype) for name, spec in named_fields(specs, "inputs").items()}
        for specs in (data.inputs, trained)
    )
    if here != there:
        raise DataError(f"The model was trained on examples of the form {there}. Received: {here}.")


def _require_same_classes(targets: Spec, trained: Spec) -> None:
    if targets.class_names != trained.class_names:
        raise _other_classes(targets.class_names, trained.class_names)


def _other_classes(names: Sequence[str] | None, own: Sequence[str] | None) -> DataError:
    return DataError(
        "This data has other classes than the model: expected"
        f" {', '.join(own or ('none',))}. Received: {', '.join(names or ('none',))}."
    )


def _renumber_classes(data: Data, targets: Spec, trained: Spec) -> None:
    """Gives the classes of data the indices of a model's classes.

    Raises:
        DataError: If the data has other classes.
    """
    names, own = targets.class_names, trained.class_names
    if names == own:
        return
    if names is None or own is None or not set(names) <= set(own) or targets.shape != ():
        raise _other_classes(names, own)
    number = tf.constant(np.array([own.index(name) for name in names]), tf.int32)
    for split, dataset in data.splits.items():
        renumbered = dataset.map(lambda x, y, *weight: (x, tf.gather(number, y), *weight))
        setattr(data, split, renumbered)
