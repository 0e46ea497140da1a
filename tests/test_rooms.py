"""Imports run one way through the packages of kx, and there is no circle among modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import kx

ROOT = Path(kx.__file__).parent
# From top to bottom: a module imports those of its own line, of lines below, or of its own package.
ORDER = [
    ["__main__"],
    ["cli"],
    ["commands", "testing"],
    ["run"],
    ["run_summary"],
    ["api"],
    ["search"],
    ["launch"],
    ["training"],
    ["evaluation"],
    ["runs"],
    ["export"],
    ["fit"],
    ["tasks", "models", "tracking"],
    ["data"],
    ["report"],
    ["multi_worker", "parallel"],
    ["strategy", "callbacks", "schedules", "transfer"],
    ["run_names"],
    ["cluster", "config"],
    ["contracts"],
    ["hub"],
    ["extras"],
    ["signals", "process", "paths", "console", "types", "metric_modes"],
    ["errors"],
    ["secrets"],
]
LEVEL = {room: level for level, rooms in enumerate(reversed(ORDER)) for room in rooms}
# `kx` itself has the version and late names alone.
FACADE = {"kx"}


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ["kx", *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path, *, late: bool) -> Iterator[str]:
    """The modules of kx that a module imports; `late` ones within functions, too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        above, within, types_alone = node, False, False
        while (above := getattr(above, "parent", None)) is not None:  # type: ignore[assignment]
            within |= isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef)
            types_alone |= isinstance(above, ast.If) and "TYPE_CHECKING" in ast.dump(above.test)
        if types_alone or (within and not late):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif node.module in MODULES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


@pytest.mark.parametrize("module", sorted(set(MODULES) - FACADE))
def test_no_import_runs_uphill(module: str) -> None:
    own = room_of(module)
    assert own in LEVEL, f"{own} has no place in the order: tests/test_rooms.py, docs/architecture"
    for imported in set(imports(MODULES[module], late=True)) - FACADE:
        other = room_of(imported)
        assert other == own or LEVEL[other] <= LEVEL[own], (
            f"{module} imports {imported}, and {other} stands above {own}. Move what both need"
            f" down, or hand it over as an argument."
        )


def test_there_is_no_circle_of_modules() -> None:
    graph = {
        module: set(imports(path, late=False)) - {module} - FACADE
        for module, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES.values()} - {ROOT}))
def test_no_folder_has_more_than_ten_modules(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) <= 10


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_and_no_function_is_too_long(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
            assert lines <= 50, f"{node.name} has {lines} lines besides its docstring"
