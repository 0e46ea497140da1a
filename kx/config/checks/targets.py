"""Rules for the arguments of a config's targets.

Sources are read as text: nothing is imported.
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kx.config.messages import shown
from kx.config.moved import new_target
from kx.config.schema import PIPELINE_KEYS
from kx.errors import Mistake, did_you_mean

ENTRIES = ("callbacks", "augment")  # named entries that a user adds at will, each with a `_target_`
# What kx gives to a model, a task, an augmentation or a schedule.
_FROM_KX = {"examples", "inputs", "outputs", "targets", "seeds", "steps_per_epoch", "epochs"}


def check_targets(config: dict[str, Any]) -> list[Mistake]:
    """Returns targets that are not there, and arguments that their functions do not have.

    Only plain Python files are read (kx's and the user's), as text. Other
    targets are checked by `build`, once their module is imported.
    """
    mistakes = [
        Mistake(
            key,
            "expected `_target_: module.function`, and the function's arguments. Received:"
            f" {shown(config[key])}.",
        )
        for key in ("model", "data", "split", "task", "optimizer", "strategy")
        if config.get(key) != "???" and "_target_" not in (config.get(key) or {})
    ]
    mistakes += _entry_mistakes(config)
    for path, node in _nodes(config):
        target = str(node["_target_"])
        if (now := new_target(target)) != target:
            mistakes.append(Mistake(f"{path}._target_", f"There is no {target}. It is {now} now."))
            continue
        try:
            arguments = _static_arguments(target)
        except LookupError as error:
            mistakes.append(Mistake(f"{path}._target_: {target[:300]}", str(error)))
            continue
        if arguments is None:
            continue
        for name in node:
            if path == "data" and name in PIPELINE_KEYS:
                continue
            if name not in arguments and not str(name).startswith("_"):
                hint = did_you_mean(str(name), set(arguments) - _FROM_KX)
                mistakes.append(
                    Mistake(f"{path}.{name}", f"{target} has no argument {name!r}. {hint}")
                )
    return mistakes


def _entry_mistakes(config: dict[str, Any]) -> list[Mistake]:
    """Returns the named entries that describe nothing: neither null nor a mapping with a target."""
    return [
        Mistake(
            f"{group}.{name}",
            "expected `_target_: module.Class` and its arguments, or null to leave it out."
            f" Received: {shown(entry)}.",
        )
        for group in ENTRIES
        for name, entry in (config.get(group) or {}).items()
        if entry is not None and not (isinstance(entry, dict) and "_target_" in entry)
    ]


def _nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _nodes(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _nodes(value, f"{path}[{index}]")


def takes_argument(node: dict[str, Any], name: str) -> bool:
    """Says whether a node's target may take an argument, as far as its source tells.

    Args:
        node: with `_target_`, or a mapping of named entries.
        name: of the argument.
    """
    try:
        arguments = _static_arguments(str(node["_target_"])) if "_target_" in node else None
    except LookupError:
        return False
    return arguments is None or name in arguments


def needed_arguments(target: str) -> tuple[str, ...]:
    """Returns the arguments without which a target cannot be called, as far as its source tells.

    Args:
        target: `module.function`.
    """
    try:
        arguments = _arguments(target)
    except LookupError:
        return ()
    if arguments is None:
        return ()
    count = len(arguments.args) - len(arguments.defaults)
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return (*(a.arg for a in arguments.args[:count]), *(a.arg for a, d in pairs if d is None))


def _static_arguments(target: str) -> tuple[str, ...] | None:
    """Returns the names of a target's tunable arguments, read from its source.

    Returns None where the source does not tell (a compiled or a large package,
    an imported name, `**kwargs`).

    Raises:
        LookupError: if the module or the name is not there.
    """
    arguments = _arguments(target)
    if arguments is None or arguments.kwarg is not None:
        return None
    return tuple(a.arg for a in (*arguments.args, *arguments.kwonlyargs))


def _arguments(target: str) -> ast.arguments | None:
    module, _, name = target.rpartition(".")
    top = target.partition(".")[0]
    if not module or not all(part.isidentifier() for part in target.split(".")):
        raise LookupError(f"expected module.function. Received: {shown(target)}.")
    if top not in sys.modules and importlib.util.find_spec(top) is None:
        raise LookupError(
            f"There is no module {shown(top)}, neither in the project's folder nor installed."
        )
    source = _source_file(module)
    if source is None:
        return None
    try:
        body = ast.parse(source.read_text(encoding="utf-8")).body
    except (SyntaxError, ValueError, OSError) as error:
        raise LookupError(f"{source} cannot be read: {error}.") from error
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return node.args
    defined = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    if any(isinstance(n, ast.ImportFrom | ast.Import | ast.Assign) for n in body):
        # The name may be imported or assigned: only a plain miss is sure.
        text = ast.dump(ast.Module(body=body, type_ignores=[]))
        if name in defined or f"'{name}'" in text:
            return None
    public = [item for item in defined if not item.startswith("_")]
    raise LookupError(f"There is no {shown(name)} in {source}. {did_you_mean(name, public)}")


def _source_file(module: str) -> Path | None:
    """Returns a module's file, without importing any package on the way."""
    search: list[str] | None = None
    spec = None
    for index, part in enumerate(module.split(".")):
        name = ".".join(module.split(".")[: index + 1])
        spec = importlib.machinery.PathFinder.find_spec(part if index == 0 else name, search)
        if spec is None:
            return None
        if index == 0 and not _is_plain(spec.origin):
            return None
        search = list(spec.submodule_search_locations or [])
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


def _is_plain(origin: str | None) -> bool:
    """Says whether a module is kx's own or the user's, not one that pip has installed."""
    if origin is None or not origin.endswith(".py"):
        return origin is None  # a namespace package: a user's folder
    path = Path(origin)
    if path.parent == Path(__file__).parents[1]:
        return True
    return not _is_of_pip(path.parents[1] if path.name == "__init__.py" else path.parent)


@functools.cache
def _is_of_pip(folder: Path) -> bool:
    """Says whether pip installs into a folder: site-packages, dist-packages, `--target`."""
    return any(folder.glob("*.dist-info"))
