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

from kx.config.schema import PIPELINE_KEYS
from kx.errors import Mistake, did_you_mean

# What kx gives to a model, a task, an augmentation or a schedule.
_FROM_KX = {"inputs", "outputs", "targets", "seeds", "steps_per_epoch", "epochs"}


def check_targets(config: dict[str, Any]) -> list[Mistake]:
    """Returns targets that are not there, and arguments that their functions do not have.

    Only plain Python files are read (kx's and the user's), as text. Other
    targets are checked by `build`, once their module is imported.
    """
    mistakes = [
        Mistake(
            key,
            "expected `_target_: module.function`, and the function's arguments. Received:"
            f" {config[key]!r}.",
        )
        for key in ("model", "data", "task", "optimizer", "strategy")
        if "_target_" not in (config.get(key) or {})
    ]
    for path, node in _nodes(config):
        target = str(node["_target_"])
        try:
            arguments = _static_arguments(target)
        except LookupError as error:
            mistakes.append(Mistake(f"{path}._target_: {target}", str(error)))
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


def _nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _nodes(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _nodes(value, f"{path}[{index}]")


def _static_arguments(target: str) -> tuple[str, ...] | None:
    """Returns the names of a target's tunable arguments, read from its source.

    Returns None where the source does not tell (a compiled or a large package,
    an imported name, `**kwargs`).

    Raises:
        LookupError: if the module or the name is not there.
    """
    module, _, name = target.rpartition(".")
    top = target.partition(".")[0]
    if not module:
        raise LookupError(f"expected module.function. Received: {target!r}.")
    if top not in sys.modules and importlib.util.find_spec(top) is None:
        raise LookupError(
            f"There is no module {top!r}, neither in the project's folder nor installed."
        )
    source = _source_file(module)
    if source is None:
        return None
    body = ast.parse(source.read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            arguments = node.args
            if arguments.kwarg is not None:
                return None
            return tuple(a.arg for a in (*arguments.args, *arguments.kwonlyargs))
    defined = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    if any(isinstance(n, ast.ImportFrom | ast.Import | ast.Assign) for n in body):
        # The name may be imported or assigned: only a plain miss is sure.
        text = ast.dump(ast.Module(body=body, type_ignores=[]))
        if name in defined or f"'{name}'" in text:
            return None
    public = [item for item in defined if not item.startswith("_")]
    raise LookupError(f"There is no {name!r} in {source}. {did_you_mean(name, public)}")


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
