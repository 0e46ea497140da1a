"""Everything MLflow: the store, a run opened and ended, metrics, artifacts, the model."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from kx.config import Composed, project_dir, resolved
from kx.data.specs import Data
from kx.errors import ConfigError, KxError
from kx.tracking import provenance
from kx.tracking.store import artifact_location, current_store, store_uri
from kx.tracking.tracker import Tracker

# MLflow reports each step of its own at INFO: a run of seconds would drown in it.
for _name in ("alembic", "mlflow"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_MAX_PARAM = 6000  # characters; MLflow cuts longer ones


class MlflowTracker(Tracker):
    """Follows a run in MLflow.

    Args:
        client: of the store.
        run_id: of the run.
        run_name: of the run.
        system_metrics: whether to sample CPU, memory and GPU.
    """

    kept = True

    def __init__(
        self, client: MlflowClient, run_id: str, run_name: str, *, system_metrics: bool
    ) -> None:
        super().__init__(run_id, run_name)
        self.client = client
        self._unsent: list[Metric] = []
        self._warned = False
        self._monitor = self._start_monitor() if system_metrics else None

    def _start_monitor(self) -> Any:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        # A short run should have some points too: 2 s, not MLflow's 10.
        monitor = SystemMetricsMonitor(
            self.run_id, sampling_interval=2, tracking_uri=self.client.tracking_uri
        )
        monitor.start()
        return monitor

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Logs numbers of a step, in one request."""
        now = int(time.time() * 1000)
        self._unsent += [Metric(_metric_name(k), float(v), now, step) for k, v in values.items()]
        try:
            self.client.log_batch(self.run_id, metrics=self._unsent)
        except (MlflowException, OSError) as error:
            # The training is worth more than its curve: tried again with the next epoch.
            if not self._warned:
                print(
                    f"the tracking store does not answer, {len(self._unsent)} values wait: {error}"
                )
            self._warned = True
            return
        self._unsent, self._warned = [], False

    def tags(self, values: Mapping[str, Any]) -> None:
        """Logs tags, which may change."""
        tags = [RunTag(str(key), str(value)[:5000]) for key, value in values.items()]
        self.client.log_batch(self.run_id, tags=tags)

    def artifacts(self, folder: Path, path: str | None = None) -> None:
        """Logs the files of a folder."""
        self.client.log_artifacts(self.run_id, str(folder), path)

    def text(self, text: str, path: str) -> None:
        """Logs a text as a file."""
        self.client.log_text(self.run_id, text, path)

    def model(self, model: Any, **kwargs: Any) -> None:
        """Logs a Keras model, so that `mlflow.keras.load_model` reads it.

        Args:
            model: the model.
            **kwargs: of `mlflow.keras.log_model`: `signature`, `pip_requirements` …
        """
        import mlflow.keras

        with (
            current_store(self.client.tracking_uri),
            mlflow.start_run(run_id=self.run_id, nested=True, log_system_metrics=False),
        ):
            mlflow.keras.log_model(model, name="model", **kwargs)

    def end(self, status: str) -> None:
        """Ends the run as FINISHED, FAILED or KILLED."""
        if self._monitor is not None:
            self._monitor.finish()
        if self._unsent:
            self.metrics({})
        if self._unsent:
            print(f"{len(self._unsent)} values of {self.run_name} did not reach the tracking store")
        self.client.set_terminated(self.run_id, status)


