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
        client: of the store.
        run_id: of the parent run.
        tags: of the runs that belong to it.
        kind: `"sweep"`, `"cross-validation"` or `"search"`.
        name: of the sweep or the study.
    """

    client: MlflowClient
    run_id: str
    tags: dict[str, str]
    kind: str
    name: str

    @classmethod
    def open(cls, kind: str, name: str, members: Sequence[Composed], *, again: bool) -> Group:
        """Opens the run that groups others, or the one that did so before.

        It also creates a new SQLite store: two processes that do so at once destroy it.

        Args:
            kind: `"sweep"`, `"cross-validation"` or `"search"`.
            name: of the sweep or the study.
            members: configs of the runs, which MLflow keeps.
            again: whether to go on with an earlier one of that name.

        Raises:
            KxError: if the store cannot be reached.
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
        """Makes runs, which were finished before, members of the group."""
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
        """Ends the run of the group, and those of its members that still seem to run.

        Args:
            jobs: of the group.
            status: `"FINISHED"`, `"FAILED"` or `"KILLED"`.
            fill: function that writes the group's artifacts into a folder.
            metrics: of the group.

        Returns:
            Whether the store has taken it.
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
    """Ends the run of a job, in its store, whose process could not do so itself.

    Args:
        job: that was begun.
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
