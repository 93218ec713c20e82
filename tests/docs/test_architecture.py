"""docs/architecture.md is true to the code: its floors, packages, imports, files and threads."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from tests.support.processes import ROOT

PACKAGE = ROOT / "src" / "pgjobs"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
SPANS = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
PATHS = [span for span in SPANS if re.fullmatch(r"\w[\w./-]*(/|\.py|\.sql|\.md|\.toml)", span)]
PACKAGES = sorted(str(file.parent.relative_to(PACKAGE)) for file in PACKAGE.rglob("__init__.py"))[1:]
ROW_OF_IMPORTS = re.compile(r"^\| `(\w+)(?:/|\.py)` \|.*\| ([\w, ]*?) ?\|$", re.MULTILINE)
ROW_OF_THREAD = re.compile(r"^\| `pgjobs-([\w-]+)[^|]*\| `([^`]+)` \|", re.MULTILINE)


def imported_packages(name: str) -> set[str]:
    """Return the names directly below pgjobs that the files of `name` import, the face excepted."""
    files = [*(PACKAGE / name).rglob("*.py"), *PACKAGE.glob(f"{name}.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {module.split(".")[1] for module in modules if module.startswith("pgjobs.")} - {name}


@pytest.mark.parametrize("path", PATHS)
def test_path_named_on_the_page_exists(path: str) -> None:
    assert (ROOT / path).exists() or list(PACKAGE.rglob(path)) or list(PACKAGE.rglob(f"*/{path}"))


@pytest.mark.parametrize("package", PACKAGES)
def test_package_of_the_source_is_named_on_the_page(package: str) -> None:
    assert f"`{package}/`" in PAGE or f"`{package.rpartition('/')[2]}/`" in PAGE


def test_floors_drawn_equal_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = next(contract["layers"] for contract in contracts if contract["name"] == "floors")
    drawn = re.findall(r"^([1-7])   (.{36})", PAGE, re.MULTILINE)  # to the right of that are the remarks

    assert [int(number) for number, _ in drawn] == list(range(7, 0, -1))
    assert [set(re.findall(r"\w+", line)) for _, line in drawn] == [
        set(re.findall(r"pgjobs\.(\w+)", floor)) for floor in floors
    ]


@pytest.mark.parametrize(("package", "imports"), ROW_OF_IMPORTS.findall(PAGE), ids=lambda value: value[:20])
def test_imports_of_a_package_equal_its_row(package: str, imports: str) -> None:
    assert ", ".join(sorted(imported_packages(package))) == imports.strip()


def test_each_top_level_package_has_a_row() -> None:
    names = {name for name, _ in ROW_OF_IMPORTS.findall(PAGE)}

    assert names == {package for package in PACKAGES if "/" not in package} | {"enqueue", "tables"}


@pytest.mark.parametrize(("thread", "file"), ROW_OF_THREAD.findall(PAGE))
def test_thread_is_started_by_the_file_of_its_row(thread: str, file: str) -> None:
    name = thread.removesuffix("-<queue>").removesuffix("-")

    assert f'"pgjobs-{name}' in (PACKAGE / file).read_text()
