"""The schema: every top-level key of a config, and its type."""

from __future__ import annotations

from dataclasses import dataclass, field, is_dataclass
from types import UnionType
from typing import Any, get_type_hints

from omegaconf import MISSING

BACKENDS = ("tensorflow", "jax")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "bfloat16", "float16", "float64")
# Keys that every `data` option has. The pipeline uses them, not the option's function.
PIPELINE_KEYS = {"drop_remainder": "auto", "cache": "auto"}
REMATERIALIZE = ("activations",)


@dataclass
class Threads:
    """Describes `threads`: 0 means one per core."""

    intra_op: int = MISSING
    inter_op: int = MISSING


@dataclass
class Report:
    """Describes `report`: the evaluation at the end of a run."""

    splits: list[str] = MISSING
    num_bootstrap_samples: int = MISSING
    confidence_level: float = MISSING
    baseline: str = MISSING
    num_mistakes: int = MISSING


@dataclass
class Tracking:
    """Describes `tracking`: where and what a run logs."""

    enabled: bool = MISSING
    uri: str | None = MISSING
    experiment: str | None = MISSING
    run_name: str | None = MISSING
    tags: dict[str, str] = field(default_factory=dict)
    system_metrics: bool = MISSING
    log_model: bool = MISSING


@dataclass
class Config:
    """Describes every top-level key. conf/run.yaml has the defaults and documents each key."""

    task: dict[str, Any] = MISSING
    model: dict[str, Any] = MISSING
    data: dict[str, Any] = field(default_factory=lambda: dict(PIPELINE_KEYS))
    split: dict[str, Any] = MISSING
    tokenizer: dict[str, Any] = field(default_factory=dict)
    sampler: dict[str, Any] = MISSING
    augment: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = MISSING
    schedule: dict[str, Any] = field(default_factory=dict)
    transfer: dict[str, Any] = field(default_factory=dict)
    callbacks: dict[str, Any] = field(default_factory=dict)
    strategy: dict[str, Any] = MISSING
    report: Report = field(default_factory=Report)
    tracking: Tracking = field(default_factory=Tracking)
    launcher: dict[str, Any] = MISSING
    tuner: dict[str, Any] = field(default_factory=dict)
    debug: dict[str, Any] = field(default_factory=dict)
    epochs: int = MISSING
    batch_size: int = MISSING
    steps_per_epoch: int | None = MISSING
    overfit_batches: int | None = MISSING
    evaluation_steps: int | None = MISSING
    run_dir: str | None = MISSING
    resume: str = MISSING
    init_from: str | None = MISSING
    seed: int = MISSING
    deterministic: bool = MISSING
    threads: Threads = field(default_factory=Threads)
    backend: str = MISSING
    precision: str = MISSING
    jit_compile: Any = MISSING
    run_eagerly: bool = MISSING
    steps_per_execution: int = MISSING
    rematerialize: str | None = MISSING


def _types() -> dict[str, Any]:
    """Returns the type of each of kx's own keys, by path, without the keys of options."""
    found: dict[str, Any] = {f"data.{key}": Any for key in PIPELINE_KEYS}
    for name, hint in get_type_hints(Config).items():
        if is_dataclass(hint):
            found |= {f"{name}.{key}": inner for key, inner in get_type_hints(hint).items()}
        if hint != dict[str, Any]:
            found[name] = hint
    return found


TYPES = _types()
_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def type_problem(path: str, value: Any) -> str | None:
    """Returns the type that one of kx's own keys expects, if a value does not have it.

    Args:
        path: Path of the key.
        value: Value that was received.

    Returns:
        The expected type as text, or None if the value fits or the key is an option's.
    """
    hint = TYPES.get(path, Any)
    if hint is Any or is_dataclass(hint) or (isinstance(value, str) and "${" in value):
        return None
    if isinstance(hint, UnionType):
        if value is None:
            return None
        hint = next(item for item in hint.__args__ if item is not type(None))
    if hint == list[str]:
        good = isinstance(value, list) and not any(_is_nested(item) for item in value)
        return None if good else "a list of words: [a,b]"
    if hint == dict[str, str]:
        good = isinstance(value, dict) and not any(_is_nested(v) for v in value.values())
        return None if good else "keys and values: {team: vision}"
    whole = isinstance(value, int) and not isinstance(value, bool)
    good = {
        int: whole,
        float: whole or isinstance(value, float),
        bool: isinstance(value, bool),
        str: not _is_nested(value),
    }[hint]
    return None if good else _NAMES[hint]


def _is_nested(value: Any) -> bool:
    return value is None or isinstance(value, list | dict)
