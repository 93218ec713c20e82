"""The docstring of a package names modules that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.processes import ROOT

SOURCE = ROOT / "src" / "pgjobs"
PACKAGES = {str(path.parent.relative_to(SOURCE)): path.parent for path in sorted(SOURCE.rglob("__init__.py"))}
NAME = re.compile(r"`([a-z_]+(?:/[a-z_]+)*(?:/|\.py)?)`")
NO_MODULES = {("embedded", name) for name in ("data", "url", "password", "keep")}
"""Files in the folder of a server, and a parameter."""


def _missing(package: Path, source: str) -> list[str]:
    """Return the names in the docstring that are neither files of the package or of pgjobs, nor names in its code."""
    docstring = ast.get_docstring(ast.parse(source)) or ""
    code = set(re.findall(r"\w+", source.replace(docstring, "")))
    return [
        name
        for name in NAME.findall(docstring)
        if name not in code
        and (package.name, name) not in NO_MODULES
        and not any(
            (folder / f"{name}{end}").exists() for folder in (package, package.parent, SOURCE) for end in ("", ".py")
        )
    ]


@pytest.mark.parametrize("name", PACKAGES)
def test_package_docstring_names_modules_that_exist(name: str) -> None:
    assert _missing(PACKAGES[name], (PACKAGES[name] / "__init__.py").read_text("utf-8")) == []


def test_a_module_that_is_gone_is_found() -> None:
    source = '"""`statements`, `caller`, `sql/`, `db/sql/claim/`, `gone.py` and `here`."""\nhere = 1\n'
    assert _missing(SOURCE / "db", source) == ["caller", "gone.py"]
