from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from pgjobs.db.revision import EXPECTED_REVISION
from pgjobs.db.roles import role_statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Cli, Result

    Command = Callable[..., Result]


def test_migrate_makes_the_tables_and_can_be_repeated(command: Command, empty_database_url: str) -> None:
    first = command("migrate", url=empty_database_url)
    assert (first.code, first.err) == (0, "")
    assert f"went from revision none to {EXPECTED_REVISION}" in first.out
    second = command("migrate", url=empty_database_url)
    assert second.code == 0
    assert f"are at revision {EXPECTED_REVISION} already" in second.out
    assert command("jobs", "list", "--json", url=empty_database_url).out == "[]\n"


def test_migrate_sql_needs_no_database_and_makes_the_same_tables(command: Command, empty_database_url: str) -> None:
    printed = command("migrate", "--sql")
    assert (printed.code, printed.err) == (0, "")
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute(printed.out.encode())
    assert command("jobs", "list", "--json", url=empty_database_url).out == "[]\n"


def test_downgrade_without_terminal_needs_yes(cli: Cli, conn: psycopg.Connection) -> None:
    result = cli("migrate", "--downgrade", "base")
    assert result.code == 2
    assert "drops all tables, with every job in them" in result.err
    assert cli("status").code == 0
    result = cli("migrate", "--downgrade", "base", "--yes")
    assert result.code == 0
    assert f"went from revision {EXPECTED_REVISION} to none" in result.out
    assert cli("status").code == 1


def test_downgrade_to_unknown_revision_is_one_line(cli: Cli) -> None:
    result = cli("migrate", "--downgrade", "0815", "--yes")
    assert result.code == 1
    assert len(result.err.splitlines()) == 1


def test_statements_for_roles_are_printed_as_they_can_be_run(cli: Cli, conn: psycopg.Connection) -> None:
    printed = cli("migrate", "--sql", "--roles").out
    statements = "".join(f"{statement};\n" for statement in role_statements())
    assert printed.endswith(statements)
    with conn.transaction(force_rollback=True):
        conn.execute(statements.encode())
