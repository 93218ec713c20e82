"""docs/architecture.md is true to the code: its floors, packages, imports, files and threads."""

from __future__ import annotations

import ast
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PACKAGE = ROOT / "src" / "pgjobs"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
SPANS = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
PATHS = [span for span in SPANS if re.fullmatch(r"\w[\w./-]*(/|\.py|\.sql|\.md|\.toml)", span)]
PACKAGES = sorted(str(file.parent.relative_to(PACKAGE)) for file in PACKAGE.rglob("__init__.py"))[1:]
ROW_OF_IMPORTS = re.compile(r"^\| `(\w+)(?:/|\.py)` \|.*\| ([\w, ]*?) ?\|$", re.MULTILINE)
ROW_OF_THREAD = re.compile(r"^\| `pgjobs-([\w-]+)[^|]*\| `([^`]+)` \|", re.MULTILINE)


CONTRACTS = {
    contract["name"]: contract["layers"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    if contract["type"] == "layers"
}


def imports_of(file: Path) -> list[tuple[str, str]]:
    """Return each (module, name) that a file imports from pgjobs."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    found = [(node.module or "", alias.name) for node in nodes for alias in node.names]
    return [(module, name) for module, name in found if module.partition(".")[0] == "pgjobs"]


FACE = {name: module for module, name in imports_of(PACKAGE / "__init__.py")}


def imported_packages(name: str) -> set[str]:
    """Return the names directly below pgjobs that the files of `name` import, by themselves or through the face."""
    found = set()
    for file in [*(PACKAGE / name).rglob("*.py"), *PACKAGE.glob(f"{name}.py")]:
        for module, imported in imports_of(file):
            origin = FACE.get(imported, f"pgjobs.{imported}") if module == "pgjobs" else module
            found.add(origin.split(".")[1])
    return found - {name}


@pytest.mark.parametrize("path", PATHS)
def test_path_named_on_the_page_exists(path: str) -> None:
    assert (ROOT / path).exists() or list(PACKAGE.rglob(path)) or list(PACKAGE.rglob(f"*/{path}"))


@pytest.mark.parametrize("package", PACKAGES)
def test_package_of_the_source_is_named_on_the_page(package: str) -> None:
    assert f"`{package}/`" in PAGE or f"`{package.rpartition('/')[2]}/`" in PAGE


def test_floors_drawn_equal_the_import_contract() -> None:
    drawn = re.findall(r"^([1-7])   ((?:\w+ )*\w+)  +\w", PAGE, re.MULTILINE)  # after two spaces are the remarks

    assert [int(number) for number, _ in drawn] == list(range(7, 0, -1))
    assert [set(re.findall(r"\w+", line)) for _, line in drawn] == [
        set(re.findall(r"pgjobs\.(\w+)", floor)) for floor in CONTRACTS["floors"]
    ]


def test_each_floor_imports_from_the_next_as_the_arrows_say() -> None:
    floors = [set(re.findall(r"pgjobs\.(\w+)", floor)) for floor in CONTRACTS["floors"]]
    arrows = [set.union(*map(imported_packages, upper)) & lower for upper, lower in pairwise(floors)]

    assert all(arrows)
    assert PAGE.count("\n     ↓\n") == len(arrows)


def test_each_layer_of_the_worker_is_named_on_the_page() -> None:
    layers = {name for layer in CONTRACTS["worker"] for name in re.findall(r"pgjobs\.worker\.(\w+)", layer)}

    assert layers <= {re.sub(r"^worker/|/$|\.py$", "", span) for span in SPANS if span.startswith("worker/")}


@pytest.mark.parametrize(("package", "imports"), ROW_OF_IMPORTS.findall(PAGE), ids=lambda value: value[:20])
def test_imports_of_a_package_equal_its_row(package: str, imports: str) -> None:
    assert ", ".join(sorted(imported_packages(package))) == imports.strip()


def test_each_top_level_package_has_a_row() -> None:
    names = {name for name, _ in ROW_OF_IMPORTS.findall(PAGE)}

    assert names == {package for package in PACKAGES if "/" not in package} | {"enqueueing", "otel", "tables"}


@pytest.mark.parametrize(("thread", "file"), ROW_OF_THREAD.findall(PAGE))
def test_thread_is_started_by_the_file_of_its_row(thread: str, file: str) -> None:
    name = thread.removesuffix("-<queue>").removesuffix("-")

    assert f'"pgjobs-{name}' in (PACKAGE / file).read_text()
