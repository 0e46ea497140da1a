"""Finished runs that a config names: a teacher, a base, the run to begin from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from kx.config.signatures import signature_of
from kx.errors import ConfigError, Mistake
from kx.types import RunName, of_type

if TYPE_CHECKING:
    from kx.config import Composed
    from kx.tracking.records import Record

_GROUPS = ("task", "model")
_MOVING = ("latest", "best")  # names of which another run may be meant later


class NamedRun:
    """Stands for a finished run, which is loaded when it is first used.

    Args:
        name: RUN, as the config names it.
        load: Function that returns the run of a name.
    """

    def __init__(self, name: str, load: Callable[[str], Any]) -> None:
        self._named, self._load, self._run = name, load, None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._run is None:
            self._run = self._load(self._named)
        return getattr(self._run, name)


def run_keys(config: Mapping[str, Any] | DictConfig) -> dict[str, str]:
    """Returns the runs that a config names, by key: `{"task.teacher": "latest"}`.

    Args:
        config: Config of a run.
    """
    found = dict(_argument_keys(config))
    if config.get("init_from"):
        found["init_from"] = str(config["init_from"])
    return found


def _argument_keys(config: Mapping[str, Any] | DictConfig) -> Iterator[tuple[str, str]]:
    [rule] = of_type(RunName).rules
    for group in _GROUPS:
        node = config.get(group) or {}
        try:
            signature = signature_of(str(node.get("_target_", "")))
        except LookupError:  # reported when the config is checked
            continue
        if signature is None:
            continue
        for name, annotation in signature.annotations.items():
            if rule in annotation.rules and node.get(name) is not None:
                yield f"{group}.{name}", str(node[name])


def named_runs(
    config: Mapping[str, Any] | DictConfig, group: str, load: Callable[[str], Any]
) -> dict[str, NamedRun]:
    """Returns the runs that an option's arguments name, by argument.

    Args:
        config: Config of a run.
        group: `"task"` or `"model"`.
        load: Function that returns the run of a name.
    """
    return {
        key.removeprefix(f"{group}."): NamedRun(name, load)
        for key, name in run_keys(config).items()
        if key.startswith(f"{group}.")
    }


def name_by_id(job: Composed, record: Record, load: Callable[[str], Any], *, resumed: bool) -> None:
    """Writes the ids of the runs that a config names into the job and into its record.

    `latest` may be another run tomorrow. A resumed run continues with those that it began with.

    Args:
        job: Composed config, which is changed.
        record: Record of the run, which is changed.
        load: Function that returns the run of a name.
        resumed: Whether the run was begun earlier.

    Raises:
        RunNotFoundError: If there is no such run.
    """
    before = type(record).read(record.folder) if resumed else None
    for key, name in run_keys(job.config).items():
        recorded = None if before is None else OmegaConf.select(
            OmegaConf.create(before.config), key
        )  # fmt: skip
        run_id = str(recorded or load(name).id)
        OmegaConf.update(job.config, key, run_id)
        group, _, argument = key.partition(".")
        (record.config[group] if argument else record.config)[argument or group] = run_id
        for of in (job, record):
            others = [word for word in of.overrides if word.lstrip("+").partition("=")[0] != key]
            of.overrides = [*others, f"{key}={run_id}"]  # an experiment may have named the run


def refuse_moving_names(configs: Iterable[DictConfig]) -> None:
    """Raises an error for `latest` or `best` in a sweep or a search, which make runs themselves.

    Args:
        configs: Configs of the jobs.

    Raises:
        ConfigError: If a config names a run in such a way.
    """
    found = {
        key: name for config in configs for key, name in run_keys(config).items() if name in _MOVING
    }
    if found:
        raise ConfigError(
            [
                Mistake(
                    key,
                    f"{name} is another run as soon as the first job begins. Give the run's name or"
                    " id: kx runs.",
                )
                for key, name in found.items()
            ]
        )
