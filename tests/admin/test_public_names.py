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


def test_importing_pgjobs_and_encoding_a_call_import_nothing_that_only_workers_and_commands_need() -> None:
    code = """if True:
        import os.path, sys, pgjobs
        from pgjobs import admin, job
        from pgjobs.payload.encoder import encoder_for
        encoder_for(os.path.getsize).row_values(("/etc/hostname",), {})
        print(*sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names))
    """

    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)

    heavy = {"psycopg", "sqlalchemy", "alembic", "typer", "click", "rich", "structlog", "cronsim"}
    assert heavy & {*done.stdout.split()} == set()
