"""The MLflow run that groups the jobs of a sweep, or the trials of a search."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException

from kx.config import Composed
from kx.errors import KxError
from kx.launch.jobs import FAILED, KILLED, Job
from kx.secrets import scrub
from kx.tracking.mlflow.client import open_client
from kx.tracking.mlflow.tracker import experiment_id, experiment_name
from kx.tracking.store import store_uri, unusable


@dataclass
class Group:
    """Holds the parent run of a sweep or a search.

    Args:
        client: MLflow client of the tracking store.
        run_id: ID of the parent run.
        tags: Tags of the member runs.
        kind: Kind of group: `"sweep"`, `"cross-validation"` or `"search"`.
        name: Name of the sweep or the study.
    """

    client: MlflowClient
    run_id: str
    tags: dict[str, str]
    kind: str
    name: str

    @classmethod
    def open(cls, kind: str, name: str, members: Sequence[Composed], *, again: bool) -> Group:
        """Creates the parent run, or reopens an earlier one.

        This also creates a new SQLite store before any job starts: two processes that
        create it at the same time corrupt it.

        Args:
            kind: Kind of group: `"sweep"`, `"cross-validation"` or `"search"`.
            name: Name of the sweep or the study.
            members: Configs of the tracked member runs.
            again: Whether to continue an earlier parent run of that name.

        Raises:
            KxError: If the store cannot be reached.
        """
        first = members[0]
        uri = store_uri(first.config.tracking.uri)
        try:
            for other in {store_uri(member.config.tracking.uri) for member in members}:
                open_client(other)
            client = open_client(uri)
            experiment = experiment_id(client, experiment_name(first), uri)
            tags = {f"kx.{kind}": name, "kx.kind": kind}
            wanted = " and ".join(f"tags.\"{key}\" = '{value}'" for key, value in tags.items())
            found = client.search_runs([experiment], wanted) if again else []
            if found:
                run_id = found[0].info.run_id
                client.update_run(run_id, status="RUNNING")
            else:
                run_id = client.create_run(experiment, tags=tags, run_name=name).info.run_id
        except (MlflowException, OSError) as error:
            raise unusable(uri, error) from None
        return cls(client, run_id, {"mlflow.parentRunId": run_id, f"kx.{kind}": name}, kind, name)

    def adopt(self, run_ids: Sequence[str]) -> None:
        """Makes existing runs members of the group.

        Args:
            run_ids: IDs of finished runs. Runs that are not in the store are skipped.
        """
        for run_id in run_ids:
            try:
                tags = [RunTag(key, value) for key, value in self.tags.items()]
                self.client.log_batch(run_id, tags=tags)
            except MlflowException:
                pass  # in another store, or deleted

    def close(
        self,
        jobs: Sequence[Job],
        status: str,
        fill: Callable[[Path], None],
        metrics: Mapping[str, float] | None = None,
    ) -> bool:
        """Ends the parent run, and the runs of members that the store still lists as running.

        Args:
            jobs: Jobs of the group.
            status: Final status: `"FINISHED"`, `"FAILED"` or `"KILLED"`.
            fill: Function that writes the group's artifacts into a folder.
            metrics: Metrics of the parent run. Defaults to None: none.

        Returns:
            Whether the store was updated.
        """
        for job in jobs:
            if job.state in (FAILED, KILLED) and job.composed.config.tracking.enabled:
                end_run(job)
        try:
            with tempfile.TemporaryDirectory() as folder:
                fill(Path(folder))
                self.client.log_artifacts(self.run_id, folder, self.kind)
            now = int(time.time() * 1000)
            found = [Metric(name, value, now, 0) for name, value in (metrics or {}).items()]
            self.client.log_batch(self.run_id, metrics=found)
            self.client.set_terminated(self.run_id, status)
        except (MlflowException, OSError) as error:
            print(
                f"the run of {self.name} could not be ended in the tracking store: {scrub(error)}"
            )
            return False
        return True


def end_run(job: Job) -> None:
    """Ends the run of a job in its store, if the job's process could not do so itself.

    Args:
        job: A job that was started.
    """
    if not job.run_id or not job.composed.config.tracking.enabled:
        return
    try:
        client = open_client(store_uri(job.composed.config.tracking.uri))
        if client.get_run(job.run_id).info.status == "RUNNING":
            client.log_batch(job.run_id, tags=[RunTag("kx.error", scrub(job.error)[:5000])])
            client.set_terminated(job.run_id, job.state)
    except (MlflowException, OSError, KxError) as error:
        print(f"job {job.number} could not be ended in the tracking store: {scrub(error)}")
