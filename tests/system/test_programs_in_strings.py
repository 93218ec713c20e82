"""Programs that stand in strings, for processes of their own, import what exists.

No type checker sees them, and some run only where PostgreSQL's clock can be turned or a pooler is installed.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.processes import ROOT

OURS = ("pgjobs", "tests", "benchmarks")


def programs() -> Iterator[tuple[str, ast.Module]]:
    """Return each string of the tests and benchmarks that is a program with imports of ours, and where it is."""
    for file in sorted([*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
                try:
                    program = ast.parse(dedent(node.value))
                except SyntaxError:  # prose, or a part of a program
                    continue
                if names_of(program):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", program


def names_of(program: ast.Module) -> list[tuple[str, str]]:
    """Return each (module, name) of ours that a program imports, and the attributes of modules imported so."""
    nodes = list(ast.walk(program))
    imports = [each for each in nodes if isinstance(each, ast.ImportFrom) and (each.module or "").startswith(OURS)]
    found = [(each.module or "", alias.name) for each in imports for alias in each.names]
    local = {alias.asname or alias.name: f"{each.module}.{alias.name}" for each in imports for alias in each.names}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in local:
            module = local[node.value.id]
            if Path(ROOT / f"{module.replace('.', '/')}.py").exists():
                found.append((module, node.attr))
    return found


PROGRAMS = dict(programs())


def exists(module: str, name: str) -> bool:
    """Return True if a module has the name, as an attribute or as a module in it."""
    if name == "*" or hasattr(importlib.import_module(module), name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None


def test_there_are_programs() -> None:
    assert len(PROGRAMS) > 10


@pytest.mark.parametrize("place", PROGRAMS)
def test_program_imports_what_exists(place: str) -> None:
    missing = [f"{module}.{name}" for module, name in names_of(PROGRAMS[place]) if not exists(module, name)]

    assert not missing
