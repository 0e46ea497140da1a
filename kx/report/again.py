"""`kx evaluate RUN`: the report of a finished run, on its own data or on other."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from mlflow import MlflowClient
from mlflow.entities import Metric
from omegaconf import DictConfig, OmegaConf

from kx.config import compose
from kx.config.schema import PIPELINE_KEYS
from kx.config.values import mismatch
from kx.data.pipeline import store
from kx.data.specs import Data, Spec
from kx.errors import ConfigError, DataError, Mistake, did_you_mean
from kx.fit.batches import make_data
from kx.report.evaluate import evaluate
from kx.report.findings import Findings, ReportOptions
from kx.report.page import write_report
from kx.report.reports import score_prefix
from kx.tracking.provenance import redact, redact_word
from kx.tracking.runs import Run


def evaluate_run(
    run: Run, overrides: Sequence[str] = (), *, split: str = "test", out: str | None = None
) -> Findings:
    """Evaluates a finished run's model, and logs the report to the run.

    The run's own preparation (vocabulary, image size) and classes are used, also
    on other data.

    Args:
        run: the finished run.
        overrides: `data=…` and `data.KEY=…`.
        split: which split.
        out: a folder that gets the report too.

    Raises:
        ConfigError: if an override names another key.
        DataError: if the data has no such split, or other classes.
    """
    config = _with_data(run, overrides)
    data = as_trained(make_data(config), run)
    if split not in data.splits:
        raise DataError(f"The data has no {split!r} split. Available: {', '.join(data.splits)}.")
    options = ReportOptions(
        config.report.num_bootstrap_samples, config.report.confidence_level,
        config.report.num_mistakes, config.seed,
    )  # fmt: skip
    findings = evaluate(
        run.model(), run.task(), data, store(data, split), split, options,
        batch_size=config.batch_size, history=run.history,
    )  # fmt: skip
    words = " ".join(map(redact_word, overrides))
    own_data = not overrides
    path = (
        f"report/{split}" if own_data else f"evaluations/{time.strftime('%Y%m%d-%H%M%S')}-{split}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "report")  # a temporary folder itself is closed to other users
        folder.mkdir()
        write_report(
            findings,
            folder,
            title=f"{run.name}: {split}",
            subtitle=f"{data.name} ({words or 'the data of the training'})",
            confidence_level=options.confidence_level,
            config_text=OmegaConf.to_yaml(OmegaConf.create(redact(run.config))),
        )
        if run.uri is not None:
            _log(run, folder, path, findings if own_data else None, split)
        if out is not None:
            shutil.copytree(folder, out, dirs_exist_ok=True)
    _print(findings, run, path, out)
    return findings


def _with_data(run: Run, overrides: Sequence[str]) -> DictConfig:
    """Returns the run's config, with the overrides of data."""
    config = OmegaConf.create(run.config)
    assert isinstance(config, DictConfig)
    parsed = [_parse(word) for word in overrides]
    expected = "Expected data=OPTION or data.KEY=VALUE."
    others = [o for o in parsed if o.key_or_group.partition(".")[0] != "data"]
    if others:
        raise ConfigError([Mistake(f"command line: {o.input_line}", expected) for o in others])
    if any(override.key_or_group == "data" for override in parsed):
        config.data = compose(list(overrides)).config.data
        return config
    known = {**PIPELINE_KEYS, **config.data}
    mistakes = []
    for override in parsed:
        name = override.key_or_group.removeprefix("data.")
        place = f"command line: {override.input_line}"
        if name not in known and not override.is_force_add() and not override.is_add():
            hint = did_you_mean(name, set(known) - {"_target_"})
            mistakes.append(Mistake(place, f"There is no key {override.key_or_group!r}. {hint}"))
        elif problem := mismatch(known.get(name), override.value()):
            mistakes.append(Mistake(place, f"{override.key_or_group}: {problem}"))
        else:
            OmegaConf.update(config, override.key_or_group, override.value(), force_add=True)
    if mistakes:
        raise ConfigError(mistakes)
    return config


def _parse(word: str) -> Override:
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise ConfigError([Mistake(f"command line: {word}", str(error))]) from error


def as_trained(data: Data, run: Run) -> Data:
    """Returns data, prepared as a run's own was, its classes numbered likewise.

    Args:
        data: of the same kind as the run's.
        run: finished.

    Raises:
        DataError: if it is of another kind, or has other classes.
    """
    spec, preparation = run.bundle().spec(), run.bundle().preparation()
    trained: Spec = spec["targets"]
    if data.kind != spec["kind"]:
        raise DataError(
            f"The model was trained on {spec['kind']} data. Received: {data.kind} data."
        )
    data.prepare = lambda raw: preparation.prepare(raw[None])[0]
    data.inputs = spec["inputs"]
    names, own = data.targets.class_names, trained.class_names
    if names != own:
        if names is None or own is None or not set(names) <= set(own) or data.targets.shape != ():
            raise DataError(
                "This data has other classes than the model: expected"
                f" {', '.join(own or ('none',))}. Received: {', '.join(names or ('none',))}."
            )
        number = tf.constant(np.array([own.index(name) for name in names]), tf.int32)
        for split, dataset in data.splits.items():
            renumbered = dataset.map(lambda x, y: (x, tf.gather(number, y)))
            setattr(data, split, renumbered)
    data.targets = trained
    return data


def _log(run: Run, folder: Path, path: str, findings: Findings | None, split: str) -> None:
    client = MlflowClient(run.uri)
    client.log_artifacts(run.id, str(folder), path)
    if findings is not None:
        now = int(time.time() * 1000)
        client.log_batch(
            run.id,
            metrics=[
                Metric(f"{score_prefix(split)}/{k}", v, now, 0) for k, v in findings.metrics.items()
            ],
        )


def _print(findings: Findings, run: Run, path: str, out: str | None) -> None:
    for name, value in findings.metrics.items():
        low_high = findings.intervals.get(name)
        suffix = f"   [{low_high[0]:.4f}, {low_high[1]:.4f}]" if low_high else ""
        print(f"  {name:<28}{value:.4f}{suffix}")
    if out is not None:
        print(f"\nreport: {Path(out).absolute() / 'report.html'}")
    elif run.uri is not None:
        print(f"\nreport: {run.artifact(f'{path}/report.html')}")
