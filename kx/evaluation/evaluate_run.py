"""Implements `kx evaluate RUN`: reports on a finished run, on its own or other data."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from mlflow.entities import Metric
from omegaconf import DictConfig, OmegaConf

from kx.config import compose
from kx.config.checks.values import mismatch
from kx.config.moved import new_key
from kx.config.schema import PIPELINE_KEYS
from kx.contracts.findings import Findings
from kx.contracts.task import scores_examples, takes_examples
from kx.data.issues import print_issues
from kx.data.store import Stored, store
from kx.errors import ConfigError, Mistake, did_you_mean
from kx.evaluation.answers import SplitAnswers, answers_of, report_on
from kx.evaluation.baselines import compare_with_baselines
from kx.evaluation.other.as_trained import as_trained, require_same_form, require_same_world
from kx.evaluation.other.other_data import judged_data
from kx.evaluation.write_reports import report_options, score_prefix
from kx.export.views import with_views
from kx.report.page import write_report
from kx.runs import Run
from kx.secrets import redact, redact_word
from kx.tracking.mlflow.client import open_client


def ask(
    run: Run,
    overrides: Sequence[str],
    split: str | None,
    tta: Sequence[str] = (),
    *,
    baselines: bool = False,
) -> SplitAnswers:
    """Returns the answers of a finished run's model to a split of its own or other data.

    Args:
        run: Finished run.
        overrides: Overrides `data=…`, `data.KEY=…`, `split=…` and `split.KEY=…`.
        split: Name of the split. None: the test split, or all of other data that has none.
        tta: Views of each image to average over. Defaults to none.
        baselines: Whether the answers will be compared with baselines, which learn from the
            training split. Defaults to False.

    Raises:
        ConfigError: If an override names another key.
        DataError: If the data has no such split, or has other classes.
    """
    config = _with_data(run, overrides)
    data, split, of = judged_data(run, config, overrides, split)
    require_same_world(data, run)
    task, model = run.task(data.environment), run.model()
    if tta and not scores_examples(task, data):
        raise ConfigError(
            "tta: the model gives no scores for the examples of its data, which could be averaged"
            " over views: it writes texts, makes images or acts."
        )
    if tta:
        model = with_views(model, task, tta)
    training = None
    if data.environment is not None:
        stored = Stored(int(data.splits[split].cardinality()))
    elif takes_examples(task, data):
        as_trained(data, run)
        found = store(data, {split, *(["train"] if baselines and task.baselines else [])})
        stored, training = found[split], found.get("train")
    else:  # the model takes other inputs, and the report compares with these examples
        require_same_form(data, run)
        found = store(data, {split, "train"})
        stored, training = found[split], found["train"]
    return answers_of(
        model, task, data, stored, split, batch_size=config.batch_size, judged=of,
        training=training,
    )  # fmt: skip


def evaluate_run(
    run: Run,
    overrides: Sequence[str] = (),
    *,
    split: str | None = None,
    out: str | None = None,
    tta: Sequence[str] = (),
) -> Findings:
    """Evaluates a finished run's model, and logs the report to the run.

    The run's own preparation (vocabulary, image size) and classes are used, also
    for other data.

    Args:
        run: Finished run.
        overrides: Overrides `data=…`, `data.KEY=…`, `split=…` and `split.KEY=…`.
        split: Name of the split. Defaults to None: the test split, or all of other data that has
            none.
        out: Path to a folder for a copy of the report. Defaults to None: no copy.
        tta: Views of each image to average over (test-time augmentation): `"flip"`,
            `"vertical_flip"`, `"quarter_turns"`, `"shift"`. Defaults to none.

    Raises:
        ConfigError: If an override names another key.
        DataError: If the data has no such split, or has other classes.
    """
    config = run.recorded_config()
    baseline = config["report"].get("baseline", "auto") != "none" and not overrides and not tta
    answers = ask(run, overrides, split, tta, baselines=baseline and split != "train")
    split = answers.split
    if overrides:  # those of its own data were printed at the training
        print_issues(answers.data)
    findings = report_on(answers, report_options(config), run.history)
    told = []
    if baseline and split != "train":
        told = compare_with_baselines(findings, answers, report_options(config))
    trained_on = run.tags().get("kx.fingerprint", answers.data.fingerprint)
    as_trained_on = not overrides and not tta and answers.data.fingerprint == trained_on
    path = f"report/{split}" if as_trained_on else evaluation_path(f"{split}{views_suffix(tta)}")
    how = [answers.data.name, f"({data_words(overrides)})", *views_words(tta)]
    written = written_report(
        findings, run, path, title=f"{run.name}: {split}", subtitle=" ".join(how), out=out
    )
    if as_trained_on and run.uri is not None:
        _log_metrics(run, findings, split)
    show_metrics(findings, written)
    for sentence in told:
        print(f"baseline: {sentence}")
    return findings


def views_suffix(tta: Sequence[str]) -> str:
    """Returns the suffix of the name of a report on views, such as `-tta-flip`.

    Args:
        tta: Names of the views; empty for none.
    """
    return f"-tta-{'-'.join(tta)}" if tta else ""


def views_words(tta: Sequence[str]) -> list[str]:
    """Returns the words that describe the views in a report.

    Args:
        tta: Names of the views; empty for none.
    """
    return ["averaged over", *tta] if tta else []


def evaluation_path(what: str) -> str:
    """Returns the path of a further evaluation among a run's artifacts."""
    return f"evaluations/{time.strftime('%Y%m%d-%H%M%S')}-{what}"


