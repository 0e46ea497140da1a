"""Tracks a run in MLflow: its start and end, metrics, artifacts and model."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from kx.config import Composed
from kx.contracts.specs import Data
from kx.errors import ConfigError, KxError
from kx.secrets import scrub
from kx.tracking.mlflow.client import open_client
from kx.tracking.mlflow.outbox import Sender, forget_end
from kx.tracking.mlflow.run_metadata import log_start
from kx.tracking.run_folder import RunFolder
from kx.tracking.store import artifact_location, full_uri, unusable
from kx.tracking.tracker import Tracker

_FOLDER_TAG = "kx.run_dir"


class MlflowTracker(Tracker):
    """Tracks a run in MLflow.

    Args:
        client: Client of the store.
        run_id: Id of the run.
        run_name: Name of the run.
        outbox: Folder for requests that cannot be sent.
        system_metrics: Whether to sample CPU, memory and GPU.
    """

    kept = True

    def __init__(
        self,
        client: MlflowClient,
        run_id: str,
        run_name: str,
        outbox: Path,
        *,
        system_metrics: bool,
    ) -> None:
        super().__init__(run_id, run_name)
        self.client = client
        self.sender = Sender(client, run_id, outbox)
        self._system_metrics = system_metrics
        self._monitor: Any = None

    def start(self) -> None:
        """Starts sampling system metrics, if they are enabled."""
        if self._system_metrics:
            from kx.tracking.mlflow.system import SystemMonitor

            self._monitor = SystemMonitor(self.run_id, self.client.tracking_uri, self.metrics)
            self._monitor.start()

    def metrics(
        self, values: Mapping[str, float], step: int = 0, time_ms: int | None = None
    ) -> None:
        """Logs metrics of a step, as soon as the store accepts them."""
        now = time_ms or int(time.time() * 1000)
        if values:
            listed = [[_metric_name(k), float(v), now, step] for k, v in values.items()]
            self.sender.put("metrics", values=listed)

    def steps(self, name: str) -> set[int] | None:
        """Returns the steps of a metric in the store, or None if the store does not answer."""
        if not self.sender.flush():
            return None
        try:
            return {point.step for point in self.client.get_metric_history(self.run_id, name)}
        except (MlflowException, OSError):
            return None

    def tags(self, values: Mapping[str, Any]) -> None:
        """Logs tags, which can be changed later."""
        self.sender.put("tags", values={str(k): str(v)[:5000] for k, v in values.items()})

    def artifacts(self, folder: Path, path: str | None = None) -> None:
        """Logs the files of a folder as artifacts."""
        self.sender.put_files(folder, path=path)

    def text(self, text: str, path: str) -> None:
        """Logs a text as a file."""
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder, path)
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_text(text, encoding="utf-8")
            self.artifacts(Path(folder))

    def figure(self, figure: Any, path: str) -> None:
        """Logs a Matplotlib figure as an image file."""
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder, path)
            where.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(where)
            self.artifacts(Path(folder))

    def model(self, model: Any, *, signature: Any, pip_requirements: Sequence[str]) -> None:
        """Logs a Keras model, so that `mlflow.keras.load_model` reads it.

        Args:
            model: Keras model.
            signature: Signature of its inputs and outputs.
            pip_requirements: Packages that it needs.
        """
        from kx.tracking.mlflow.logged_model import keep_model, log_model

        if self.sender.flush():
            try:
                log_model(self.client, self.run_id, model, signature, pip_requirements)
                self.client.update_run(self.run_id, status="RUNNING")  # log_model ended the run
                return
            except (MlflowException, OSError):
                pass  # reported with the request that follows
        with tempfile.TemporaryDirectory() as folder:
            keep_model(Path(folder), model, signature, pip_requirements)
            self.sender.put_files(Path(folder), "model")

    def end(self, status: str) -> None:
        """Ends the run as FINISHED, FAILED or KILLED."""
        if self._monitor is not None:
            self._monitor.finish()
        self.sender.put("end", status=status, time=int(time.time() * 1000))
        try:
            left = self.sender.close(5.0 if status == "KILLED" else None)
        except KeyboardInterrupt:  # unsent requests are already in the outbox
            left = 1
        if left:
            print("the tracking store does not have all yet. What it lacks is kept: kx sync")


def _metric_name(name: str) -> str:
    """Returns a metric name with only characters that MLflow accepts."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)


