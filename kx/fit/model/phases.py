"""The phases of a training, and the data of those that have some of their own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from omegaconf import DictConfig

from kx.config import build
from kx.contracts.specs import Data
from kx.errors import ConfigError
from kx.transfer import Phase


@dataclass(frozen=True)
class Plan:
    """Holds the phases of a training.

    Args:
        phases: Phases, in order.
        fingerprint: Fingerprint of all data that is trained on.
        own_data: Name of a phase to its data, of those that have data of their own.
    """

    phases: Sequence[Phase]
    fingerprint: str
    own_data: Mapping[str, Data] = field(default_factory=dict)

    def shares_data_with_previous(self, number: int) -> bool:
        """Returns whether a phase trains on the data of the phase before it.

        Args:
            number: Number of the phase, from 1.
        """
        return number == 1 or all(one.data is None for one in self.phases[number - 2 : number])


def make_plan(config: DictConfig, data: Data) -> Plan:
    """Returns the phases of a training: one, or those that `transfer` plans.

    Args:
        config: Config of the run.
        data: Data of the run.

    Raises:
        ConfigError: If the data of a phase has other specs or splits than that of the run, if it
            has no examples or fewer than a batch, or if two phases with data of their own have one
            name.
    """
    if not config.transfer:
        return Plan([Phase("training", config.epochs)], _fingerprint(data))
    phases = list(build(config.transfer, config.epochs, place="transfer"))
    named = [phase for phase in phases if phase.data is not None]
    if not named:
        return Plan(phases, _fingerprint(data))
    if data.environment is not None:
        raise ConfigError("transfer: a phase has data of its own, and an environment has none.")
    names = [phase.name for phase in named]
    if len(set(names)) < len(names):
        raise ConfigError(f"transfer: phases with data of their own need names: {names}.")
    own = {phase.name: _own_data(phase, data) for phase in named}
    for name, one in own.items():
        if (count := int(one.train.cardinality())) < config.batch_size:
            raise ConfigError(
                f"transfer: {name}.data: the train split has {count} examples, fewer than"
                f" batch_size={config.batch_size}. Choose {count} or less."
            )
    sizes = [f"{name} {split} {int(part.cardinality())} {one.fingerprint}"
             for name, one in own.items() for split, part in one.splits.items()]  # fmt: skip
    every = "\n".join([_fingerprint(data), *sizes])
    return Plan(phases, hashlib.sha256(every.encode()).hexdigest(), own)


def _fingerprint(data: Data) -> str:
    """Returns the fingerprint of the examples and of the files of their host steps."""
    if not data.host:
        return data.fingerprint
    hosts = json.dumps({name: dict(node) for name, node in data.host.items()}, sort_keys=True)
    return hashlib.sha256(f"{data.fingerprint}\n{hosts}".encode()).hexdigest()


def _own_data(phase: Phase, data: Data) -> Data:
    """Returns the data of a phase, after a check that it fits that of the run."""
    assert phase.data is not None
    found, place = phase.data(data), f"transfer: {phase.name}.data"
    if not isinstance(found, Data):
        raise ConfigError(f"{place}: expected kx.Data. Received: {found!r}.")
    if (found.inputs, found.targets) != (data.inputs, data.targets):
        raise ConfigError(
            f"{place}: expected examples with the specs of the run's data: {data.inputs},"
            f" {data.targets}. Received: {found.inputs}, {found.targets}."
        )
    if set(found.splits) != set(data.splits):
        raise ConfigError(
            f"{place}: expected the splits {', '.join(data.splits)}. Received:"
            f" {', '.join(found.splits)}."
        )
    for split, part in found.splits.items():
        count = int(part.cardinality())
        if count == tf.data.UNKNOWN_CARDINALITY:  # counted now, and not in the middle of the run
            count = int(part.reduce(np.int64(0), lambda number, *_: number + 1))
            setattr(found, split, part.apply(tf.data.experimental.assert_cardinality(count)))
        if count == 0:
            raise ConfigError(f"{place}: the {split} split has no examples.")
    return found
