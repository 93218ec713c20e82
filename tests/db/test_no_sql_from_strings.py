"""No SQL is put together from what users give: read in the code, statement by statement."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.core.config import Settings
from pgjobs.core.errors import UsageError
from pgjobs.db.roles import role_statements, roles_of
from pgjobs.db.statements import rename_schema
from pgjobs.tables import make_tables
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = sorted([*(ROOT / "src" / "pgjobs").rglob("*.py"), *(ROOT / "migrations").rglob("*.py")])
RUNNING = {"execute", "execute_all", "executemany", "exec_driver_sql", "text", "copy", "stream", "SQL"}
# What is run and is not a literal, by file and expression, and why no user's text can be in it. `statement(…)` and its
# like read the files of `db/sql/`; all that is put into them is the name of the schema, which Settings has checked.
ALLOWED = {
    (
        "src/pgjobs/db/connection.py",
        "_set('SET', _PINS, async_commit=async_commit)",
    ): "constants, here and of plan_settings.py",
    (
        "src/pgjobs/db/connection.py",
        "_set('SET LOCAL', _LOCAL, async_commit=async_commit)",
    ): "constants, here and of plan_settings.py",
    (
        "src/pgjobs/db/connection.py",
        "session_settings(connection.info.server_version)",
    ): "constants of session_settings.py",
    **dict.fromkeys(
        [("src/pgjobs/db/connection.py", f"set_statements('{verb}', _STILL)") for verb in ("SET", "SET LOCAL")],
        "constants of the same file",
    ),
    **dict.fromkeys(
        [
            ("src/pgjobs/db/declared_rows.py", f"statement(self.{which})")
            for which in ("locking", "retiring", "purging")
        ],
        "files, named by constants of the classes",
    ),
    (
        "src/pgjobs/testing/async_drivers.py",
        "sql",
    ): "statement(name), from link.py, and its savepoints, whose names are numbered",
    (
        "src/pgjobs/testing/databases.py",
        "rename.format(sql.Identifier(half), sql.Identifier(name))",
    ): "quoted by psycopg",
    (
        "src/pgjobs/testing/databases.py",
        "sql.SQL('CREATE DATABASE {} TEMPLATE {}').format(sql.Identifier(made), sql.Identifier(name))",
    ): "quoted by psycopg",
    (
        "src/pgjobs/testing/databases.py",
        "sql.SQL('CREATE DATABASE {}').format(sql.Identifier(half))",
    ): "quoted by psycopg",
    (
        "src/pgjobs/testing/databases.py",
        "sql.SQL('DROP DATABASE IF EXISTS {} WITH (FORCE)').format(sql.Identifier(made))",
    ): "quoted by psycopg",
    (
        "src/pgjobs/testing/drivers.py",
        "sql",
    ): "statement(name), from link.py, and its savepoints, whose names are numbered",
    (
        "src/pgjobs/testing/link.py",
        "sql",
    ): "statement(name), from link.py, and its savepoints, whose names are numbered",
    (
        "src/pgjobs/testing/sqlalchemy_driver.py",
        "sql",
    ): "statement(name), from link.py, and its savepoints, whose names are numbered",
    ("src/pgjobs/db/deadline.py", "statements.encode()"): "what execute_all was given",
    ("src/pgjobs/db/adapters/psycopg.py", "sql"): "binary(statement(name)), two lines above",
    ("src/pgjobs/db/adapters/sqlalchemy.py", "sql"): "named_statement(name), from where _text is called",
    (
        "src/pgjobs/db/adapters/prepared.py",
        "conn.pgconn",
    ): "no SQL: libpq's connection, on which a prepared statement was sent",
    ("src/pgjobs/db/roles.py", "statement.encode()"): "constants of the same file and the checked schema",
    ("src/pgjobs/tables.py", "default"): "constants of the same file, the columns' defaults, and the checked schema",
    (
        "src/pgjobs/worker/supervisor/cancel_listener.py",
        "sql.SQL('LISTEN {}').format(sql.Identifier(cancel_channel()))",
    ): "quoted by psycopg",
    (
        "src/pgjobs/worker/supervisor/cancel_listener.py",
        "sql.SQL('LISTEN {}').format(sql.Identifier(broadcast_channel()))",
    ): "quoted by psycopg",
    (
        "src/pgjobs/worker/claim/producer.py",
        "sql.SQL('LISTEN {}').format(sql.Identifier(channel))",
    ): "quoted by psycopg",
    (
        "src/pgjobs/job_results/watcher.py",
        "sql.SQL('LISTEN {}').format(sql.Identifier(results_channel()))",
    ): "quoted by psycopg",
    ("src/pgjobs/demo/claims.py", "self.sql.encode()"): "constants of the same file",
    ("src/pgjobs/demo/story.py", "sql.encode()"): "constants of the same file",
    ("src/pgjobs/demo/tables.py", "f'DELETE FROM pgjobs.{table} WHERE queue = ANY (%s)'"): "constants of the same file",
    ("migrations/versions/0001_initial.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0003_bell_and_history.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0004_cheaper_ring.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0005_kept_rows.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0006_key_locks.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0007_trusted_rows.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0008_held_rows.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0009_effects.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0010_results.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0011_workflows.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0012_waits.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0013_events.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0014_batch_locks.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0015_broadcasts.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0016_pipelines.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0017_audit.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0018_minutes.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/versions/0019_own_callbacks.py", "statement"): "files of migrations/sql/, and the checked schema",
    ("migrations/env.py", "f\"SELECT to_regnamespace('{SCHEMA}')\""): "the checked schema",
}
FROM_FILES = {"statement", "named_statement", "binary", "_text", "rename_schema"}


def suspects(code: str) -> Iterator[tuple[int, str]]:
    """Find what is run and is neither a literal, nor a constant, nor a file: line and expression."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and node.args and _name_of(node.func) in RUNNING:
            statement = node.args[0]
            if not (_is_literal(statement) or _is_from_file(statement)):
                yield node.lineno, ast.unparse(statement)


