"""`python -m kx.run`: composes the config and runs it, once or for each job of a sweep.

Imports no TensorFlow, Keras or MLflow.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn, cast

from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.object_type import ObjectType

from kx.config import Composed, add_project_to_path, compose_all, hydra_session
from kx.config.show import show_config, show_help, show_info
from kx.errors import ConfigError, KxError, first_line
from kx.process import choose_backend, import_quietly, without_collections
from kx.run_names import refuse_moving_names
from kx.secrets import scrub
from kx.signals import stoppable
from kx.tracking.records import finished_record
from kx.tracking.resume import is_one_run, recorded_words


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line of `python -m kx.run`.

    Args:
        argv: Arguments after the program's name. Defaults to None: `sys.argv[1:]`.

    Returns:
        Exit code: 0 for success.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    return report_errors(lambda: _main(words), resumes=True)


def _main(words: list[str]) -> int:
    parser = get_args_parser()
    parser.prog = "kx run"
    parser.error = _refuse  # type: ignore[method-assign]
    # argparse takes adjacent positionals only, but KEY=VALUE may also follow -m. The loop restores
    # their order. An unknown flag stays among the overrides, so that it is reported with the other
    # mistakes.
    args, rest = parser.parse_known_args(words)
    left = Counter([*args.overrides, *rest])
    args.overrides = []
    for word in words:
        if left[word]:
            left[word] -= 1
            args.overrides.append(word)
    add_project_to_path()
    return _run(parser, args)


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message}. All flags: python -m kx.run --help")


def report_errors(action, *, resumes: bool = False) -> int:  # type: ignore[no-untyped-def]
    """Calls a function, and turns a `KxError` into a message and exit code 1.

    The full traceback is printed if HYDRA_FULL_ERROR=1 is set, and for any other error: a bug, or
    an error in a user's own code.

    Args:
        action: Function without arguments that returns an exit code, or None for 0.
        resumes: Whether the same command continues what Ctrl-C stops. Defaults to False.

    Returns:
        Exit code: 0 for success, 1 for an error, 130 for Ctrl-C.
    """
    try:
        return int(action() or 0)
    except KxError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"kx: {scrub(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        way = "; the same command with resume=auto continues" if resumes else ""
        print(f"kx: stopped{way}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has closed the pipe: `kx runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "mlflow":  # the store became unavailable
            print(f"kx: The tracking store failed: {scrub(first_line(error))}", file=sys.stderr)
        else:
            print(scrub(traceback.format_exc()), end="", file=sys.stderr)
        return 1


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    _refuse_unsupported(args)
    config_dirs = [args.config_dir] if args.config_dir else []
    if args.shell_completion:
        return _complete(args, config_dirs)
    if args.multirun and is_one_run(args.overrides):
        raise ConfigError("resume=RUN continues one run. For a sweep: -m … resume=auto.")
    words = _all_words(args.overrides)
    if args.cfg and not args.help:
        text = show_config(
            words,
            config_dirs,
            multirun=args.multirun,
            kind=args.cfg,
            package=args.package,
            resolve=args.resolve,
        )
        sys.stdout.write(text)
        return 0
    if args.info and not args.help:
        show_info(words, config_dirs, multirun=args.multirun, kind=args.info)
        return 0
    shows = args.help or args.hydra_help
    jobs = []
    if args.overrides or not shows:  # a bare --help has nothing to check
        jobs = compose_all(words, config_dirs, multirun=args.multirun)
    if shows:
        with hydra_session(config_dirs) as hydra:
            _list_options_fast(hydra)
            show_help(hydra, parser, args, jobs)
        return 0
    return run_jobs(jobs, sweep=args.multirun)


def _all_words(words: Sequence[str]) -> list[str]:
    """Returns the overrides of the run that `resume=RUN` names, followed by the given ones."""
    try:
        return recorded_words(words)
    except (OSError, ValueError, RuntimeError) as error:  # bad path: too long, `~nobody/run`
        raise ConfigError(f"resume: expected a RUN. {first_line(error)}") from error


def _complete(args: argparse.Namespace, config_dirs: list[str]) -> int:
    """Runs Hydra's shell completion: its installation or a query of the shell."""
    with hydra_session(config_dirs) as hydra:
        try:
            hydra.shell_completion("run", overrides=args.overrides)
        except Exception as error:  # a Hydra plugin fails on invalid input
            raise ConfigError(f"--shell-completion: {first_line(error)}") from error
    return 0


def _refuse_unsupported(args: argparse.Namespace) -> None:
    if args.config_name or args.config_path:
        raise ConfigError(
            "kx has one primary config, run.yaml. Put your own deltas into an experiment file"
            " (experiments/NAME.yaml, then experiment=NAME) or add options with --config-dir."
        )
    if args.experimental_rerun:
        raise ConfigError("To run a recorded run again: kx reproduce RUN.")
    if args.resolve and not (args.cfg or args.help):
        raise ConfigError("--resolve goes with --cfg or --help.")
    if args.package is not None and not args.cfg:
        raise ConfigError("--package goes with --cfg: --cfg job --package model.")


def _list_options_fast(hydra: Hydra) -> None:
    """Makes Hydra list options from one cached repository instead of a new one for each group."""
    loader = cast(Any, hydra.config_loader)
    repository = CachingConfigRepository(loader.repository)

    def get_group_options(
        group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG, **_: Any
    ) -> list[str]:
        found = repository.get_group_options(group_name, results_filter)
        return [name for name in found if not name.startswith("_")]  # of other options

    loader.get_group_options = get_group_options


def run_jobs(jobs: Sequence[Composed], *, sweep: bool) -> int:
    """Runs composed configs: one run, a sweep, or searches.

    Args:
        jobs: Composed and checked configs.
        sweep: Whether they are the jobs of a sweep, each of which runs in its own process.

    Returns:
        Exit code: 0 for success.

    Raises:
        ConfigError: If there are no jobs.
    """
    if not jobs:
        raise ConfigError("This sweep has no job: one of its keys has no value.")
    if sweep or any("_target_" in job.config.tuner for job in jobs):
        refuse_moving_names(job.config for job in jobs)
    if any("_target_" in job.config.tuner for job in jobs):
        from kx.search.run import run_searches

        return run_searches(jobs)
    if sweep:
        from kx.launch.sweep import run_sweep

        return run_sweep(jobs)
    return run_one(jobs[0])


def run_one(job: Composed) -> int:
    """Runs a composed config, unless it has a finished run and `resume=auto`.

    Args:
        job: Composed config.

    Returns:
        Exit code: 0 for success.
    """
    done = finished_record(job)
    if done is not None:
        from kx.run_summary import show_finished

        show_finished(done)
        return 0
    from kx.launch.multi_process import is_team, run_team

    if is_team(job):
        return run_team(job)
    with stoppable():
        choose_backend(job.config.backend)
        with without_collections():
            import_quietly()
            from kx.run_summary import show_end
            from kx.strategy import is_follower
            from kx.training import train

            gc.freeze()  # no collection searches what the imports have made
        run = train(job)
        if not is_follower(job.config):
            show_end(run)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
