"""What the commands of `kx` do. Each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import sys

from kx.errors import ConfigError


def load(args: argparse.Namespace):  # type: ignore[no-untyped-def]
    """Returns the run that RUN names, TensorFlow and Keras imported without their chatter."""
    from kx.process import import_quietly

    import_quietly()
    from kx.runs import load_run

    return load_run(args.run, uri=args.uri, experiment=args.experiment)


def runs(args: argparse.Namespace) -> int:
    """Lists, or deletes, runs."""
    from kx.commands import listing

    if args.names and args.names[0] != "delete":
        raise ConfigError(
            f"kx runs lists runs, and `kx runs delete RUN …` deletes some. Received:"
            f" {' '.join(args.names)}. To choose among them: --filter, --status, --experiment."
        )
    if args.names:
        return listing.delete(args.names[1:], args.uri, args.experiment, ask=not args.yes)
    return listing.show(
        args.uri, args.experiment, text_filter=args.filter, status=args.status, limit=args.limit,
        as_json=args.json,
    )  # fmt: skip


def ui(args: argparse.Namespace) -> int:
    """Opens the MLflow UI."""
    from kx.commands.ui import open_ui

    return open_ui(args.uri, host=args.host, port=args.port)


def evaluate(args: argparse.Namespace) -> int:
    """Reports on a run's model, or on the average of several."""
    run = load(args)
    from kx.evaluation.ensemble import evaluate_ensemble
    from kx.evaluation.evaluate_run import evaluate_run
    from kx.runs import load_run

    names = [word for word in args.overrides if "=" not in word]
    overrides = [word for word in args.overrides if "=" in word]
    others = [load_run(name, uri=args.uri, experiment=args.experiment) for name in names]
    options = {"split": args.split, "out": args.out, "tta": _views(args)}
    if others:
        evaluate_ensemble([run, *others], overrides, **options)
    else:
        evaluate_run(run, overrides, **options)
    return 0


def _views(args: argparse.Namespace) -> list[str]:
    return [name for name in args.tta.split(",") if name]


def predict(args: argparse.Namespace) -> int:
    """Asks a run's model: an input that cannot be read keeps no other from its answer."""
    run = load(args)
    from kx.commands.listing import show_answers

    answers, problems = run.with_views(_views(args)).try_each(args.inputs)
    if answers or args.json:
        show_answers(answers, as_json=args.json)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def export(args: argparse.Namespace) -> int:
    """Exports a run's model."""
    run = load(args)
    from pathlib import Path

    from kx.export.export import export_run, show_exported

    show_exported(export_run(run.trained(), Path(args.out), overwrite=args.overwrite))
    return 0


def reproduce(args: argparse.Namespace) -> int:
    """Runs a run again, and compares."""
    run = load(args)
    from kx.commands.reproduce.reproduce import reproduce

    return reproduce(run)


def search_show(args: argparse.Namespace) -> int:
    """Shows a study."""
    from kx.commands.search import show

    return show(args.study)


def search_export(args: argparse.Namespace) -> int:
    """Writes a study as CSV."""
    from kx.commands.search import export

    return export(args.study, args.csv)


def doctor(args: argparse.Namespace) -> int:
    """Shows what works here."""
    from kx.commands.doctor.doctor import doctor

    return doctor(args.overrides)


def cross_validate(args: argparse.Namespace) -> int:
    """Trains once for each fold."""
    from kx.launch.cross_validation import cross_validate

    return cross_validate(args.overrides)


def compare(args: argparse.Namespace) -> int:
    """Compares runs with the first."""
    from kx.process import import_quietly

    import_quietly()
    from kx.evaluation.compare import compare_runs, show_comparison
    from kx.runs import load_run

    runs = [
        load_run(name, uri=args.uri, experiment=args.experiment) for name in (args.run, *args.names)
    ]
    found = compare_runs(runs, split=args.split, confidence_level=args.level)
    show_comparison(found, as_json=args.json)
    return 0


def sync(args: argparse.Namespace) -> int:
    """Sends what the store lacks."""
    from kx.commands.sync import sync

    return sync()


def summary(args: argparse.Namespace) -> int:
    """Shows a model's layers and sizes."""
    from kx.config import compose

    job = compose(args.overrides)
    from kx.process import choose_backend, import_quietly

    choose_backend(job.config.backend)
    import_quietly()
    from kx.commands.summary import show_summary

    show_summary(job)
    return 0


def data_show(args: argparse.Namespace) -> int:
    """Shows what a model will see."""
    from kx.config import compose

    job = compose(args.overrides)
    from kx.process import import_quietly

    import_quietly()
    from kx.commands.data_show import show

    show(job, args.out, args.num)
    return 0
