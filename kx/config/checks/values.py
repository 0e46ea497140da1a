"""Rules for the values of a config. Nothing is imported to check them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from kx.config.messages import FREE_MAPPINGS, shown
from kx.config.metric_modes import UNKNOWN_MODE
from kx.config.schema import BACKENDS, PIPELINE_KEYS, PRECISIONS, REMATERIALIZE, TYPES
from kx.errors import Mistake

NO_VALUE = "This key has no value"
_Rule = tuple[Callable[[Any], bool], str]
_POSITIVE: _Rule = (lambda v: v > 0, "a number greater than 0")
_AT_LEAST_0: _Rule = (lambda v: 0 <= v < math.inf, "0 or more")
_AT_LEAST_1: _Rule = (lambda v: v >= 1, "at least 1")
_BELOW_1: _Rule = (lambda v: 0 <= v < 1, "at least 0 and less than 1")
_COUNT: _Rule = (lambda v: type(v) is int and v >= 1, "a whole number, at least 1")
_PART: _Rule = (lambda v: 0 < v <= 1, "more than 0, at most 1")
_UNIT: _Rule = (lambda v: 0 <= v <= 1, "between 0 and 1")
_BETWEEN: _Rule = (lambda v: 0 < v < 1, "between 0 and 1, neither included")


def _real(rule: _Rule) -> _Rule:
    """Returns a rule that takes numbers alone: nobody else judges a word here."""
    return (lambda v: isinstance(v, int | float) and rule[0](v), rule[1])


def _one_of(*allowed: Any) -> _Rule:
    return (lambda v: v in allowed, "one of " + ", ".join(map(str, allowed)))


def _is_path(value: Any) -> bool:
    """Says whether the system takes a path: names of 255 bytes, all of it below 4096."""
    names = [len(name) for name in str(value).encode(errors="replace").split(b"/")]
    return max(names) <= 255 and sum(names) + len(names) < 4000 and "\0" not in str(value)


# By the last word of the key's path; numbers in a list are checked one by one.
NORMALIZATIONS = ("unit", "symmetric", "standardize", "mnist", "imagenet", "caffe", "none")
_RULES: dict[str, _Rule] = {
    **dict.fromkeys(
        ["epochs", "batch_size", "steps_per_epoch", "evaluation_steps", "overfit_batches"],
        _AT_LEAST_1,
    ),
    **dict.fromkeys(
        ["units", "hidden_units", "dense_units", "embedding_units", "filters", "kernel_size"],
        _AT_LEAST_1,
    ),
    **dict.fromkeys(
        ["num_layers", "depth", "limit", "steps_per_execution", "top_k", "max_aspect_ratio"],
        _AT_LEAST_1,
    ),
    **dict.fromkeys(["image_size", "num_operations"], _COUNT),
    **dict.fromkeys(["learning_rate", "epsilon", "clipnorm", "global_clipnorm"], _POSITIVE),
    **dict.fromkeys(["clipvalue", "factor", "max_tokens", "sequence_length"], _POSITIVE),
    **dict.fromkeys(["seed"], (lambda v: 0 <= v < 2**32, "0 to 4294967295")),
    **dict.fromkeys(["patience", "padding", "intra_op"], _AT_LEAST_0),
    **dict.fromkeys(["inter_op", "warmup_epochs", "l1", "l2", "weight_decay"], _AT_LEAST_0),
    **dict.fromkeys(["min_lr", "min_delta", "num_mistakes", "max_degrees"], _AT_LEAST_0),
    **dict.fromkeys(["beta_1", "beta_2", "rho", "momentum", "ema_momentum"], _BELOW_1),
    **dict.fromkeys(["label_smoothing", "max_fraction", "validation_fraction"], _BELOW_1),
    **dict.fromkeys(["test_fraction", "height_fraction", "width_fraction"], _BELOW_1),
    **dict.fromkeys(["dropout", "embedding_dropout", "convolution_dropout"], _BELOW_1),
    "recurrent_dropout": _BELOW_1,
    **dict.fromkeys(["min_area_fraction", "max_area_fraction"], _PART),
    **dict.fromkeys(["probability", "brightness", "contrast", "saturation"], _UNIT),
    "hue": (lambda v: 0 <= v <= 0.5, "between 0 and 0.5"),
    **dict.fromkeys(["min_sigma", "max_sigma", "max_magnitude", "max_megapixels"], _POSITIVE),
    **dict.fromkeys(["magnitude", "x_fraction", "y_fraction"], _AT_LEAST_0),
    "final_fraction": _UNIT,
    "boundaries_fraction": _BETWEEN,
    "threshold": _BETWEEN,
    "confidence_level": _BETWEEN,
    "num_bootstrap_samples": (lambda v: v >= 10, "at least 10"),
    "gradient_accumulation_steps": (lambda v: v >= 2, "at least 2, or null"),
    "backend": _one_of(*BACKENDS),
    "precision": _one_of(*PRECISIONS),
    "rematerialize": (
        lambda v: v in REMATERIALIZE,
        "activations, or null (Keras 3.15's full and larger_than fail on TensorFlow)",
    ),
    **dict.fromkeys(["jit_compile", "drop_remainder"], _one_of(True, False, "auto")),
    **dict.fromkeys(["workers", "max_trials", "max_epochs"], _COUNT),
    **dict.fromkeys(["iterations", "executions_per_trial", "num_initial_points"], _COUNT),
    **dict.fromkeys(["max_retries_per_trial", "beta"], _real(_AT_LEAST_0)),
    **dict.fromkeys(["max_hours", "alpha", "max_consecutive_failed_trials"], _real(_POSITIVE)),
    **dict.fromkeys(["processes", "logical_devices", "model_devices", "max_turns"], _COUNT),
    **dict.fromkeys(["max_retries", "gpus", "signal_seconds"], _real(_AT_LEAST_0)),
    **dict.fromkeys(["cpus", "memory_gb"], _real(_POSITIVE)),
    "monitor": (lambda v: isinstance(v, str), "one of the metrics, by its name: val_loss"),
    "objective_mode": _one_of("min", "max"),
    "timeout_minutes": _real(_POSITIVE),
    # What a name does not tell is refused once it is known that there is such a metric.
    "monitor_mode": (lambda v: v in ("min", "max", UNKNOWN_MODE), "one of min, max"),
    "mode": (lambda v: v in ("min", "max", "auto", UNKNOWN_MODE), "one of min, max, auto"),
    "splits": _one_of("train", "validation", "test"),
    "cache": _one_of("auto", "memory", "disk"),
    "normalize": _one_of(*NORMALIZATIONS),
    "crop_fraction": _PART,
    "run_dir": (_is_path, "a path: 255 bytes a name, 4000 in all"),
    "run_name": (lambda v: len(str(v)) <= 150, "150 letters at most"),  # it names a folder, too
}
_LISTS = ("splits",)  # choices of which several are taken
_NEVER_NULL = ("cache", "normalize", "drop_remainder")


def is_choice(key: str) -> bool:
    """Says whether a key takes one of a few values, whose rule says more than their type does."""
    return key in _RULES and _RULES[key][1].startswith("one of")


def mismatch(default: Any, value: Any) -> str | None:
    """Says why a value cannot stand where the option's file has this default.

    Args:
        default: the value in the option's file; None admits anything.
        value: what was received.

    Returns:
        A sentence, or None if it fits.
    """
    if default is None or default == "???":
        return None
    if isinstance(value, dict) and ("_target_" in value or isinstance(default, str)):
        return None  # it stands for an object, as Keras takes one in place of its name
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
    """Returns the values that Keras cannot use, and the required ones that are missing."""
    mistakes = []
    for path, value, ours in _keys(config):
        name = path.rpartition(".")[2]
        if value == "???":
            group = path.partition(".")[0]
            option = f" ({group}={choices[group]})" if group in choices else ""
            mistakes.append(Mistake(path, f"{NO_VALUE}{option}. Set it: {path}=…"))
            continue
        rule = _RULES.get(name) if ours else None
        if rule is None:
            continue
        several = isinstance(value, list) and (name in _LISTS or not is_choice(name))
        for item in value if several else [value]:
            left_out = item is None and name not in _NEVER_NULL
            if not left_out and not _holds(rule, item, is_choice(name)):
                text = f"expected {rule[1]}. Received: {shown(item)}."
                mistakes.append(Mistake(path, text))
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


def _holds(rule: _Rule, value: Any, is_choice: bool) -> bool:
    if isinstance(value, dict):  # an object, which Keras judges; no choice is one
        return not is_choice
    if isinstance(value, float) and not math.isfinite(value):
        return False
    try:
        return rule[0](value)
    except TypeError:  # a word where a number is possible too: Keras judges it
        return True


def _keys(config: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Yields the path and value of each key, and whether its rule counts.

    It does for the schema's keys, and for the arguments of kx's and of Keras's
    functions: not for a user's own, nor for what is within an argument, as
    weights of classes by their names.
    """
    todo: list[tuple[str, dict[str, Any], bool]] = [("", config, True)]
    while todo:
        path, node, ours = todo.pop(0)
        for key, value in node.items():
            here = f"{path}.{key}" if path else str(key)
            is_pipelines = here in [f"data.{name}" for name in PIPELINE_KEYS]
            yield here, value, ours or is_pipelines  # whatever function loads the data
            if not isinstance(value, dict):
                continue
            if here in FREE_MAPPINGS:
                within = False
            elif "_target_" in value:
                within = str(value["_target_"]).startswith(("kx.", "keras.", "keras_tuner."))
            else:
                within = here in TYPES
            todo.append((here, value, within))