def _metric_name(name: str) -> str:
    """Returns a name that MLflow takes."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)


@contextmanager
def open_mlflow_run(
    job: Composed, run_name: str, data: Data, extra: Mapping[str, Any]
) -> Iterator[Tracker]:
    """Opens a run in MLflow, logs all that is known at its start, and ends it.

    Args:
        job: the composed config.
        run_name: of the run.
        data: for its fingerprint and the dataset inputs.
        extra: further tags.

    Yields:
        The tracker. The run ends as FAILED if an exception passes, as KILLED
        after Ctrl-C.

    Raises:
        KxError: if the store cannot be reached.
    """
    settings = job.config.tracking
    uri = store_uri(settings.uri)
    experiment = experiment_name(job)
    try:
        client = MlflowClient(uri)
        run = client.create_run(_experiment_id(client, experiment, uri), run_name=run_name)
    except (MlflowException, OSError, ImportError) as error:
        raise KxError(
            f"The tracking store {provenance.redact(uri)} cannot be used: {error}\n"
            "Choose another (tracking.uri=…) or train without: tracking=none."
        ) from error
    tracker = MlflowTracker(
        client, run.info.run_id, run_name, system_metrics=settings.system_metrics
    )
    try:
        _log_start(client, tracker, job, data, extra)
        yield tracker
    except BaseException as error:
        killed = isinstance(error, KeyboardInterrupt)
        try:
            tracker.tags({"kx.error": f"{type(error).__name__}: {error}"})
            tracker.end("KILLED" if killed else "FAILED")
        except (MlflowException, OSError):
            print(f"the run {run_name} could not be marked in the tracking store")
        if isinstance(error, MlflowException):
            raise KxError(f"The tracking store failed: {error}") from error
        raise
    tracker.end("FINISHED")


def experiment_name(job: Composed) -> str:
    """Returns the MLflow experiment of a run: by default, the data option's name."""
    return job.config.tracking.experiment or job.choices.get("data", "default")


def _experiment_id(client: MlflowClient, name: str, uri: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, artifact_location(uri, name))
        except MlflowException:  # another process was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise ConfigError(
            f"The MLflow experiment {name!r} was deleted. Restore it"
            f" (mlflow experiments restore --experiment-id {found.experiment_id}) or choose"
            " another: tracking.experiment=…"
        )
    return str(found.experiment_id)


def _log_start(
    client: MlflowClient,
    tracker: MlflowTracker,
    job: Composed,
    data: Data,
    extra: Mapping[str, Any],
) -> None:
    code = provenance.code_state(project_dir())
    config = provenance.redact(resolved(job.config))
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
    client.log_batch(
        tracker.run_id,
        params=[Param(k, str(v)[:_MAX_PARAM]) for k, v in params.items()],
        tags=[RunTag(k, str(v)[:5000]) for k, v in tags.items()],
    )
    _log_start_files(tracker, job, config, code)
    client.log_inputs(tracker.run_id, [_dataset_input(data, split) for split in data.splits])


def _log_start_files(
    tracker: MlflowTracker, job: Composed, config: dict[str, Any], code: provenance.Code | None
) -> None:
    files = {
        "config.yaml": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        "overrides.yaml": yaml.safe_dump([provenance.redact_word(w) for w in job.overrides]),
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
    """Returns what a runs table is read by: the chosen options and the main numbers."""
    chosen = {key: value for key, value in job.choices.items() if value not in ("none", "default")}
    numbers = {key: config[key] for key in ("epochs", "batch_size", "seed", "precision")}
    rate = config["optimizer"].get("learning_rate")
    return {**chosen, **numbers, **({} if rate is None else {"optimizer.learning_rate": rate})}


def _override_params(job: Composed) -> dict[str, str]:
    words = [provenance.redact_word(word) for word in job.overrides]
    pairs = [word.lstrip("+~").partition("=") for word in words]
    return {key.replace("@", "."): value for key, _, value in pairs}


def _dataset_input(data: Data, split: str) -> DatasetInput:
    import json

    size = int(data.splits[split].cardinality())
    columns = {
        "inputs": {"shape": list(data.inputs.shape), "dtype": data.inputs.dtype},
        "targets": {"shape": list(data.targets.shape), "dtype": data.targets.dtype},
    }
    dataset = Dataset(
        name=f"{data.name}-{split}"[:500],
        digest=data.fingerprint[:36] or "unknown",
        source_type="tfds" if data.source.startswith("tfds:") else "local",
        source=json.dumps({"uri": data.source}),
        schema=json.dumps({"mlflow_tensorspec": columns}),
        profile=json.dumps({"num_examples": size}),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", split)])