def data_words(overrides: Sequence[str]) -> str:
    """Returns a description of the evaluated data, with secrets hidden."""
    return " ".join(map(redact_word, overrides)) or "the data of the training"


def written_report(
    findings: Findings, run: Run, path: str, *, title: str, subtitle: str, out: str | None
) -> Path | None:
    """Writes a report to a run's artifacts and to a folder.

    Args:
        findings: Findings of the evaluation.
        run: Run whose artifacts get the report, if the run is tracked.
        path: Path of the report among the artifacts.
        title: Title of the page.
        subtitle: Line below the title.
        out: Path to a folder for a copy of the report, or None for no copy.

    Returns:
        Path to the page, or None if the report is not kept.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "report")  # other users cannot read a temporary folder itself
        folder.mkdir()
        write_report(
            findings,
            folder,
            title=title,
            subtitle=subtitle,
            confidence_level=run.config["report"]["confidence_level"],
            config_text=OmegaConf.to_yaml(OmegaConf.create(redact(run.config))),
        )
        if run.uri is not None:
            open_client(run.uri).log_artifacts(run.id, str(folder), path)
        if out is not None:
            shutil.copytree(folder, out, dirs_exist_ok=True)
    if out is not None:
        return Path(out).absolute() / "report.html"
    return run.artifact(f"{path}/report.html") if run.uri is not None else None


def _with_data(run: Run, overrides: Sequence[str]) -> DictConfig:
    """Returns the run's config with the overrides of its data and its split."""
    config = OmegaConf.create(run.recorded_config())
    assert isinstance(config, DictConfig)
    parsed = [_parse(word) for word in overrides]
    expected = "Expected data=OPTION, data.KEY=VALUE, split=OPTION or split.KEY=VALUE."
    others = [o for o in parsed if o.key_or_group.partition(".")[0] not in ("data", "split")]
    if others:
        raise ConfigError([Mistake(f"command line: {o.input_line}", expected) for o in others])
    chosen = {o.key_or_group for o in parsed} & {"data", "split"}
    if chosen:
        composed = compose(list(overrides)).config
        for group in chosen:
            config[group] = composed[group]
    mistakes = []
    for override in parsed:
        group, _, name = override.key_or_group.partition(".")
        if group in chosen:
            continue
        known = {**(PIPELINE_KEYS if group == "data" else {}), **config[group]}
        place = f"command line: {override.input_line}"
        if name not in known and not override.is_force_add() and not override.is_add():
            key, names = override.key_or_group, set(known) - {"_target_"}
            hint = f"It is {now} now." if (now := new_key(key)) else did_you_mean(name, names)
            mistakes.append(Mistake(place, f"There is no key {key!r}. {hint}"))
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


def _log_metrics(run: Run, findings: Findings, split: str) -> None:
    now = int(time.time() * 1000)
    prefix = score_prefix(split)
    metrics = [Metric(f"{prefix}/{k}", v, now, 0) for k, v in findings.metrics.items()]
    open_client(run.uri).log_batch(run.id, metrics=metrics)


def show_metrics(findings: Findings, page: Path | None) -> None:
    """Prints the metrics with their intervals, and the path to the report.

    Args:
        findings: Findings of the evaluation.
        page: Path to the page of the report, or None if it is not kept.
    """
    print(f"judged: {findings.judged}")
    for name, value in findings.metrics.items():
        low_high = findings.intervals.get(name)
        suffix = f"   [{low_high[0]:.4f}, {low_high[1]:.4f}]" if low_high else ""
        print(f"  {name:<28}{value:.4f}{suffix}")
    if page is not None:
        print(f"\nreport: {page}")
