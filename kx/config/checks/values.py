"""Checks the values of a config without importing the targets."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from kx.config.messages import FREE_MAPPINGS, shown
from kx.config.schema import REMATERIALIZE
from kx.config.signatures import signature_of
from kx.errors import Mistake
from kx.metric_modes import UNKNOWN_MODE
from kx.types import (
    Annotation,
    Count,
    Fraction,
    MetricMode,
    MetricName,
    NonNegative,
    NonNegativeInt,
    OpenFraction,
    Positive,
    Rule,
    Seed,
    of_type,
)

NO_VALUE = "This key has no value"


def _is_path(value: Any) -> bool:
    """Returns whether a path is valid for the system: 255 bytes a name, below 4096 in all."""
    names = [len(name) for name in str(value).encode(errors="replace").split(b"/")]
    return max(names) <= 255 and sum(names) + len(names) < 4000 and "\0" not in str(value)


_PATH = Rule("a path: 255 bytes a name, 4000 in all", _is_path)
_RUN_NAME = Rule("150 letters at most", lambda v: len(str(v)) <= 150)  # also a folder name
_AT_LEAST_10 = Rule("at least 10", lambda v: v >= 10)
_AT_LEAST_2 = Rule("at least 2, or null", lambda v: v >= 2)
_KERAS_MODE = Rule("one of min, max, auto", lambda v: v in ("min", "max", "auto", UNKNOWN_MODE))
_REMATERIALIZE = Rule(
    "activations, or null (Keras 3.15's full and larger_than fail on TensorFlow)",
    lambda v: v in REMATERIALIZE,
)
# kx's own keys, which are not arguments of a function.
_OWN: dict[str, Any] = {
    **dict.fromkeys(["epochs", "batch_size", "steps_per_execution"], Count),
    **dict.fromkeys(["steps_per_epoch", "evaluation_steps", "overfit_batches"], Count | None),
    **dict.fromkeys(["threads.intra_op", "threads.inter_op"], NonNegativeInt),
    "seed": Seed,
    "run_dir": Annotated[str, _PATH] | None,
    "backend": Literal["tensorflow", "jax"],
    "precision": Literal[
        "float32", "mixed_bfloat16", "mixed_float16", "bfloat16", "float16", "float64"
    ],
    "rematerialize": Annotated[str, _REMATERIALIZE] | None,
    "jit_compile": Literal[True, False, "auto"],
    "data.drop_remainder": Literal[True, False, "auto"],
    "data.cache": Literal["auto", "memory", "disk"],
    "report.splits": list[Literal["train", "validation", "test"]],
    "report.num_bootstrap_samples": Annotated[int, _AT_LEAST_10],
    "report.confidence_level": OpenFraction,
    "report.num_mistakes": NonNegativeInt,
    "report.baseline": Literal["auto", "none"],
    "tracking.run_name": Annotated[str, _RUN_NAME] | None,
    "task.monitor": MetricName | None,
    "task.monitor_mode": MetricMode,
    "tuner.objective_mode": Literal["min", "max"] | None,
    "tuner.max_hours": Positive | None,
    "tuner.seed": Seed | None,
    "tuner.executions_per_trial": Count,
    "tuner.max_retries_per_trial": NonNegative,
    "tuner.max_consecutive_failed_trials": Positive,
    "tuner.workers": Count | None,
}
_OPTIMIZER = {
    "learning_rate": Positive,
    **dict.fromkeys(["beta_1", "beta_2", "rho", "momentum", "ema_momentum"], Fraction),
    "epsilon": Positive,
    **dict.fromkeys(["clipnorm", "global_clipnorm", "clipvalue"], Positive | None),
    "weight_decay": NonNegative | None,
    "gradient_accumulation_steps": Annotated[int, _AT_LEAST_2] | None,
}
_CALLBACK = {
    "monitor": MetricName | None,
    "mode": Annotated[str, _KERAS_MODE],
    "factor": Positive,
    "patience": NonNegativeInt,
    **dict.fromkeys(["min_lr", "min_delta"], NonNegative),
}
# Arguments of classes without annotations, by the beginning of the class's path.
_KERAS: dict[str, dict[str, Any]] = {
    "keras.optimizers.": _OPTIMIZER,
    "keras.callbacks.": _CALLBACK,
    "kx.callbacks.": _CALLBACK,
    "keras_tuner.oracles.": {
        "max_trials": Count | None,
        **dict.fromkeys(["max_epochs", "iterations"], Count),
        "num_initial_points": Count | None,
        "alpha": Positive,
        "beta": NonNegative,
        "factor": Positive,
    },
}


@functools.cache
def _own_annotation(path: str) -> Annotation | None:
    return of_type(_OWN[path]) if path in _OWN else None


@functools.cache
def _keras_annotation(target: str, name: str) -> Annotation | None:
    for start, arguments in _KERAS.items():
        if target.startswith(start) and name in arguments:
            return of_type(arguments[name])
    return None


def annotation_of(path: str, name: str, node: Mapping[str, Any]) -> Annotation | None:
    """Returns the annotation of the values that a key takes, or None if it has none.

    Args:
        path: Path of the key.
        name: Last part of the path.
        node: Mapping that has the key.
    """
    if (own := _own_annotation(path)) is not None:
        return own
    target = str(node.get("_target_", ""))
    if not target:
        return None
    if (known := _keras_annotation(target, name)) is not None:
        return known
    try:
        found = signature_of(target)
    except LookupError:
        return None
    return None if found is None else found.annotations.get(name)


def is_choice(path: str, name: str, node: Mapping[str, Any]) -> bool:
    """Returns whether a key takes one of a few values, which its rule checks better than the type.

    Args:
        path: Path of the key.
        name: Last part of the path.
        node: Mapping that has the key.
    """
    found = annotation_of(path, name, node)
    return found is not None and found.is_choice


def mismatch(default: Any, value: Any) -> str | None:
    """Returns why a value does not fit the default in the option's file.

    Args:
        default: Value in the option's file. None accepts any value.
        value: Value that was received.

    Returns:
        A sentence, or None if the value fits.
    """
    if default is None or default == "???":
        return None
    if isinstance(value, dict) and ("_target_" in value or isinstance(default, str)):
        return None  # an object, which Keras accepts in place of its name
    if isinstance(default, str) and ("${" in default or value is None):
        return None
    if isinstance(value, str) and "${" in value:
        return None
    if value is None and isinstance(default, int | float) and not isinstance(default, bool):
        return "expected a number. Received: null."
    expected: str | None = None
    if isinstance(default, bool):
        expected = None if isinstance(value, bool) or value == "auto" else "true or false"
    elif isinstance(default, int):
        whole = isinstance(value, int) and not isinstance(value, bool)
        expected = None if whole or value is None else "a whole number"
    elif isinstance(default, float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        expected = None if number or value is None else "a number"
    elif isinstance(default, list):
        expected = None if isinstance(value, list) or value is None else "a list: [a,b]"
        numbers = bool(default) and all(isinstance(item, int | float) for item in default)
        odd = (str, bool, dict, type(None))
        if numbers and isinstance(value, list) and any(isinstance(v, odd) for v in value):
            expected = "a list of numbers"
    elif isinstance(default, dict):
        expected = None if isinstance(value, dict) else "keys and values"
    elif isinstance(default, str) and isinstance(value, bool | int | float):
        expected = "a word"
    return f"expected {expected}. Received: {shown(value)}." if expected else None


def check_values(config: dict[str, Any], choices: dict[Any, Any]) -> list[Mistake]:
    """Returns the mistakes of values that cannot be used, and of required ones that are missing.

    Args:
        config: Composed config, plain values.
        choices: Chosen option of each group.
    """
    mistakes = []
    for path, name, value, node in _keys(config):
        if value == "???":
            group = path.partition(".")[0]
            option = f" ({group}={choices[group]})" if group in choices else ""
            mistakes.append(Mistake(path, f"{NO_VALUE}{option}. Set it: {path}=…"))
            continue
        annotation = annotation_of(path, name, node)
        expected = None if annotation is None else annotation.problem(value)
        if expected:
            mistakes.append(Mistake(path, f"expected {expected}. Received: {shown(value)}."))
    on_tensorflow = config.get("backend") == "tensorflow"
    if config.get("jit_compile") is True and config.get("deterministic") is True and on_tensorflow:
        mistakes.append(
            Mistake(
                "jit_compile",
                "Keras does not compile with XLA while deterministic=true. Set"
                " deterministic=false beside it.",
            )
        )
    return mistakes


def _keys(config: dict[str, Any]) -> Iterator[tuple[str, str, Any, dict[str, Any]]]:
    """Yields the path, the last part of it, the value and the mapping of each key.

    Keys within an argument, such as the class names of class weights, have no annotation.
    """
    todo: list[tuple[str, dict[str, Any]]] = [("", config)]
    while todo:
        path, node = todo.pop(0)
        for key, value in node.items():
            here = f"{path}.{key}" if path else str(key)
            yield here, str(key), value, node
            if isinstance(value, dict) and here not in FREE_MAPPINGS:
                todo.append((here, value))
