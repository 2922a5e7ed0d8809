"""The import graph of the package has no circles, imports inside functions included."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "rdpm_training"


def imported_modules(path: Path, package: Path) -> set[Path]:
    """Files of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        for candidate in (folder.with_suffix(".py"), *(folder / f"{alias.name}.py" for alias in node.names)):
            if candidate.exists() and candidate.is_relative_to(package):
                found.add(candidate)
    return found


def find_circle(graph: dict[Path, set[Path]]) -> list[str]:
    """The file names of a circle, or an empty list."""
    finished: set[Path] = set()

    def visit(path: Path, chain: list[Path]) -> list[str]:
        if path in chain:
            return [member.name for member in chain[chain.index(path) :]]
        if path in finished:
            return []
        for target in sorted(graph[path]):
            if circle := visit(target, [*chain, path]):
                return circle
        finished.add(path)
        return []

    return next((circle for path in sorted(graph) if (circle := visit(path, []))), [])


def graph_of(package: Path) -> dict[Path, set[Path]]:
    return {path: imported_modules(path, package) for path in package.rglob("*.py")}


def test_package_has_no_import_circles() -> None:
    graph = graph_of(PACKAGE)
    assert sum(map(len, graph.values())) > len(graph), "imports are found"
    assert find_circle(graph) == []


@pytest.mark.parametrize("statement", ["from . import a", "from .a import x", "def f():\n    from .a import x"])
def test_import_circle_is_found(tmp_path: Path, statement: str) -> None:
    (tmp_path / "a.py").write_text("from . import b\nx = 1\n")
    (tmp_path / "b.py").write_text(statement + "\n")
    assert find_circle(graph_of(tmp_path)) == ["a.py", "b.py"]
