"""Builds the callbacks of a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from omegaconf import DictConfig, OmegaConf

from kx.callbacks import SwapAverage
from kx.config import build, plain
from kx.contracts.task import Task
from kx.errors import NO_METRIC, ConfigError, Mistake, did_you_mean
from kx.fit.batches import Batches
from kx.metric_modes import UNKNOWN_MODE


def make_callbacks(
    config: DictConfig, task: Task, batches: Batches
) -> list[keras.callbacks.Callback]:
    """Builds the callbacks of the config, and checks the metrics that they monitor.

    Args:
        config: Config of the run.
        task: Task, for the available metrics.
        batches: Batches, for whether there is a validation split.

    Raises:
        ConfigError: If a callback monitors a metric that is not available, or if a schedule
            is combined with ReduceLROnPlateau.
    """
    entries = {name: node for name, node in config.callbacks.items() if node is not None}
    entries = _without_absent_loss(entries, task)
    available = task.monitors(with_validation=batches.validation is not None)
    watched = [("task.monitor", config.task.get("monitor"))] + [
        (f"callbacks.{name}.monitor", node.get("monitor"))
        for name, node in entries.items()
        # An interpolation follows task.monitor, where the mistake is reported.
        if "monitor" in node and not OmegaConf.is_interpolation(node, "monitor")
    ]
    mistakes = [
        Mistake(place, _no_such_metric(place, monitor, available, batches))
        for place, monitor in watched
        if monitor is not None and monitor not in available
    ]
    mistakes = mistakes or _other_monitor(config, task) or _unknown_modes(config, entries)
    if mistakes:
        raise ConfigError(mistakes)
    run_dir = str(config.run_dir)
    callbacks = [
        build(_with_literal_folder(plain(node, resolve=True), run_dir), place=f"callbacks.{name}")
        for name, node in entries.items()
    ]
    for name, callback in zip(entries, callbacks, strict=True):
        callback.kx_name = name  # the key of its state when the run is resumed
    plateau = keras.callbacks.ReduceLROnPlateau
    scheduled = config.schedule or isinstance(
        config.optimizer.get("learning_rate"), Mapping | DictConfig
    )
    if scheduled and any(isinstance(callback, plateau) for callback in callbacks):
        raise ConfigError(
            "A schedule and ReduceLROnPlateau cannot both set the learning rate: schedule=none, or"
            " callbacks.reduce_lr_on_plateau=null."
        )
    if config.optimizer.get("use_ema"):
        # First, so that the other callbacks evaluate and save the averaged weights.
        callbacks.insert(0, SwapAverage())
    return callbacks


def _without_absent_loss(entries: Mapping[str, DictConfig], task: Task) -> dict[str, DictConfig]:
    """Returns the entries without those that would monitor what a task does not have.

    A task whose learner has losses of its own may have no `val_loss`, which the default callbacks
    monitor, and no metric by which epochs are compared. What is left out is printed.
    """
    no_loss = task.loss is None and "val_loss" not in task.learner_metrics
    absent = [
        name
        for name, node in entries.items()
        if "monitor" in node and (node.monitor is None or (no_loss and node.monitor == "val_loss"))
    ]
    if absent:
        print(f"callbacks: without {', '.join(absent)}, whose metric this task does not have")
    return {name: node for name, node in entries.items() if name not in absent}


def _other_monitor(config: DictConfig, task: Task) -> list[Mistake]:
    """Returns a mistake if a task has another monitor than its config, which the callbacks read."""
    of_config = config.task.get("monitor", "val_loss")
    if task.monitor == of_config:
        return []
    return [
        Mistake(
            "task.monitor",
            f"The task compares runs by {task.monitor!r}, and its config by {of_config!r}. Let its"
            " function take monitor and monitor_mode, and list both in its YAML: monitor:"
            f" {task.monitor}, monitor_mode: {task.monitor_mode}.",
        )
    ]


def _unknown_modes(config: DictConfig, entries: Mapping[str, DictConfig]) -> list[Mistake]:
    """Returns a mistake for each monitored metric whose mode is unknown."""
    modes = [("task", config.task.get("monitor"), "monitor_mode", config.task.get("monitor_mode"))]
    modes += [
        (f"callbacks.{name}", node.get("monitor"), "mode", node.get("mode"))
        for name, node in entries.items()
    ]
    unknown = [one for one in modes if one[3] == UNKNOWN_MODE]
    return [
        Mistake(
            f"{place}.{key}",
            f"The name {monitor!r} does not tell whether more or less of it is better:"
            f" {place}.{key}=max (or min).",
        )
        for place, monitor, key, _ in unknown
        if monitor is not None
        if place == "task" or unknown[0][0] != "task"  # the callbacks follow the task
    ]


def _with_literal_folder(node: dict[str, Any], run_dir: str) -> dict[str, Any]:
    """Returns a callback's node with braces in the folder escaped, as Keras formats `filepath`."""
    path = node.get("filepath")
    if isinstance(path, str) and path.startswith(run_dir):
        literal = run_dir.replace("{", "{{").replace("}", "}}")
        return {**node, "filepath": literal + path.removeprefix(run_dir)}
    return node


def _no_such_metric(place: str, monitor: str, available: list[str], batches: Batches) -> str:
    hint = did_you_mean(monitor, available, "Metrics")
    if monitor.startswith("val_") and batches.validation is None:
        hint = (
            "There is no validation split: give it one, or look at the training:"
            f" {place}={monitor.removeprefix('val_')}"
            + ("." if place.startswith("task") else ", or callbacks=none.")
        )
    return f"{NO_METRIC} {monitor!r}. {hint}"
