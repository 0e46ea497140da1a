"""`kx cross-validate`: a sweep over folds, and its summary over all folds."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from rich.table import Table

from kx.config import Composed, compose
from kx.config.messages import display
from kx.console import number, wide_console
from kx.errors import ConfigError, Mistake
from kx.launch.jobs import Job
from kx.launch.sweep import run_sweep
from kx.process import import_quietly

_OWN = {"folds": 5, "repeats": 1, "stratify": True}  # overrides that are not keys of a config
_NEAR = {"fold": "folds", "repeat": "repeats", "stratified": "stratify"}


def cross_validate(words: Sequence[str]) -> int:
    """Trains and evaluates a config once for each fold, and returns the exit code.

    Each fold is the test split of its own run, and a fraction of the other folds is
    the validation split: the best epoch is chosen without the test fold.

    Args:
        words: Overrides of the config, and `folds=`, `repeats=` and `stratify=`.

    Raises:
        ConfigError: If the overrides have mistakes (the error lists all of them), or if
            the config or the data does not allow folds.
    """
    settings, overrides = _settings(words)
    base = compose(overrides)
    _refuse_without_folds(base)
    splits = [split for split in base.config.report.splits if split != "test"]
    overrides.append(f"report.splits=[{','.join([*splits, 'test'])}]")
    first = compose([*overrides, _fold_word(1, 1, settings)])
    jobs = [
        _with_fold(first, _fold_word(fold, repeat, settings))
        for repeat in range(1, settings["repeats"] + 1)
        for fold in range(1, settings["folds"] + 1)
    ]
    return run_sweep(jobs, kind="cross-validation", summarize=_summarize)


def _settings(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Returns the values of the command's own overrides, and the remaining overrides."""
    settings, others, mistakes = dict(_OWN), [], []
    for word in words:
        key, _, text = word.partition("=")
        if key in _NEAR:
            hint = f"Did you mean {_NEAR[key]!r}? kx cross-validate also takes {', '.join(_OWN)}."
            mistakes.append(Mistake(f"command line: {word}", f"There is no key {key!r}. {hint}"))
            continue
        if key not in _OWN:
            others.append(word)
            continue
        least = {"folds": 2, "repeats": 1}.get(key)
        if least is None and text in ("true", "false"):
            settings[key] = text == "true"
        elif least is not None and re.fullmatch(r"\d+", text) and int(text) >= least:
            settings[key] = int(text)
        else:
            what = "true or false" if least is None else f"a whole number, {least} or more"
            mistakes.append(Mistake(f"command line: {word}", f"{key}: expected {what}."))
    if mistakes:
        raise ConfigError(mistakes)
    return settings, others


def _fold_word(fold: int, repeat: int, settings: Mapping[str, Any]) -> str:
    words = [f"number: {fold}", f"of: {settings['folds']}", "split: test"]
    words += [f"repeat: {repeat}"] * (settings["repeats"] > 1)
    words += ["stratify: false"] * (not settings["stratify"])
    return f"split.fold={{{', '.join(words)}}}"


def _with_fold(first: Composed, word: str) -> Composed:
    """Returns a copy of a config with another fold: composing again would be slow."""
    config = copy.deepcopy(first.config)
    config.split.fold = OmegaConf.create(word.partition("=")[2])
    return replace(first, config=config, overrides=[*first.overrides[:-1], word])


def _refuse_without_folds(base: Composed) -> None:
    if "tuner" in base.choices and "_target_" in base.config.tuner:
        raise ConfigError("A search judges its trials by folds itself: tuner.folds=5, with kx run.")
    if base.config.resume not in ("never", "auto"):
        raise ConfigError(
            f"resume={base.config.resume}: each fold is a run of its own. Expected never, or auto,"
            " which continues a cross-validation."
        )
    if base.config.split.fold is not None:
        raise ConfigError("split.fold is what cross-validation sets. Leave it out: folds=5.")


def _summarize(jobs: Sequence[Job], folder: Path) -> dict[str, float]:
    """Prints mean and spread over the folds, writes their report, and returns the metrics."""
    level = jobs[0].composed.config.report.confidence_level
    rows = fold_statistics(jobs, level)
    table = Table(box=None, pad_edge=False)
    for title in ("metric", "mean", "spread", f"{level:.0%} interval"):
        table.add_column(title, no_wrap=True)
    for row in rows:
        low, high = number(row["low"]), number(row["high"])
        table.add_row(row["metric"], number(row["mean"]), number(row["spread"]), f"{low} … {high}")
    console = wide_console()
    console.print()
    console.print(table)
    import_quietly()
    from kx.evaluation.folds import write_fold_report

    metrics = {f"{row['metric']}_{kind}": row[kind] for row in rows for kind in ("mean", "spread")}
    metrics |= write_fold_report(jobs, rows, folder / "report")
    left_out = jobs[0].composed.config.split.get("test_fraction")
    if left_out:
        print(
            f"\nin no fold: the data's own test split, {left_out:g} of the examples"
            " (split.test_fraction=0 divides all of them)"
        )
    print(f"\nreport: {display(folder / 'report' / 'report.html')}")
    print(f"out-of-fold predictions: {display(folder / 'report' / 'out_of_fold.csv')}")
    return metrics


def fold_statistics(jobs: Sequence[Job], confidence_level: float) -> list[dict[str, Any]]:
    """Returns mean, spread and interval of each metric over the folds.

    The training splits of the folds overlap, so their scores are not independent:
    the interval is that of the corrected resampled t-test.

    Args:
        jobs: Finished jobs, one for each fold (and repeat).
        confidence_level: Confidence level of the interval, between 0 and 1.

    Returns:
        One mapping for each test metric: `metric`, `mean`, `spread` (the standard
        deviation, with `ddof=1`), `low` and `high`.

    Source: Nadeau & Bengio 2003, "Inference for the Generalization Error",
    Machine Learning 52, section 3.
    """
    from scipy import stats

    folds = int(jobs[0].composed.config.split.fold["of"])
    names = sorted(name for name in jobs[0].metrics if name.startswith("test/"))
    rows = []
    for name in names:
        values = np.array([job.metrics[name] for job in jobs if name in job.metrics])
        if len(values) < len(jobs):
            continue  # undefined in a fold with only one class, for example AUC
        spread = float(values.std(ddof=1))
        wide = spread * (1 / len(values) + 1 / (folds - 1)) ** 0.5
        wide *= float(stats.t.ppf((1 + confidence_level) / 2, len(values) - 1))
        mean = float(values.mean())
        rows.append(
            {
                "metric": name,
                "mean": mean,
                "spread": spread,
                "low": mean - wide,
                "high": mean + wide,
            }
        )
    return rows
