"""One run from its data to its saved model: data, task, model, fit, report, save."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
from omegaconf import DictConfig

from kx.config import Composed
from kx.contracts.context import RunContext, give_context
from kx.contracts.examples import Examples
from kx.contracts.specs import Data
from kx.contracts.task import scores_examples
from kx.data.augment import chain
from kx.data.issues import issues_csv
from kx.errors import ConfigError
from kx.evaluation.write_reports import write_reports
from kx.export.bundle import examples_to_keep, save_bundle
from kx.fit.batches import Batches, make_batches, make_data
from kx.fit.display import announce, summary_text
from kx.fit.episodes import environment_batches
from kx.fit.final import final_metrics, restored_by
from kx.fit.fit import Session, fit, past, run_tags
from kx.fit.make_callbacks import make_callbacks
from kx.fit.model.assemble import begin_from
from kx.fit.model.builder import Builder
from kx.fit.model.phases import Plan, make_plan
from kx.fit.own import refuse_absent_metrics
from kx.run_names import name_by_id, named_runs
from kx.runs import Run, load_run
from kx.strategy import Strategy, is_follower, prepare_process, strategy, thread_counts
from kx.tasks.make import make_task
from kx.tracking.open import open_run
from kx.tracking.run_folder import RunFolder, open_followers_folder, open_run_folder
from kx.tracking.state import load_last
from kx.tracking.tracker import Tracker

Watch = Callable[[str, Mapping[str, Any]], bool | None]


def _nobody(kind: str, values: Mapping[str, Any]) -> bool | None:
    """Does nothing: the default `watch` of a run without listeners."""


def train(
    job: Composed,
    *,
    data: Data | Examples | None = None,
    core: keras.Model | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    quiet: bool = False,
    tags: dict[str, str] | None = None,
    watch: Watch = _nobody,
    stop_after: int | None = None,
    evaluate: bool = True,
    threads: Mapping[str, int] | None = None,
) -> Run:
    """Trains, evaluates, tracks and saves one run.

    The same function is used for a single run, a job of a sweep and a
    reproduction.

    Args:
        job: Composed config.
        data: Data in place of the config's. Defaults to None: the config's.
        core: Model that gives scores, in place of the config's. Defaults to None: the config's.
        callbacks: Additional callbacks, which run after those of the config.
        quiet: Whether to show no progress.
        tags: Additional tags of the run. Defaults to None.
        watch: Function `(kind, values)` that receives the run's progress: `"folder"` with its
            folder, `"run"` with its name, id, folder and history so far, `"epoch"`
            with its values. The training stops after an epoch for which it returns True.
        stop_after: Number of epochs after which to stop, before the config's. Defaults to
            None: the config's.
        evaluate: Whether to evaluate the test split, report, and save the model
            at the end. If False, the run is paused and can be resumed.
        threads: Number of TensorFlow's threads by kind, where the config does not set it.

    Returns:
        The finished run.

    Raises:
        ConfigError: If the parts do not fit together. Raised before the training.
        DataError: If the data is missing or cannot be read.
        TrainingError: If the loss becomes NaN.
    """
    config = job.config
    leads = not is_follower(config)
    if not leads:  # this process trains the same model, and the first one keeps the results
        config.tracking.enabled, quiet, evaluate = False, True, False
    with open_run_folder(job) if leads else open_followers_folder(job) as folder:
        watch("folder", {"folder": str(folder.path)})
        prepare_process(config, folder.record.threads or threads)
        folder.record.threads = thread_counts()
        load = partial(load_run, uri=config.tracking.uri)
        name_by_id(job, folder.record, load, resumed=folder.resumed)
        devices = strategy(config)  # before TensorFlow's first operation
        data = make_data(config, data)
        plan = make_plan(config, data)
        state = load_last(folder.record.states, plan.fingerprint) if folder.resumed else None
        builder = _builder(config, data, plan, core, devices, folder, state.epoch if state else 0)
        shown = examples_to_keep(data, builder.task)
        built = builder.build()
        model = built.model
        if config.init_from and state is None:
            begin_from(load(config.init_from), model, data)
        watching = _callbacks(builder, callbacks)
        announce(job, data, model, builder.phases, quiet=quiet)
        about = run_tags(config, data, builder.batches, tags, continues=state is not None)
        at_once = watch is not _nobody  # who watches is told the id of the run
        with open_run(job, folder, data, about, may_be_late=not at_once) as tracker:
            if at_once:
                begun = {"name": tracker.run_name, "id": tracker.run_id, "folder": str(folder.path)}
                watch("run", {**begun, "history": past(state)})
            _keep_what_is_known(tracker, model, data)
            context = RunContext(data, builder.task, model, folder.path, tracker.figure)
            give_context(watching, context)
            tracker.begin(partial(_has_stepped, built.learner))
            listener = partial(_told, watch)
            session = Session(tracker, folder, state, [listener], stop_after, quiet)
            history, of_phases = fit(builder, built, watching, session)
            model = builder.to_single_process(built)
            metrics, bundle = final_metrics(history, watching) | of_phases, None
            compared: list[str] = []
            if evaluate:
                bundle = save_bundle(job, model, builder.task, data, shown, tracker, folder)
                scores, compared = write_reports(job, model, builder, history, tracker, folder)
                metrics |= scores
            # The history is logged already. A metric without an epoch is shown as a bar at step 0.
            tracker.metrics({k: v for k, v in metrics.items() if k not in {**history, **of_phases}})
            folder.record.metrics = metrics
            folder.paused = not evaluate
    chosen_by = getattr(restored_by(watching), "monitor", None)
    run = Run(job, tracker, metrics, history, bundle, model, chosen_by=chosen_by)
    run.compared, run.writes = compared, builder.task.generates
    return run


def _builder(
    config: DictConfig,
    data: Data,
    plan: Plan,
    core: keras.Model | None,
    devices: Strategy,
    folder: RunFolder,
    first_epoch: int,
) -> Builder:
    """Returns the builder of a run's model, after making its task and batches."""
    load = partial(load_run, uri=config.tracking.uri)
    task = make_task(
        config.task, data.inputs, data.targets, data.facts, environment=data.environment,
        named=named_runs(config, "task", load),
    )  # fmt: skip
    if config.split.get("fold") and not scores_examples(task, data):
        raise ConfigError(
            "split.fold: a fold is judged by the scores of its examples, and this task gives none."
        )
    if task.generates and data.has_weights:
        raise ConfigError("The data has weights, and this task counts each token of a text alike.")
    devices.check_same_epoch(first_epoch)
    cache, augment = folder.path / "cache", chain(config.augment)

    def batches_of(data: Data, name: str) -> Batches:
        if data.environment is not None:
            return environment_batches(config, data, augment, first_epoch)
        return make_batches(config, data, task, augment, cache / name, first_epoch=first_epoch)

    named, batches = named_runs(config, "model", load), batches_of(data, "run")
    return Builder(config, data, task, batches, plan, devices, core, named, batches_of)


def _callbacks(
    builder: Builder, own: Sequence[keras.callbacks.Callback]
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks of the config, followed by the user's own."""
    task, batches = builder.task, builder.batches
    refuse_absent_metrics(own, task.monitors(with_validation=batches.validation is not None))
    return [*make_callbacks(builder.config, task, batches), *own]


def _has_stepped(model: keras.Model) -> bool:
    optimizer = getattr(model, "optimizer", None)  # None until the model is compiled
    return optimizer is not None and int(optimizer.iterations) > 0


def _keep_what_is_known(tracker: Tracker, model: keras.Model, data: Data) -> None:
    tracker.text(summary_text(model), "model_summary.txt")
    if data.issues:
        tracker.text(issues_csv(data.issues), "data/issues.csv")


def _told(watch: Watch, values: Mapping[str, float], epoch: int) -> bool | None:
    return watch("epoch", {"epoch": epoch, "values": values})