def _name_of(function: ast.expr) -> str | None:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())


def _is_from_file(node: ast.expr) -> bool:
    """Return True if it is the text of a file, by its name and perhaps a schema."""
    return (
        isinstance(node, ast.Call)
        and _name_of(node.func) in FROM_FILES
        and all(isinstance(part, ast.Constant | ast.Name) or _is_from_file(part) for part in node.args)
    )


def test_all_that_is_run_is_a_literal_or_a_file() -> None:
    found = {}
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        found.update({(name, expression): line for line, expression in suspects(path.read_text("utf-8"))})
    assert {place: line for place, line in found.items() if place not in ALLOWED} == {}
    assert set(ALLOWED) <= set(found), "some of these no longer exist"


@pytest.mark.parametrize(
    "code",
    [
        'conn.execute(f"SELECT {name}")',
        'conn.execute("SELECT " + name)',
        'conn.execute("SELECT %s" % name)',
        'conn.execute("SELECT {}".format(name))',
        "conn.execute(query)",
        'op.execute(f"DROP TABLE {name}")',
        'conn.exec_driver_sql(statement("claim") + f(name))',
        'conn.execute(statement("claim" + name))',
    ],
)
def test_the_reader_finds_what_is_put_together(code: str) -> None:
    assert list(suspects(code))


@given(st.one_of(st.text(max_size=70), st.from_regex(r"[a-z_\"'; .$\\-]{1,70}", fullmatch=True)))
def test_nothing_but_a_plain_identifier_becomes_a_schema(name: str) -> None:
    try:
        schema = Settings(schema=name).schema
    except UsageError:
        with pytest.raises(UsageError):
            rename_schema("SELECT 1 FROM pgjobs.jobs", name)
        with pytest.raises(UsageError):
            roles_of(name)
        with pytest.raises(UsageError):
            make_tables(name)
        return
    assert re.fullmatch("[a-z_][a-z0-9_]{0,62}", schema)
    assert not schema.startswith("pg_")
    if schema != "pgjobs":
        assert rename_schema("SELECT 1 FROM pgjobs.jobs", name) == f'SELECT 1 FROM "{schema}".jobs'


@pytest.mark.parametrize("length", [55, 56, 62, 63])
def test_the_three_roles_of_a_schema_are_three_also_where_names_are_cut(length: int) -> None:
    name = "s" * length
    if length <= 55:
        assert len({role.encode()[:63] for role in roles_of(name)}) == 3
    else:
        with pytest.raises(UsageError, match="names of roles begin with it"):
            role_statements(name)