@contextmanager
def open_mlflow_run(
    job: Composed, folder: RunFolder, data: Data, extra: Mapping[str, Any]
) -> Iterator[Tracker]:
    """Opens a run in MLflow, logs what is known at its start, and ends it.

    Args:
        job: Composed config.
        folder: Folder of the run, with the id of a resumed run.
        data: Data of the run, for its fingerprint and the dataset inputs.
        extra: Additional tags.

    Yields:
        The tracker. The run ends as FAILED after an exception, as KILLED
        after Ctrl-C.

    Raises:
        KxError: If the store cannot be reached.
    """
    settings = job.config.tracking
    uri = full_uri(folder.record.uri, settings.uri)  # a resumed run stays in its store
    try:
        client = open_client(uri)
        run_id = _run_to_go_on(client, job, folder, uri) or _new_run(client, job, folder, uri)
    except (MlflowException, OSError) as error:
        raise unusable(uri, error) from None
    tracker = MlflowTracker(
        client,
        run_id,
        folder.name,
        folder.path / "outbox",
        system_metrics=settings.system_metrics,
    )
    try:
        folder.begin(run_id, uri)
        tracker.start()
        log_start(client, tracker, job, data, extra)
        yield tracker
    except BaseException as error:
        killed = isinstance(error, KeyboardInterrupt)
        tracker.tags({"kx.error": scrub(f"{type(error).__name__}: {error}")})
        tracker.end("KILLED" if killed else "FAILED")
        if isinstance(error, MlflowException):
            raise KxError(f"The tracking store failed: {scrub(error)}") from None
        raise
    tracker.end("FINISHED")


def _new_run(client: MlflowClient, job: Composed, folder: RunFolder, uri: str) -> str:
    experiment = experiment_id(client, experiment_name(job), uri)
    tags = {_FOLDER_TAG: str(folder.path)}
    started = int(folder.record.started * 1000)  # the run may be opened after its first step
    run = client.create_run(experiment, started, tags=tags, run_name=folder.name)
    return str(run.info.run_id)


def _run_to_go_on(client: MlflowClient, job: Composed, folder: RunFolder, uri: str) -> str | None:
    """Returns the id of the resumed run, RUNNING again, or None for a new run."""
    run_id = folder.record.run_id
    if not folder.resumed:
        return None
    if run_id is None:  # killed before the run id was recorded in the folder
        experiment = experiment_id(client, experiment_name(job), uri)
        found = client.search_runs([experiment], f"tags.\"{_FOLDER_TAG}\" = '{folder.path}'")
        run_id = found[0].info.run_id if found else None
    if run_id is not None:
        if "kx.error" in _undeleted(client, run_id, folder.name).data.tags:
            client.delete_tag(run_id, "kx.error")
        client.update_run(run_id, status="RUNNING")
        forget_end(folder.path / "outbox")
    return run_id


def _undeleted(client: MlflowClient, run_id: str, name: str) -> Any:
    """Returns a run of the store, and raises `KxError` if it was deleted."""
    restore = ""
    try:
        run = client.get_run(run_id)
        if run.info.lifecycle_stage != "deleted":
            return run
        restore = f", restore it (mlflow runs restore --run-id {run_id})"
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    raise KxError(
        f"{name} cannot continue: its MLflow run {run_id} was deleted. Start a new run"
        f" (resume=never){restore}, or continue without MLflow: tracking=none."
    )


def experiment_name(job: Composed) -> str:
    """Returns the name of a run's MLflow experiment, by default that of the data option."""
    return job.config.tracking.experiment or job.choices.get("data", "default")


def experiment_id(client: MlflowClient, name: str, uri: str) -> str:
    """Returns the id of an MLflow experiment, which is made if it does not exist.

    Args:
        client: Client of the store.
        name: Name of the experiment.
        uri: URI of the store.

    Raises:
        ConfigError: If the experiment was deleted.
    """
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
