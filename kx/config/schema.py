"""The schema: every top-level key of a config, and its type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

BACKENDS = ("tensorflow", "jax")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "bfloat16", "float16", "float64")
# Keys of `data` that any data option has: they are the pipeline's, not the function's.
PIPELINE_KEYS = {"drop_remainder": True, "cache": "auto"}
REMATERIALIZE = ("activations",)


@dataclass
class Threads:
    """Describes `threads`: 0 is one per core."""

    intra_op: int = MISSING
    inter_op: int = MISSING


@dataclass
class Report:
    """Describes `report`: the evaluation at the end of a run."""

    splits: list[str] = MISSING
    num_bootstrap_samples: int = MISSING
    confidence_level: float = MISSING
    num_mistakes: int = MISSING


@dataclass
class Tracking:
    """Describes `tracking`: where a run is kept."""

    enabled: bool = MISSING
    uri: str | None = MISSING
    experiment: str | None = MISSING
    run_name: str | None = MISSING
    tags: dict[str, str] = field(default_factory=dict)
    system_metrics: bool = MISSING
    log_model: bool = MISSING


@dataclass
class Config:
    """Describes every top-level key. conf/run.yaml has the defaults and says what each is for."""

    task: dict[str, Any] = MISSING
    model: dict[str, Any] = MISSING
    data: dict[str, Any] = field(default_factory=lambda: dict(PIPELINE_KEYS))
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
