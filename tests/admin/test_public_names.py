"""`pgjobs.admin` hands out the operations by name, and imports each at first use."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pgjobs import admin


def test_every_public_name_is_there_and_listed_alike() -> None:
    source = Path(admin.__file__).read_text()
    block = next(node for node in ast.parse(source).body if isinstance(node, ast.If))
    typed = {alias.name for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert typed == set(admin.__all__) == set(dir(admin))
    for name in admin.__all__:
        assert getattr(admin, name).__name__ == name


def test_every_function_is_in_the_table_of_tasks() -> None:
    table = set(re.findall(r"`(\w+)`", admin.__doc__ or ""))

    assert table == {name for name in admin.__all__ if name.islower()}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(admin, "noth" + "ing")


def test_importing_pgjobs_and_admin_does_not_import_psycopg() -> None:
    code = "import sys, pgjobs; from pgjobs import admin; print('psycopg' in sys.modules, 'alembic' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]
