"""The mode of a metric by its name: whether higher or lower values are better."""

from __future__ import annotations

from typing import Any

_SMALLER_IS_BETTER = (
    "loss", "error", "mae", "mse", "rmse", "mape", "msle", "perplexity", "distance", "crossentropy",
    "divergence", "logcosh", "poisson", "hinge", "brier", "nll", "wer", "cer",
)  # fmt: skip
_LARGER_IS_BETTER = (
    "accuracy", "auc", "precision", "recall", "f1", "f1_macro", "f1_score", "fbeta_score",
    "iou", "dice", "score", "r2", "similarity", "top_k", "map", "bleu", "rouge", "psnr", "ssim",
    "ndcg", "mrr", "hits", "reward", "return", "correlation", "specificity",
    "sensitivity",
)  # fmt: skip
UNKNOWN_MODE = "unknown"  # `make_callbacks` raises a ConfigError if a metric has it


def better(monitor: Any, other: Any = None, mode_of_other: Any = None) -> str:
    """Returns the mode of a metric by its name: `"max"` if higher is better, or `"min"`.

    For an unknown name it is `"unknown"`. A config uses it as
    `${kx.better:${.monitor}}`, so that setting another metric also sets its mode.

    Args:
        monitor: Name of the metric.
        other: Name of a metric whose mode is known. Defaults to None.
        mode_of_other: Mode of that metric. Defaults to None.

    Example:
    >>> better("val_loss"), better("val_accuracy"), better("val_x"), better("val_x", "val_x", "min")
    ('min', 'max', 'unknown', 'min')
    """
    if monitor == other and mode_of_other is not None:  # reported at the other's key
        return mode_of_other if mode_of_other in ("min", "max", UNKNOWN_MODE) else "auto"
    name = f"_{monitor}"
    if name.endswith(tuple(f"_{word}" for word in _SMALLER_IS_BETTER)):  # not "cer" of "cancer"
        return "min"
    larger = name.endswith(tuple(f"_{word}" for word in _LARGER_IS_BETTER))
    return "max" if larger else UNKNOWN_MODE


def public_name(name: str) -> str:
    """Returns the public name of a metric that Keras names `loss` or `val_loss`.

    Example:
    >>> public_name("val_loss"), public_name("loss")
    ('val/loss', 'train/loss')
    """
    if name == "learning_rate":
        return name
    return f"val/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}"
