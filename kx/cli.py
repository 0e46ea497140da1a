"""The command line of `kx`. Each command imports its module only when it is called."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Sequence

import kx
from kx.config import add_project_to_path, compose
from kx.errors import did_you_mean
from kx.process import choose_backend, import_quietly
from kx.run import main as run_main
from kx.run import report_errors

# argparse must not take a row that begins with a negative number for a flag:
# `kx predict latest -1.5,2,3`.
_NEGATIVE = re.compile(r"^-[\d.]")
_RUN_HELP = (
    "RUN: a run id, a unique prefix of one, a run name, `latest`, `best`, or models:/NAME@best"
)
_OVERRIDES_HELP = "options and keys as in `kx run`: model=cnn data=digits epochs=3"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line of `kx`.

    Args:
        argv: Arguments after the program's name. Defaults to None: `sys.argv[1:]`.

    Returns:
        Exit code: 0 for success.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0] == "run":
        return run_main(words[1:])
    parser, verbs = _parser()
    if words and not words[0].startswith("-") and words[0] not in verbs:
        print(f"kx: there is no command {words[0]!r}. {did_you_mean(words[0], verbs)}",
              file=sys.stderr)  # fmt: skip
        return 2
    args, rest = parser.parse_known_args(words)
    if rest:  # argparse takes adjacent positionals only, and KEY=VALUE may follow --split
        where = "overrides" if hasattr(args, "overrides") else "names"
        if any(word.startswith("-") for word in rest) or not hasattr(args, where):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        setattr(args, where, [*getattr(args, where), *rest])
    if not hasattr(args, "action"):
        parser.print_help()
        return 0
    add_project_to_path()
    return report_errors(lambda: _act(args))


def _act(args: argparse.Namespace) -> int:
    """Calls the action of a command, and returns the exit code."""
    if args.takes and "job" in args.takes:  # reports errors before the TensorFlow import
        args.job = compose(args.overrides)
        choose_backend(args.job.config.backend)
    if args.heavy:
        import_quietly()
    module, _, name = args.action.partition(":")
    action = getattr(importlib.import_module(module), name)
    given = [args] if args.takes is None else [getattr(args, key) for key in args.takes]
    return action(*given) or 0


def _parser() -> tuple[argparse.ArgumentParser, list[str]]:
    parser = argparse.ArgumentParser(
        prog="kx",
        description="A Keras experiment toolkit: one config line in; a trained, tracked, explained,"
        " exported model out.",
    )
    parser.add_argument("--version", action="version", version=f"kx {kx.__version__}")
    parser._negative_number_matcher = _NEGATIVE
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")
    verbs.add_parser("run", help="train: kx run model=cnn data=cifar10 (kx run --help)")
    _add_runs(verbs)
    _add_ui(verbs)
    _add_evaluate(verbs)
    _add_predict(verbs)
    _add_export(verbs)
    _add_reproduce(verbs)
    help_text = "send what the tracking store missed while it was away"
    _verb(verbs, "sync", "kx.commands.sync:sync", help_text, store=False, takes=())
    _add_doctor(verbs)
    _add_search(verbs)
    _add_cross_validate(verbs)
    _add_compare(verbs)
    _add_summary(verbs)
    _add_data(verbs)
    return parser, list(verbs.choices)


def _verb(  # type: ignore[no-untyped-def]
    verbs, name, action, help_text, *, run=False, store=True, takes=None, heavy=False
):
    """Adds a command, and returns its parser."""
    # `action` is `"module:function"`, imported when the command is called. `takes` names the
    # arguments to pass (`job` is the config composed from the overrides); None passes all of them
    # as one namespace. `heavy` imports TensorFlow first.
    parser = verbs.add_parser(name, help=help_text, description=help_text)
    if run:
        parser.add_argument("run", metavar="RUN", help=_RUN_HELP)
    if store:
        parser.add_argument("--experiment", help="look in this MLflow experiment only")
        parser.add_argument("--uri", help="MLflow tracking URI; default: the project's mlflow.db")
    parser.set_defaults(action=action, takes=takes, heavy=heavy)
    return parser


def _add_runs(verbs) -> None:  # type: ignore[no-untyped-def]
    parser = _verb(verbs, "runs", "kx.commands.listing:runs", "list, filter or delete runs")
    names_help = f"`delete RUN …` deletes runs. {_RUN_HELP}"
    parser.add_argument("names", nargs="*", metavar="delete RUN", help=names_help)
    parser.add_argument("--filter", default="", help="MLflow's syntax: 'metrics.\"test/loss\" < 1'")
    parser.add_argument("--status", help="FINISHED, FAILED, KILLED or RUNNING")
    parser.add_argument("--limit", type=int, default=20, help="how many; default: 20")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--yes", action="store_true", help="delete without asking")


def _port(text: str) -> int:
    """Returns the port number in a text, from 1 to 65535."""
    port = int(text) if text.isdigit() else 0
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"expected 1 to 65535. Received: {text!r}")
    return port


def _add_ui(verbs) -> None:  # type: ignore[no-untyped-def]
    parser = _verb(
        verbs,
        "ui",
        "kx.commands.ui:open_ui",
        "open the MLflow UI on the store that the runs went to",
        takes=("uri", "host", "port"),
    )
    parser.add_argument("--port", type=_port, default=5000, help="default: 5000")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")


def _add_evaluate(verbs) -> None:  # type: ignore[no-untyped-def]
    help_text = "make a full report of a run's model, also on other data; of several, averaged"
    parser = _verb(
        verbs, "evaluate", "kx.commands.models:evaluate", help_text, run=True, heavy=True
    )
    others = "further runs, for the average of all; data=… or data.KEY=…"
    parser.add_argument("overrides", nargs="*", metavar="RUN|OVERRIDE", help=others)
    _add_tta(parser)
    split = "train, validation or test (default); other data without splits is judged whole"
    parser.add_argument("--split", help=split)
    parser.add_argument("--out", help="write the report into this folder too")


def _add_predict(verbs) -> None:  # type: ignore[no-untyped-def]
    parser = _verb(
        verbs, "predict", "kx.commands.models:predict", "ask a run's model", run=True, heavy=True
    )
    parser._negative_number_matcher = _NEGATIVE
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="image files; texts; rows of numbers; .csv files of either; .npy, .npz or JSON arrays",
    )  # fmt: skip
    _add_tta(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_tta(parser) -> None:  # type: ignore[no-untyped-def]
    views = "average over views: flip, vertical_flip, quarter_turns, shift; a,b for each with each"
    parser.add_argument("--tta", metavar="VIEWS", default="", help=views)


def _add_export(verbs) -> None:  # type: ignore[no-untyped-def]
    help_text = "write a SavedModel on raw input, .keras and weights; reloaded and compared"
    parser = _verb(verbs, "export", "kx.commands.models:export", help_text, run=True, heavy=True)
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it exists")


def _add_reproduce(verbs) -> None:  # type: ignore[no-untyped-def]
    help_text = "run a run again and compare every metric of every epoch"
    _verb(verbs, "reproduce", "kx.commands.models:reproduce", help_text, run=True, heavy=True)


def _add_doctor(verbs) -> None:  # type: ignore[no-untyped-def]
    help_text = "show what works here: backends, devices, strategies, launchers, the tracking store"
    parser = _verb(
        verbs,
        "doctor",
        "kx.commands.doctor.doctor:doctor",
        help_text,
        store=False,
        takes=("overrides",),
    )
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=_OVERRIDES_HELP)


def _add_search(verbs) -> None:  # type: ignore[no-untyped-def]
    parser = verbs.add_parser("search", help="look at searches (tuner=…): kx search show STUDY")
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    help_text = "show the trials of a study, running or finished; without a name, list all"
    shown = _verb(
        inner, "show", "kx.commands.search:show", help_text, store=False, takes=("study",)
    )
    shown.add_argument("study", nargs="?", metavar="STUDY", help="its name (tuner.study)")
    help_text = "write the trials of a study as CSV"
    exported = _verb(
        inner, "export", "kx.commands.search:export", help_text, store=False, takes=("study", "csv")
    )
    exported.add_argument("study", metavar="STUDY", help="its name (tuner.study)")
    exported.add_argument(
        "--csv", nargs="?", metavar="FILE", help="the file; default: standard output"
    )


def _add_cross_validate(verbs) -> None:  # type: ignore[no-untyped-def]
    help_text = "train once for each fold: mean, spread, out-of-fold predictions"
    parser = _verb(
        verbs,
        "cross-validate",
        "kx.launch.cross_validation:cross_validate",
        help_text,
        store=False,
        takes=("overrides",),
    )
    folds = "; folds=5 (default), repeats=1, stratify=true, launcher.workers=1"
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=_OVERRIDES_HELP + folds)


def _add_compare(verbs) -> None:  # type: ignore[no-untyped-def]
    help_text = "test whether runs differ from the first one, on the same test examples"
    parser = _verb(verbs, "compare", "kx.commands.models:compare", help_text, run=True, heavy=True)
    parser.add_argument("names", nargs="+", metavar="RUN", help="what is compared with it")
    parser.add_argument("--split", default="test", help="test (default), validation or train")
    parser.add_argument("--level", type=float, default=0.95, help="confidence; default: 0.95")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_summary(verbs) -> None:  # type: ignore[no-untyped-def]
    help_text = "show layers, parameters, operations and memory, without training"
    parser = _verb(
        verbs,
        "summary",
        "kx.commands.summary:show_summary",
        help_text,
        store=False,
        takes=("job",),
        heavy=True,
    )
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=_OVERRIDES_HELP)


def _add_data(verbs) -> None:  # type: ignore[no-untyped-def]
    parser = verbs.add_parser("data", help="look at the data: kx data show data=… augment=…")
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    help_text = "show what the model will see, before and after augmentation"
    show = _verb(
        inner,
        "show",
        "kx.commands.data_show:show",
        help_text,
        store=False,
        takes=("job", "out", "num"),
        heavy=True,
    )
    show.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=_OVERRIDES_HELP)
    show.add_argument("--out", default="data_show.png", help="the picture; default: data_show.png")
    show.add_argument("--num", type=int, default=10, help="examples; default: 10")
