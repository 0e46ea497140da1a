"""Makes the task of a config."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kx.config import build
from kx.contracts.specs import Specs
from kx.contracts.task import Task
from kx.errors import ConfigError


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
    values: dict[str, Any] = {
        "inputs": inputs, "facts": dict(facts or {}), "environment": environment,
    }  # fmt: skip
    function = build(node, targets, place="task", partial=True)
    takes = inspect.signature(function.func).parameters
    given = {name: value for name, value in values.items() if name in takes} | dict(named or {})
    task = build(node, targets, place="task", **given)
    if not isinstance(task, Task):
        raise ConfigError(f"task ({node['_target_']}): expected a kx.Task. Received: {task!r}.")
    return task
