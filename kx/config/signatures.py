"""Signatures of functions, read from their source: nothing is imported."""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

import kx.types
from kx.errors import did_you_mean
from kx.types import Annotation, of_type, one_of, union

_PLAIN = {"str": str, "int": int, "float": float, "bool": bool}
_LISTS = ("list", "List", "Sequence", "tuple", "Tuple", "Iterable")


@dataclass(frozen=True)
class Signature:
    """Holds the arguments of a function.

    Args:
        names: Names of its arguments.
        needed: Names of those without a default.
        annotations: Name to what the annotation says, where it says something.
        takes_others: Whether it takes other arguments by name.
    """

    names: tuple[str, ...]
    needed: tuple[str, ...]
    annotations: Mapping[str, Annotation]
    takes_others: bool


def signature_of(target: str) -> Signature | None:
    """Returns the signature of a target, or None where its source does not tell.

    That is so for a compiled or a large package, and for an imported name.

    Args:
        target: `module.function`.

    Raises:
        LookupError: If the module or the name is not there.
    """
    module, _, name = target.rpartition(".")
    top = target.partition(".")[0]
    if not module or not all(part.isidentifier() for part in target.split(".")):
        raise LookupError(f"expected module.function. Received: {target[:300]!r}.")
    if top not in sys.modules and importlib.util.find_spec(top) is None:
        raise LookupError(
            f"There is no module {top[:300]!r}, neither in the project's folder nor installed."
        )
    source = _source_file(module)
    if source is None:
        return None
    try:
        body = _parsed(source, source.stat().st_mtime_ns)
    except (SyntaxError, ValueError, OSError) as error:
        raise LookupError(f"{source} cannot be read: {error}.") from error
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return _signature(node.args, _imported(body))
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _of_class(node, _imported(body))
    defined = {n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    if any(isinstance(n, ast.ImportFrom | ast.Import | ast.Assign) for n in body):
        # The name may be imported or assigned: only a plain miss is sure.
        text = ast.dump(ast.Module(body=list(body), type_ignores=[]))
        if f"'{name}'" in text:
            return None
    public = [item for item in defined if not item.startswith("_")]
    raise LookupError(f"There is no {name[:300]!r} in {source}. {did_you_mean(name, public)}")


def _of_class(node: ast.ClassDef, imported: Mapping[str, str]) -> Signature | None:
    """Returns the signature of a class: of its `__init__`, or of the fields of a dataclass."""
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return _signature(inner.args, imported, skip=1)
    if node.bases or not any("dataclass" in ast.dump(one) for one in node.decorator_list):
        return None
    fields = [
        item
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    ]
    named = {
        item.target.id: item
        for item in fields
        if isinstance(item.target, ast.Name) and "init=False" not in ast.unparse(item)
    }
    return Signature(
        tuple(named),
        tuple(name for name, item in named.items() if item.value is None),
        {name: _annotation(item.annotation, imported) for name, item in named.items()},
        takes_others=False,
    )


@functools.lru_cache(maxsize=256)
def _parsed(source: Path, changed: int) -> tuple[ast.stmt, ...]:
    """Returns the statements of a file, parsed once for all jobs of a sweep."""
    return tuple(ast.parse(source.read_text(encoding="utf-8")).body)


def _signature(arguments: ast.arguments, imported: Mapping[str, str], skip: int = 0) -> Signature:
    positional = [*arguments.posonlyargs, *arguments.args][skip:]
    count = len(positional) - len(arguments.defaults)
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    needed = [
        *(argument.arg for argument in positional[: max(0, count)]),
        *(argument.arg for argument, default in pairs if default is None),
    ]
    every = [*positional, *arguments.kwonlyargs]
    annotations = {
        argument.arg: _annotation(argument.annotation, imported)
        for argument in every
        if argument.annotation is not None
    }
    return Signature(
        tuple(argument.arg for argument in every), tuple(needed), annotations,
        arguments.kwarg is not None,
    )  # fmt: skip


def _imported(body: tuple[ast.stmt, ...]) -> dict[str, str]:
    """Returns the names that a module imports, with what they stand for."""
    found = {}
    for node in body:
        if isinstance(node, ast.If):  # if TYPE_CHECKING:
            found.update(_imported(tuple(node.body)))
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                found[alias.asname or name] = name
    return found


def _annotation(node: ast.expr, imported: Mapping[str, str]) -> Annotation:
    """Returns what an annotation says: a type of kx.types, a literal, lists and unions of these."""
    if isinstance(node, ast.Constant):
        if node.value is None:
            return Annotation(null=True)
        if isinstance(node.value, str):  # a type in quotes
            try:
                return _annotation(ast.parse(node.value, mode="eval").body, imported)
            except SyntaxError:
                return Annotation(others=True)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return union(_annotation(node.left, imported), _annotation(node.right, imported))
    if isinstance(node, ast.Subscript):
        return _subscript(node, imported)
    name = _dotted(node, imported)
    if name in _PLAIN:
        return of_type(_PLAIN[name])
    alias = _alias(name)
    return Annotation(others=True) if alias is None else of_type(alias)


def _subscript(node: ast.Subscript, imported: Mapping[str, str]) -> Annotation:
    name = _dotted(node.value, imported).rpartition(".")[2]
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        values = [item.value for item in inner if isinstance(item, ast.Constant)]
        return Annotation((one_of(values),)) if values else Annotation(others=True)
    if name == "Optional":
        return union(_annotation(inner[0], imported), Annotation(null=True))
    if name == "Union":
        return functools.reduce(union, (_annotation(item, imported) for item in inner))
    if name in _LISTS:
        of_items = _annotation(inner[0], imported)
        if of_items.rules and not (of_items.others or of_items.plain):
            return Annotation(item_rules=of_items.rules)
    return Annotation(others=True)


def _dotted(node: ast.expr, imported: Mapping[str, str]) -> str:
    """Returns what a name stands for, with its module: `kx.types.Count`."""
    if isinstance(node, ast.Name):
        return imported.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, imported)}.{node.attr}"
    return ""


def _alias(path: str) -> Any:
    module, _, name = path.rpartition(".")
    found = getattr(kx.types, name, None) if module == "kx.types" else None
    return found if get_origin(found) is not None else None


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
    """Returns whether a module is kx's own or the user's, not one that pip has installed."""
    if origin is None or not origin.endswith(".py"):
        return origin is None  # a namespace package: a user's folder
    path = Path(origin)
    if path.parent == Path(__file__).parents[1]:
        return True
    return not _is_of_pip(path.parents[1] if path.name == "__init__.py" else path.parent)


@functools.cache
def _is_of_pip(folder: Path) -> bool:
    """Returns whether pip installs into a folder: site-packages, dist-packages, `--target`."""
    return any(folder.glob("*.dist-info"))
