"""Whether more or less of a metric is better, by its name."""

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
UNKNOWN_MODE = "unknown"  # refused by `make_callbacks`, where there is such a metric


def better(monitor: Any, other: Any = None, mode_of_other: Any = None) -> str:
    """Returns whether more or less of a metric is better, by its name: `"max"` or `"min"`.

    Of a name that is not known it is `"unknown"`. In a config
    `${kx.better:${.monitor}}`: who chooses another metric need not say both.

    Args:
        monitor: the metric.
        other: a metric whose mode is known.
        mode_of_other: its mode.

    Example:
    >>> better("val_loss"), better("val_accuracy"), better("val_x"), better("val_x", "val_x", "min")
    ('min', 'max', 'unknown', 'min')
    """
    if monitor == other and mode_of_other is not None:  # whose own mistake is told there
        return mode_of_other if mode_of_other in ("min", "max", UNKNOWN_MODE) else "auto"
    name = str(monitor)
    if name.endswith(_SMALLER_IS_BETTER):
        return "min"
    return "max" if name.endswith(_LARGER_IS_BETTER) else UNKNOWN_MODE


def public_name(name: str) -> str:
    """Returns the name under which users see what Keras calls `loss` or `val_loss`.

    Example:
    >>> public_name("val_loss"), public_name("loss")
    ('val/loss', 'train/loss')
    """
    if name == "learning_rate":
        return name
    return f"val/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}"
