"""The output of `--cfg`, `--info` and help: only of configs that were composed and checked."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kx.config import Composed, hydra_session
from kx.config.checks.check import Checker
from kx.config.messages import open_free
from kx.errors import ConfigError, did_you_mean, first_line
from kx.secrets import redact, redact_word, scrub

_OF_ALL_JOBS = ("plugins", "searchpath")  # the same for every job
_ABSENT = object()


def show_config(
    words: Sequence[str],
    config_dirs: Sequence[str | Path] = (),
    *,
    multirun: bool,
    kind: str,
    package: str | None = None,
    resolve: bool = False,
) -> str:
    """Returns the composed config as YAML; a sweep gives a document per job with its overrides.

    Args:
        words: Overrides in Hydra's syntax.
        config_dirs: Additional folders of options.
        multirun: Whether `a=1,2` means two jobs.
        kind: `"job"`, `"hydra"` or `"all"`.
        package: Path of the only key to show. Defaults to None: all keys.
        resolve: Whether to resolve interpolations. Defaults to False.

    Raises:
        ConfigError: If a job has mistakes (it lists those of all jobs), or if there is no
            such key.
    """
    with hydra_session(config_dirs) as hydra:
        checker = Checker(hydra)
        jobs = checker.compose_all(list(words), multirun=multirun, each=True)
        texts = []
        for number, (job, node) in enumerate(zip(jobs, checker.hydra_nodes, strict=True), 1):
            text = _text(_of_kind(job, node, kind), package, resolve)
            texts.append(f"---\n{_title(number, jobs)}\n{text}" if len(jobs) > 1 else text)
    return "".join(texts)


def _title(number: int, jobs: Sequence[Composed]) -> str:
    words = " ".join(map(redact_word, jobs[number - 1].overrides)).replace("\n", " ")
    return f"# job {number} of {len(jobs)}: {words}"


def _of_kind(job: Composed, node: DictConfig, kind: str) -> DictConfig:
    config = job.config.copy()
    if kind == "job":
        return config
    if kind == "hydra":  # without its long help texts, which `--hydra-help` prints
        node = node.copy()
        OmegaConf.set_struct(node, False)
        del node["help"], node["hydra_help"]
    whole = OmegaConf.create({"hydra": node})
    if kind == "all":
        for key in config:
            whole._set_item_impl(key, config._get_node(key))
    return whole


def _text(config: DictConfig, package: str | None, resolve: bool) -> str:
    chosen: Any = config
    if package not in (None, "_global_"):
        try:
            chosen = OmegaConf.select(config, str(package), default=_ABSENT)
        except (OmegaConfBaseException, ValueError):  # not a valid path: `a..b`, `[`
            chosen = _ABSENT
        if chosen is _ABSENT:
            raise ConfigError(f"--package: {_no_key(config, str(package))}")
    if not isinstance(chosen, Container):
        shown = redact(chosen, (package or "").rpartition(".")[2])
        return f"{'null' if shown is None else shown}\n"
    if resolve:
        try:
            OmegaConf.resolve(chosen)
        except OmegaConfBaseException as error:  # keys of Hydra that are set only in a run
            raise ConfigError(f"--resolve: {first_line(error)}. Leave it out.") from error
    head = f"# @package {package}\n" if chosen is not config else ""
    container = redact(OmegaConf.to_container(chosen), (package or "").rpartition(".")[2])
    return head + scrub(
        OmegaConf.to_yaml(OmegaConf.create(container))
    )  # also in the overrides that Hydra keeps


def _no_key(config: DictConfig, package: str) -> str:
    parent, _, name = package.rpartition(".")
    try:
        node = OmegaConf.select(config, parent) if parent else config
    except (OmegaConfBaseException, ValueError):
        node = config
    if not isinstance(node, DictConfig):
        node, name = config, package
    return f"there is no key {package[:300]!r}. {did_you_mean(name[:300], map(str, node))}"


def show_info(
    words: Sequence[str], config_dirs: Sequence[str | Path], *, multirun: bool, kind: str
) -> None:
    """Prints Hydra's information on a command line: its files, their order and their folders.

    Args:
        words: Overrides in Hydra's syntax.
        config_dirs: Additional folders of options.
        multirun: Whether `a=1,2` means two jobs.
        kind: Value of `--info`.

    Raises:
        ConfigError: If a job has mistakes. It lists those of all jobs.
    """
    with hydra_session(config_dirs) as hydra:
        jobs = Checker(hydra).compose_all(list(words), multirun=multirun)
        for job in jobs:
            redact(OmegaConf.to_container(job.config))  # so that `scrub` knows its secrets
        for number, job in enumerate(jobs[:1] if kind in _OF_ALL_JOBS else jobs, 1):
            if len(jobs) > 1 and kind not in _OF_ALL_JOBS:
                print(f"{_title(number, jobs)}")
            said = io.StringIO()
            with _own_handlers(), redirect_stdout(said):
                hydra.show_info(kind, config_name="run", overrides=composed_words(job))
            print(scrub(said.getvalue()), end="")


def composed_words(job: Composed) -> list[str]:
    """Returns the overrides of a job in the form that Hydra accepts."""
    return [open_free(word) for word in job.overrides]


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Removes the handler that Hydra adds to the root logger each time it prints something."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def show_help(hydra: Hydra, parser: Any, args: Any, jobs: Sequence[Composed]) -> None:
    """Prints the help of kx, or Hydra's own.

    Args:
        hydra: Open Hydra session.
        parser: Parser of the command line.
        args: Parsed flags.
        jobs: Composed configs; the help shows the keys of the first.
    """
    for job in jobs:
        redact(OmegaConf.to_container(job.config))  # so that `scrub` knows its secrets
    # Hydra's own configuration of logging would close the handlers of this process.
    words = composed_words(jobs[0]) if jobs and args.help else []
    args.overrides = [*words, "hydra/hydra_logging=none"]
    said = io.StringIO()
    with _own_handlers(), redirect_stdout(said):
        if args.help:
            hydra.app_help("run", parser, args)
        else:
            hydra.hydra_help("run", parser, args)
    print(scrub(said.getvalue()), end="")
