"""Finished runs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
from omegaconf import OmegaConf

from kx.config import Composed, add_project_to_path, resolved
from kx.config.moved import translated
from kx.data.sources.images.folder.formats import MAX_MEGAPIXELS
from kx.errors import RunNotFoundError
from kx.export.bundle import Bundle
from kx.export.predictor import Predictor
from kx.export.views import with_views
from kx.run_names import named_runs
from kx.tasks.make import make_task
from kx.tracking.store import store_uri
from kx.tracking.tracker import Tracker

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

    from kx.export.export import Trained

_SYSTEM = "system/"
_CONVERTED = "kx.data.converted"  # a tag


class Run:
    """Holds a finished run.

    Attributes:
        id: MLflow run id.
        name: Name of the run.
        status: `"FINISHED"`, `"FAILED"`, `"KILLED"` or `"RUNNING"`.
        config: Resolved config, as plain values.
        metrics: Final metrics: `test/accuracy`, `val/loss`, `best/val_accuracy` …
        history: Metrics by name, each a list of one value per epoch.

    Example:
        kx.load_run("latest").predict(["seven.png"])
    """

    compared: Sequence[str] = ()  # with baselines, in words
    writes = False  # texts, which the report alone judges

    def __init__(
        self,
        job: Composed,
        tracker: Tracker,
        metrics: dict[str, float],
        history: dict[str, list[float]],
        bundle: Bundle | None,
        model: keras.Model | None = None,
        chosen_by: str | None = None,
    ) -> None:
        self.id, self.name = tracker.run_id, tracker.run_name
        self.status = "FINISHED"
        self.config = resolved(job.config)
        self.metrics, self.history = metrics, history
        self.uri = store_uri(job.config.tracking.uri) if tracker.kept else None
        self._bundle = bundle if bundle and bundle.folder.is_dir() else None
        self._model = model
        self.chosen_by = chosen_by  # the metric whose best epoch was restored

    @classmethod
    def from_store(cls, stored: MlflowRun, uri: str) -> Run:
        """Returns a run that is read from the tracking store.

        Args:
            stored: MLflow's run.
            uri: URI of the tracking store.
        """
        from kx.tracking.mlflow.client import open_client
        from kx.tracking.mlflow.run_list import history_of

        run = cls.__new__(cls)
        client = open_client(uri)
        run.id, run.name = stored.info.run_id, stored.info.run_name
        run.status, run.uri = stored.info.status, uri
        run.metrics = {k: v for k, v in stored.data.metrics.items() if not k.startswith(_SYSTEM)}
        run.history = history_of(client, stored)
        run.config = run._read_config()
        run._bundle = run._model = run.chosen_by = None
        return run

    def __repr__(self) -> str:
        return f"<kx.Run {self.name} ({self.id[:8]}) {self.status}>"

    def _read_config(self) -> dict[str, Any]:
        try:
            config = OmegaConf.load(self.artifact("config.yaml"))
        except (RunNotFoundError, OSError):
            return {}
        container = OmegaConf.to_container(config, resolve=False)
        assert isinstance(container, dict)
        return translated({str(key): value for key, value in container.items()})

    def recorded_config(self) -> dict[str, Any]:
        """Returns the config, or raises if it was not found in the store.

        Raises:
            RunNotFoundError: If the artifact with the config cannot be read.
        """
        if not self.config:
            raise RunNotFoundError(
                f"The run {self.name} ({self.status}) has no config: {self.artifact('config.yaml')}"
                " cannot be read, or its artifacts have gone."
            )
        return self.config

    def tags(self) -> dict[str, str]:
        """Returns the tags of the run in its store, or an empty dict if it was not tracked."""
        if self.uri is None:
            return {}
        from kx.tracking.mlflow.client import open_client

        return dict(open_client(self.uri).get_run(self.id).data.tags)

    def artifact(self, path: str) -> Path:
        """Returns the local path of an artifact, which is downloaded if it is remote.

        Args:
            path: Path within the run: `report/test/report.html`.

        Raises:
            RunNotFoundError: If the run has no such artifact.
        """
        if self.uri is None:
            raise RunNotFoundError(f"The run {self.name} kept nothing (tracking=none).")
        from kx.tracking.mlflow.client import fetch_artifact

        try:
            return fetch_artifact(self.uri, self.id, path)
        except FileNotFoundError as error:
            raise RunNotFoundError(
                f"The run {self.name} ({self.status}) has no artifact {path!r} in {error}."
            ) from error

    def bundle(self) -> Bundle:
        """Returns the run's bundle: its data preparation, specs and examples.

        Raises:
            RunNotFoundError: If the run did not finish, or saved no model.
        """
        if self._bundle is None:
            if self.uri is None:
                raise RunNotFoundError(f"The run {self.name} kept nothing (tracking=none).")
            try:
                self._bundle = Bundle(self.artifact("bundle"))
            except RunNotFoundError as error:
                if self.tags().get("kx.kind") == "trial":
                    raise RunNotFoundError(
                        f"The run {self.name} is a trial of a search. Trials keep no model; the"
                        " winner may: kx search show."
                    ) from error
                raise RunNotFoundError(
                    f"The run {self.name} ({self.status}) has no model: it did not come to its end,"
                    f" was made with tracking.log_model=false, or its artifacts have gone. {error}"
                    " Finished runs: kx runs --status FINISHED."
                ) from error
        return self._bundle

    def model(self) -> keras.Model:
        """Returns the trained model, which includes the normalization and gives raw scores.

        Raises:
            RunNotFoundError: If the run has no model.
        """
        if self._model is None:
            self._import_targets()
            local = self.bundle().folder / "model.keras"
            if local.is_file():
                self._model = keras.models.load_model(local)
            else:
                from kx.tracking.mlflow.logged_model import load_logged_model

                self._model = load_logged_model(self.id, self.uri)
        return self._model

    def _import_targets(self) -> None:
        """Imports the modules of the config's targets, which may register custom layers."""
        import importlib

        for key in ("model", "task"):
            target = str(self.config.get(key, {}).get("_target_", ""))
            with contextlib.suppress(ImportError, ValueError):  # a ValueError without a module
                importlib.import_module(target.rpartition(".")[0])

    def task(self, environment: Any = None) -> Any:
        """Returns the run's task.

        Args:
            environment: Environment in which it is to be reported. Defaults to None.
        """
        spec = self.bundle().spec()  # that of an earlier version has no facts
        given = self.config["task"], spec["inputs"], spec["targets"], spec.get("facts")
        named = named_runs(self.config, "task", functools.partial(load_run, uri=self.uri))
        return make_task(*given, named=named, environment=environment)

    @functools.cached_property
    def predictor(self) -> Predictor:
        """Returns the predictor from raw examples to predictions."""
        return self._predictor(self.model())

    def _predictor(self, model: keras.Model) -> Predictor:
        data = self.config["data"]
        limit = data.get("max_megapixels") or MAX_MEGAPIXELS
        column, quotes = str(data.get("text", "text")), bool(data.get("quotes", True))
        return Predictor(self.bundle(), model, self.task(), limit, column, quotes)

    def predict(self, inputs: Sequence[Any], *, tta: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Predicts raw inputs.

        Args:
            inputs: File names, bytes or arrays of uint8 for images; texts, or `.csv` files of
                them; lines, sequences of numbers or `.csv` files for rows; arrays, `.npy`,
                `.npz` and `.json` files, or JSON for arrays.
            tta: Views of each image over which to average (test-time augmentation):
                `"flip"`, `"vertical_flip"`, `"quarter_turns"`, `"shift"`. Defaults to none.

        Returns:
            One dict per example: `"input"`, and the outputs of the task: `"label"`,
            `"confidence"`, `"probabilities"`; `"value"` for regression.
        """
        if isinstance(inputs, str | bytes | Path):
            inputs = [inputs]
        return self.with_views(tta)(inputs)

    def with_views(self, tta: Sequence[str]) -> Predictor:
        """Returns a predictor whose predictions are averaged over views of each example.

        Args:
            tta: Names of the views, as in `predict`. If empty, no averaging.
        """
        if not tta:
            return self.predictor
        return self._predictor(with_views(self.model(), self.task(), tta))

    def export(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Exports a SavedModel on raw input, a `.keras` file and weights, and verifies them.

        The exported model is reloaded and its predictions are compared with the trained one's.

        Args:
            folder: Path to the folder to write.
            overwrite: Whether to replace an existing folder. Defaults to False.

        Returns:
            Path to the folder.

        Raises:
            ExportError: If the exported model predicts otherwise than the trained one.
        """
        from kx.export.export import export_run

        return export_run(self.trained(), Path(folder), overwrite=overwrite).folder

    def trained(self) -> Trained:
        """Returns the parts of the run that are exported."""
        from kx.export.export import Trained

        return Trained(
            self.id, self.name, self.config, self.metrics, self.model(), self.task(),
            self.bundle(), int(self.tags().get(_CONVERTED, 0)),
        )  # fmt: skip


def load_run(name: str = "latest", *, uri: str | None = None, experiment: str | None = None) -> Run:
    """Loads a run from the tracking store.

    Args:
        name: Run id, a unique prefix of one, run name, `latest` (the last
            one started), `best` (by its task's validation metric, among the
            finished runs of the experiment), or a model that was registered from
            the run: `models:/NAME@best`, `models:/NAME/2`.
        uri: URI of the tracking store. Defaults to None: the project's store.
        experiment: Name of the experiment to search. Defaults to None: all experiments, and
            for `best` that of the latest run.

    Raises:
        RunNotFoundError: If there is no such run, or more than one, or if it is a
            group of runs.
    """
    from kx.tracking.mlflow.run_list import GROUPS, find_run

    add_project_to_path()  # the run's model, task and layers may be defined there
    where = store_uri(uri)
    found = find_run(name, where, experiment)
    kind = found.data.tags.get("kx.kind")
    if kind in GROUPS:
        name = found.info.run_name
        raise RunNotFoundError(f"{name} is a {kind}, a group of runs. Name one of them: kx runs.")
    return Run.from_store(found, where)
