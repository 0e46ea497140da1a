"""Commands on the models of finished runs: evaluate, predict, export, reproduce, compare."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kx.commands.listing import show_answers
from kx.runs import Run, load_run


def evaluate(args: argparse.Namespace) -> int:
    """Evaluates a run's model, or the average of several, and writes a report.

    Args:
        args: Arguments of `kx evaluate`.

    Returns:
        Exit code: 0.
    """
    # Imported here, since `kx predict` does not need the modules for reports.
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
    """Prints predictions for all inputs that can be read, and the errors of the others.

    Args:
        args: Arguments of `kx predict`.

    Returns:
        Exit code: 1 if an input cannot be read, else 0.
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

    Returns:
        Exit code: 0.
    """
    from kx.export.export import export_run
    from kx.export.exported import show_exported

    [run] = _runs(args, args.run)
    show_exported(export_run(run.trained(), Path(args.out), overwrite=args.overwrite))
    return 0


def reproduce(args: argparse.Namespace) -> int:
    """Trains a run again, and compares the metrics.

    Args:
        args: Arguments of `kx reproduce`.

    Returns:
        Exit code: 0 if all metrics are equal, else 1.
    """
    from kx.commands.reproduce.reproduce import reproduce as reproduce_run

    [run] = _runs(args, args.run)
    return reproduce_run(run)


def compare(args: argparse.Namespace) -> int:
    """Compares runs with the first one.

    Args:
        args: Arguments of `kx compare`.

    Returns:
        Exit code: 0.
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
