"""The processes that train together, as read from the environment: TF_CONFIG, or Slurm."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import Any

from kx.errors import ConfigError

_PORT = 28_800  # default port of the workers, if the cluster sets none


def cluster_of_environment(port: int | None = None) -> dict[str, Any] | None:
    """Returns the cluster of this process in the form of `TF_CONFIG`, or None if there is none.

    Args:
        port: Port on which the first worker of a host listens, if Slurm starts the workers.
            Defaults to None: 28800.

    Raises:
        ConfigError: If `TF_CONFIG` cannot be used.
    """
    given = os.environ.get("TF_CONFIG")
    if given:
        return _read(given)
    count = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if count < 2:
        return None
    index, first = int(os.environ["SLURM_PROCID"]), port or _PORT
    places: list[str] = []
    for host, tasks in zip(_hosts(), _tasks_per_node(), strict=True):
        places += [f"{host}:{first + i}" for i in range(tasks)]
    return {"cluster": {"worker": places}, "task": {"type": "worker", "index": index}}


def _read(text: str) -> dict[str, Any]:
    """Returns `TF_CONFIG` with the chief, if there is one, as the first of the workers."""
    try:
        given = json.loads(text)
        cluster, task = dict(given["cluster"]), given["task"]
        kind, index = str(task["type"]), int(task["index"])
        chiefs = list(cluster.pop("chief", [])) + list(cluster.pop("master", []))
        workers = [*chiefs, *cluster.pop("worker", [])]
        others = [name for name in cluster if name != "evaluator"]
        if others or kind not in ("chief", "master", "worker") or not workers:
            raise ValueError(f"task {kind!r} of {sorted(given['cluster'])}")
        index += len(chiefs) if kind == "worker" else 0
        return {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            "TF_CONFIG: expected"
            ' {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}.'
            f" Received: {text} ({error})"
        ) from error


def _hosts() -> list[str]:
    nodes = os.environ["SLURM_STEP_NODELIST"]
    scontrol = shutil.which("scontrol")
    if scontrol is None:
        return [nodes]
    words = [scontrol, "show", "hostnames", nodes]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def _tasks_per_node() -> list[int]:
    """Parses Slurm's `2(x3),1`: two tasks on each of three nodes, and one on the last."""
    counts: list[int] = []
    for part in os.environ["SLURM_STEP_TASKS_PER_NODE"].split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        assert found is not None
        counts += [int(found[1])] * int(found[2] or 1)
    return counts
