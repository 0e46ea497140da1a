"""Commands that ask the models of finished runs: evaluate, predict, export, compare."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kx.commands.listing import show_answers
from kx.runs import Run, load_run


def evaluate(args: argparse.Namespace) -> int:
    """Reports on a run's model, or on the average of several.

    Args:
        args: Arguments of `kx evaluate`.
    """
    # Late: `kx predict` does not wait for what only reports need.
    from kx.evaluation.ensemble import evaluate_ensemble
    from kx.evaluation.evaluate_run import evaluate_run

    names = [word for word in args.overrides if "=" not in word]
    overrides = [word for word in args.overrides if "=" in word]
    run, *others = _runs(args, args.run, *names)
    views = _views(args)
    if others:
        runs = [run, *others]
        evaluate_ensemble(runs, overrides, split=args.split, out=args.out, tta=views)
    else:
        evaluate_run(run, overrides, split=args.split, out=args.out, tta=views)
    return 0


def predict(args: argparse.Namespace) -> int:
    """Answers inputs: one that cannot be read does not keep the others from their answers.

    Args:
        args: Arguments of `kx predict`.
    """
    [run] = _runs(args, args.run)
    answers, problems = run.with_views(_views(args)).try_each(args.inputs)
    if answers or args.json:
        show_answers(answers, as_json=args.json)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def export(args: argparse.Namespace) -> int:
    """Exports a run's model.

    Args:
        args: Arguments of `kx export`.
    """
    from kx.export.export import export_run, show_exported

    [run] = _runs(args, args.run)
    show_exported(export_run(run.trained(), Path(args.out), overwrite=args.overwrite))
    return 0


def reproduce(args: argparse.Namespace) -> int:
    """Trains a run again, and compares.

    Args:
        args: Arguments of `kx reproduce`.
    """
    from kx.commands.reproduce.reproduce import reproduce as reproduce_run

    [run] = _runs(args, args.run)
    return reproduce_run(run)


def compare(args: argparse.Namespace) -> int:
    """Compares runs with the first one.

    Args:
        args: Arguments of `kx compare`.
    """
    from kx.evaluation.compare import compare_runs, show_comparison

    runs = _runs(args, args.run, *args.names)
    found = compare_runs(runs, split=args.split, confidence_level=args.level)
    show_comparison(found, as_json=args.json)
    return 0


def _runs(args: argparse.Namespace, *names: str) -> list[Run]:
    return [load_run(name, uri=args.uri, experiment=args.experiment) for name in names]


def _views(args: argparse.Namespace) -> list[str]:
    return [name for name in args.tta.split(",") if name]
