"""The story of one run: data, task, model, fit, report, save."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
from omegaconf import DictConfig

from kx.config import Composed, build
from kx.data.augment import chain
from kx.data.findings import findings_csv
from kx.data.specs import Data
from kx.export.bundle import examples_to_keep, save_bundle
from kx.fit.assemble import (
    assemble,
    load_weights,
    make_optimizer,
    make_phases,
)
from kx.fit.batches import Batches, make_batches, make_data
from kx.fit.final import final_metrics, restored_by
from kx.fit.fit import announce, compile_options, fit, past, run_tags
from kx.fit.make_callbacks import make_callbacks
from kx.fit.own import refuse_absent_metrics
from kx.fit.state import load_last
from kx.fit.summary import summary_text
from kx.report.reports import write_reports
from kx.strategy import Strategy, follows, prepare_process, strategy, thread_counts
from kx.tasks.task import Task
from kx.tracking.folders import open_followers_folder, open_run_folder
from kx.tracking.runs import Run
from kx.tracking.tracker import open_run
from kx.transfer import Phase


def _nobody(kind: str, values: Mapping[str, Any]) -> bool | None:
    """Watches a run that nobody watches."""


def train(
    job: Composed,
    *,
    data: Data | None = None,
    core: keras.Model | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    quiet: bool = False,
    tags: dict[str, str] | None = None,
    watch: Callable[[str, Mapping[str, Any]], bool | None] = _nobody,
    stop_after: int | None = None,
    evaluate: bool = True,
    threads: Mapping[str, int] | None = None,
) -> Run:
    """Trains, evaluates, tracks and saves one run.

    It is the same function for a single run, a job of a sweep and a
    reproduction.

    Args:
        job: the composed config.
        data: in place of the config's data, if given.
        core: a model that gives scores, in place of the config's, if given.
        callbacks: further ones, after those of the config.
        quiet: whether to show no progress.
        tags: further tags of the run.
        watch: function `(kind, values)` that hears of the run: `"folder"` with its
            folder, `"run"` with its name, id, folder and history so far, `"epoch"`
            with its values. The training stops after an epoch at which it says True.
        stop_after: number of epochs after which to stop, before the config's.
        evaluate: whether to evaluate the test split, report, and save the model
            at the end. Without it the run is paused, and may go on.
        threads: of TensorFlow by kind, where the config leaves them open.

    Returns:
        The finished run.

    Raises:
        ConfigError: before the training, if the parts do not fit together.
        DataError: if the data is missing or cannot be read.
        TrainingError: if the loss becomes NaN.
    """
    config = job.config
    leads = not follows(config)
    if not leads:  # the same training, of which another process keeps what comes of it
        config.tracking.enabled, quiet, evaluate = False, True, False
    with open_run_folder(job) if leads else open_followers_folder(job) as folder:
        watch("folder", {"folder": str(folder.path)})
        prepare_process(config, folder.record.threads or threads)
        folder.record.threads = thread_counts()
        chosen = strategy(config)  # before TensorFlow's first operation
        data = data or make_data(config)
        task = build(config.task, data.targets, place="task")
        state = load_last(folder.record.states, data.fingerprint) if folder.resumed else None
        first_epoch = state.epoch if state else 0
        chosen.agree(first_epoch)
        cache, augment = folder.path / "cache", chain(config.augment)
        batches = make_batches(config, data, task, augment, cache, first_epoch=first_epoch)
        shown = examples_to_keep(data)
        phases = make_phases(config)
        built = partial(_built, config, data, task, core, phases)
        begin_phase = partial(_begin_phase, config, task, batches)
        model = built(chosen)
        if config.init_from and state is None:
            load_weights(model, config.init_from, config.tracking.uri)
        watching = [*make_callbacks(config, task, batches), *callbacks]
        with_validation = batches.validation is not None
        refuse_absent_metrics(callbacks, task.monitors(with_validation=with_validation))
        announce(job, data, model, phases, quiet=quiet)
        about = run_tags(config, data, batches, tags, goes_on=state is not None)
        with open_run(job, folder, data, about) as tracker:
            history = past(state)
            begun = {"name": tracker.run_name, "id": tracker.run_id, "folder": str(folder.path)}
            watch("run", {**begun, "history": history})
            tracker.text(summary_text(model), "model_summary.txt")
            if data.findings:
                tracker.text(findings_csv(data.findings), "data/findings.csv")
            history = fit(
                config, model, batches, watching, tracker, folder, phases=phases,
                begin_phase=partial(begin_phase, chosen, model), state=state,
                fingerprint=data.fingerprint, stop_after=stop_after, quiet=quiet,
                listeners=[
                    lambda values, epoch: watch("epoch", {"epoch": epoch, "values": values})
                ],
            )  # fmt: skip
            model = chosen.alone(model, partial(_compiled, built, begin_phase, phases[-1]))
            metrics = final_metrics(model, batches.test if evaluate else None, history, watching)
            bundle = None
            if evaluate:
                bundle = save_bundle(job, model, task, data, shown, tracker, folder)
                metrics |= write_reports(job, model, task, data, batches, history, tracker, folder)
            # The curves are logged; a number of no epoch shows as a bar at step 0.
            tracker.metrics({k: v for k, v in metrics.items() if k not in history})
            folder.record.metrics = metrics
            folder.paused = not evaluate
    chosen_by = getattr(restored_by(watching), "monitor", None)
    return Run(job, tracker, metrics, history, bundle, model, chosen_by=chosen_by)


def _built(
    config: DictConfig,
    data: Data,
    task: Task,
    core: keras.Model | None,
    phases: Sequence[Phase],
    chosen: Strategy,
) -> keras.Model:
    """Returns the model, built under a strategy; refuses one that does not fit the phases."""
    with chosen.scope():
        model = assemble(config, data, task, core)
        chosen.check(model)
    for phase in reversed(phases):  # last, it is as the first one has it
        make_optimizer(config, 1, learning_rate=phase.learning_rate)  # refused now, not in mid-run
        if phase.prepare is not None:
            phase.prepare(model)
    return model


def _begin_phase(
    config: DictConfig,
    task: Task,
    batches: Batches,
    chosen: Strategy,
    model: keras.Model,
    phase: Phase,
    first_epoch: int,
) -> None:
    """Compiles a model for a phase, with an optimizer of its own."""
    with chosen.scope():
        if phase.prepare is not None:
            phase.prepare(model)
        last_epoch = min(phase.last_epoch, config.epochs)
        optimizer = make_optimizer(
            config, batches.steps_per_epoch,
            epochs=max(1, last_epoch - first_epoch), learning_rate=phase.learning_rate,
        )  # fmt: skip
        task.compile(model, optimizer, **compile_options(config))
    chosen.prepare(model, batches.train_from(first_epoch))


def _compiled(
    built: Callable[[Strategy], keras.Model],
    begin_phase: Callable[[Strategy, keras.Model, Phase, int], None],
    phase: Phase,
    chosen: Strategy,
) -> keras.Model:
    """Returns the model, built and compiled anew."""
    model = built(chosen)
    begin_phase(chosen, model, phase, 0)
    return model
