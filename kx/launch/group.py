"""The MLflow run that groups the jobs of a sweep."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException

from kx.launch.jobs import DONE, FAILED, KILLED, Job
from kx.tracking.mlflow import experiment_id, experiment_name
from kx.tracking.store import store_uri, unusable


class Group:
    """Holds the parent run of a sweep.

    Args:
        client: of the store.
        run_id: of the parent run.
        name: of the sweep.
    """

    def __init__(self, client: MlflowClient, run_id: str, name: str) -> None:
        self._client, self._run_id, self.where = client, run_id, name
        self.tags = {"mlflow.parentRunId": run_id, "kx.sweep": name}

    @classmethod
    def open(cls, name: str, jobs: Sequence[Job], tracked: Sequence[Job]) -> Group:
        """Opens the parent run of a sweep, or the one that it had before.

        It also creates a new SQLite store: two processes that do so at once destroy it.

        Args:
            name: of the sweep.
            jobs: all of them.
            tracked: those that MLflow keeps.

        Raises:
            KxError: if the store cannot be reached.
        """
        first = tracked[0].composed
        uri = store_uri(first.config.tracking.uri)
        try:
            for other in {store_uri(job.composed.config.tracking.uri) for job in tracked}:
                MlflowClient(other).search_experiments(max_results=1)
            client = MlflowClient(uri)
            experiment = experiment_id(client, experiment_name(first), uri)
            found = client.search_runs(
                [experiment], f"tags.\"kx.sweep\" = '{name}' and tags.\"kx.kind\" = 'sweep'"
            )
            if found and first.config.resume == "auto":
                run_id = found[0].info.run_id
                client.update_run(run_id, status="RUNNING")
            else:
                tags = {"kx.sweep": name, "kx.kind": "sweep", "kx.jobs": str(len(jobs))}
                run_id = client.create_run(experiment, tags=tags, run_name=name).info.run_id
        except (MlflowException, OSError, ImportError) as error:
            raise unusable(uri, error) from error
        group = cls(client, run_id, name)
        for job in tracked:
            if job.state in DONE and job.run_id:  # kept from before: this sweep's, too
                group._adopt(job)
        return group

    def _adopt(self, job: Job) -> None:
        try:
            tags = [RunTag(key, value) for key, value in self.tags.items()]
            self._client.log_batch(job.run_id, tags=tags)
        except MlflowException:
            pass  # in another store, or deleted

    def _end(self, job: Job) -> None:
        """Ends the run of a job whose process could not do so itself."""
        if not job.run_id:
            return
        try:
            client = MlflowClient(store_uri(job.composed.config.tracking.uri))
            if client.get_run(job.run_id).info.status == "RUNNING":
                client.log_batch(job.run_id, tags=[RunTag("kx.error", job.error[:5000])])
                client.set_terminated(job.run_id, job.state)
        except (MlflowException, OSError) as error:
            print(f"job {job.number} could not be ended in the tracking store: {error}")

    def close(self, jobs: Sequence[Job], results: str, *, killed: bool) -> None:
        """Ends the parent run, with the results of its jobs.

        Args:
            jobs: of the sweep.
            results: as CSV.
            killed: whether the sweep was stopped.
        """
        from kx.launch.figure import comparison

        status = "FINISHED" if all(job.state in DONE for job in jobs) else "FAILED"
        try:
            for job in jobs:
                if job.state in (FAILED, KILLED) and job.composed.config.tracking.enabled:
                    self._end(job)
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "results.csv").write_text(results, encoding="utf-8")
                comparison(jobs, Path(folder, "comparison.png"))
                self._client.log_artifacts(self._run_id, folder, "sweep")
            self._client.set_terminated(self._run_id, "KILLED" if killed else status)
        except (MlflowException, OSError) as error:
            print(f"the sweep's own run could not be ended in the tracking store: {error}")
