"""`python -m kx.run`: composes the config, then runs it: once, or each job of a sweep.

Imports no TensorFlow, Keras or MLflow.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, cast

from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.object_type import ObjectType

from kx.config import add_project_to_path, compose_all, hydra_session
from kx.errors import ConfigError, KxError
from kx.tracking.resume import is_one_run, recorded_words


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line of `python -m kx.run`, and returns the exit code.

    Args:
        argv: the words after the program's name. Defaults to `sys.argv[1:]`.
    """
    parser = get_args_parser()
    parser.prog = "kx run"
    args = parser.parse_args(sys.argv[1:] if argv is None else list(argv))
    add_project_to_path()
    return report_errors(lambda: _run(parser, args))


def report_errors(action) -> int:  # type: ignore[no-untyped-def]
    """Calls `action`, and turns an error of kx's into a message and exit code 1.

    The whole traceback is shown where HYDRA_FULL_ERROR=1 is set.
    """
    try:
        return int(action() or 0)
    except KxError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"kx: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("kx: stopped; the same command with resume=auto goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `kx runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    _refuse_unsupported(args)
    config_dirs = [args.config_dir] if args.config_dir else []
    shows = args.help or args.hydra_help or args.cfg or args.info or args.shell_completion
    jobs = []
    if args.overrides or not shows:  # a bare --help has nothing to check
        if args.multirun and is_one_run(args.overrides):
            raise ConfigError("resume=RUN goes on with one run. For a sweep: -m … resume=auto.")
        words = recorded_words(args.overrides)
        jobs = compose_all(words, config_dirs, multirun=args.multirun)
    if shows:
        return _show(parser, args, config_dirs)
    from kx.launch import run_jobs

    return run_jobs(jobs, sweep=args.multirun)


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


def _show(parser: argparse.ArgumentParser, args: argparse.Namespace, config_dirs: list[str]) -> int:
    """Lets Hydra answer its own questions (--help, --cfg, --info …)."""
    with hydra_session(config_dirs) as hydra:
        if args.help:
            _list_options_fast(hydra)
            hydra.app_help("run", parser, args)
        elif args.hydra_help:
            hydra.hydra_help("run", parser, args)
        elif args.cfg:
            hydra.show_cfg(
                "run",
                overrides=args.overrides,
                cfg_type=args.cfg,
                package=args.package,
                resolve=args.resolve,
            )
        elif args.shell_completion:
            hydra.shell_completion("run", overrides=args.overrides)
        else:
            hydra.show_info(args.info, config_name="run", overrides=args.overrides)
    return 0


def _list_options_fast(hydra: Hydra) -> None:
    """Lets Hydra list options from one copy of its repository: it makes one for each group."""
    loader = cast(Any, hydra.config_loader)
    repository = CachingConfigRepository(loader.repository)

    def get_group_options(
        group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG, **_: Any
    ) -> list[str]:
        found = repository.get_group_options(group_name, results_filter)
        return [name for name in found if not name.startswith("_")]  # parts of others

    loader.get_group_options = get_group_options


if __name__ == "__main__":
    raise SystemExit(main())
