"""Logs what is known of a run before its first step: config, code, machine, data."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag
from mlflow.exceptions import MlflowException

from kx.config import Composed, project_dir, resolved
from kx.contracts.specs import Data, Spec, Specs
from kx.secrets import redact, redact_word
from kx.tracking import provenance
from kx.tracking.tracker import Tracker

_MAX_PARAM = 6000  # characters; MLflow truncates longer values


def log_start(
    client: MlflowClient,
    tracker: Tracker,
    job: Composed,
    data: Data,
    extra: Mapping[str, Any],
) -> None:
    """Logs what is known of a run before its first step.

    Args:
        client: Client of the store.
        tracker: Tracker of the run.
        job: Composed config.
        data: Data of the run, for its fingerprint and the dataset inputs.
        extra: Additional tags.
    """
    code = provenance.code_state(project_dir())
    config = redact(resolved(job.config))
    params = {**_main_params(job, config), **_override_params(job)}
    tags = {
        "mlflow.source.name": "kx.run",
        "mlflow.note.content": f"`{provenance.command(job.overrides)}`",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": provenance.user(),
        "kx.cwd": os.getcwd(),
        "kx.fingerprint": data.fingerprint,
        "kx.monitor": config["task"].get("monitor", ""),
        "kx.monitor_mode": config["task"].get("monitor_mode", ""),
        **{f"version.{k}": v for k, v in provenance.package_versions().items()},
        **extra,
        **config["tracking"]["tags"],
    }
    if code is not None:
        tags |= {"mlflow.source.git.commit": code.commit, "kx.git_clean": str(code.clean).lower()}
    known = client.get_run(tracker.run_id).data.params  # of a resumed run: they never change
    client.log_batch(
        tracker.run_id,
        params=[Param(k, str(v)[:_MAX_PARAM]) for k, v in params.items() if k not in known],
        tags=[RunTag(k, str(v)[:5000]) for k, v in tags.items()],
    )
    _log_start_files(tracker, job, config, code)
    _log_inputs(client, tracker.run_id, data)


def _log_inputs(client: MlflowClient, run_id: str, data: Data) -> None:
    """Logs the dataset inputs, and retries if another run logs them for the first time, too."""
    inputs = [_dataset_input(data, split) for split in data.splits]
    for pause in (0.2, 1.0, None):
        try:
            client.log_inputs(run_id, inputs)
            return
        except MlflowException:  # the other run has just made the row of the dataset
            if pause is None:
                raise
            time.sleep(pause)


def _log_start_files(
    tracker: Tracker, job: Composed, config: dict[str, Any], code: provenance.Code | None
) -> None:
    files = {
        "config.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        "overrides.yaml": yaml.safe_dump([redact_word(w) for w in job.overrides]),
        "environment/packages.txt": "\n".join(provenance.installed_packages()) + "\n",
        "environment/machine.yaml": yaml.safe_dump(provenance.machine()),
    }
    if code is not None and not code.clean:
        files["environment/git.diff"] = code.diff
        files["environment/untracked.txt"] = "\n".join(code.untracked) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        tracker.artifacts(Path(folder))


def _main_params(job: Composed, config: dict[str, Any]) -> dict[str, Any]:
    """Returns the main columns of a table of runs: the chosen options and the main numbers."""
    chosen = {
        _param(key): value for key, value in job.choices.items() if value not in ("none", "default")
    }
    numbers = {key: config[key] for key in ("epochs", "batch_size", "seed", "precision")}
    rate = config["optimizer"].get("learning_rate")
    return {**chosen, **numbers, **({} if rate is None else {"optimizer.learning_rate": rate})}


def _override_params(job: Composed) -> dict[str, str]:
    words = [redact_word(word) for word in job.overrides]
    pairs = [word.lstrip("+~").partition("=") for word in words]
    return {_param(key): value for key, _, value in pairs}


def _param(key: str) -> str:
    """Returns a name that MLflow takes: the place of an option, in `group@place`."""
    return key.rpartition("@")[2]


def _named(what: str, specs: Specs) -> dict[str, Spec]:
    """Returns specs by name: `inputs`, or `inputs.image` of several fields."""
    if isinstance(specs, Spec):
        return {what: specs}
    return {f"{what}.{name}": spec for name, spec in specs.items()}


def _dataset_input(data: Data, split: str) -> DatasetInput:
    size = int(data.splits[split].cardinality())
    fields = {**_named("inputs", data.inputs), **_named("targets", data.targets)}
    columns = {
        name: {"shape": list(spec.shape), "dtype": spec.dtype} for name, spec in fields.items()
    }
    dataset = Dataset(
        name=f"{data.name}-{split}"[:500],
        digest=data.fingerprint[:36] or "unknown",
        source_type="tfds" if data.source.startswith("tfds:") else "local",
        source=json.dumps({"uri": redact(data.source)}),
        schema=json.dumps({"mlflow_tensorspec": columns}),
        profile=json.dumps({"num_examples": size}),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", split)])
