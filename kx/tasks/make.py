"""Makes the task of a config."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
from omegaconf import DictConfig

from kx.config import build, plain
from kx.contracts.specs import Specs
from kx.contracts.task import Task
from kx.errors import ConfigError, did_you_mean


def make_task(
    node: Any,
    inputs: Specs,
    targets: Specs | None,
    facts: Mapping[str, Any] | None = None,
    *,
    named: Mapping[str, Any] | None = None,
    environment: Any = None,
) -> Task:
    """Builds the task of a config.

    A task function takes the specs of the targets. One with an argument `inputs` also gets those
    of the inputs, one with an argument `facts` what was found on the training split, one with an
    argument `environment` that of data without examples.

    Args:
        node: Config of the task.
        inputs: Spec of one prepared input, or of each of its fields.
        targets: Spec of one target, or of each of its fields.
        facts: What was found on the training split. Defaults to None: nothing.
        named: Finished runs by argument, in place of their names. Defaults to None: none.
        environment: Environment of the data. Defaults to None: the data has examples, or the
            task is made again to predict.

    Raises:
        ConfigError: If the function returns no task.
    """
    node = plain(node, resolve=True) if isinstance(node, DictConfig) else dict(node)
    values: dict[str, Any] = {
        "inputs": inputs, "facts": dict(facts or {}), "environment": environment,
    }  # fmt: skip
    function = build({k: v for k, v in node.items() if k != "metrics"}, targets, place="task",
                     partial=True)  # fmt: skip
    takes = inspect.signature(function.func).parameters
    further = {} if "metrics" in takes else node.pop("metrics", None) or {}
    if environment is not None and "environment" not in takes:
        raise ConfigError(
            f"task ({node['_target_']}) learns from examples, and the data is an environment:"
            " task=q_learning, task=dqn or task=reinforce."
        )
    given = {name: value for name, value in values.items() if name in takes} | dict(named or {})
    task = build(node, targets, place="task", **given)
    if not isinstance(task, Task):
        raise ConfigError(f"task ({node['_target_']}): expected a kx.Task. Received: {task!r}.")
    if further:
        _add_metrics(task, further)
    return task


def _add_metrics(task: Task, nodes: Mapping[str, Any]) -> None:
    """Adds the metrics of the config, `task.metrics.NAME`, to those of a task.

    Raises:
        ConfigError: If an entry is no Keras metric, or would not be measured.
    """
    if task.loss is None:
        raise ConfigError(
            "task.metrics: the learner of this task measures what it learns, and no metric of"
            " targets and scores."
        )
    own = task.metrics
    several = isinstance(task.outputs, Mapping)
    if not isinstance(nodes, Mapping):
        raise ConfigError(f"task.metrics: expected {{NAME: {{_target_: …}}}}. Received: {nodes!r}.")
    for name in nodes:
        if several and name not in task.outputs:  # type: ignore[operator]
            raise ConfigError(
                f"task.metrics.{name}: expected the metrics of an output."
                f" {did_you_mean(name, list(task.outputs), 'Outputs')}"  # type: ignore[arg-type]
            )

    def metrics() -> Any:
        found = own()
        if several:
            return {name: [*_listed(found.get(name)), *_built(nodes.get(name, {}), f"{name}.")]
                    for name in {**found, **nodes}}  # fmt: skip
        return [*found, *_built(nodes)]

    metrics()  # so that a mistake raises now
    task.metrics = metrics


def _listed(metrics: Any) -> list[Any]:
    if metrics is None:
        return []
    return list(metrics) if isinstance(metrics, list | tuple) else [metrics]


def _built(nodes: Mapping[str, Any], prefix: str = "") -> list[keras.metrics.Metric]:
    """Returns the metrics of the entries of a config, each under its own name."""
    found = []
    for name, node in nodes.items():
        place = f"task.metrics.{prefix}{name}"
        if not isinstance(node, Mapping):
            raise ConfigError(
                f"{place}: expected {{_target_: keras.metrics.…}}. Received: {node!r}."
            )
        metric = build({"name": name, **node}, place=place)
        if not isinstance(metric, keras.metrics.Metric):
            raise ConfigError(f"{place}: expected a keras.metrics.Metric. Received: {metric!r}.")
        if _takes_probabilities(metric):
            raise ConfigError(
                f"{place}: models give raw scores (logits), and {type(metric).__name__} compares"
                " probabilities with thresholds, or takes their logarithm. from_logits: true where"
                " it has that; else a metric of yours that applies the softmax or sigmoid first."
            )
        found.append(metric)
    return found


def _takes_probabilities(metric: keras.metrics.Metric) -> bool:
    """Returns whether a metric of Keras would be wrong of raw scores, without an error."""
    computes = [type(metric).update_state, getattr(metric, "_fn", None) or keras.metrics.Mean]
    if any(not str(getattr(one, "__module__", "")).startswith("keras.") for one in computes):
        return False  # a user's own is made for the scores of models
    options = {**getattr(metric, "_fn_kwargs", {}), **vars(metric)}
    return (
        options.get("from_logits") is False
        or options.get("thresholds") is not None
        or options.get("threshold") is not None
    )
