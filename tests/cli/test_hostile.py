"""Whatever is in the tables: what commands print moves no cursor, changes no title, and adds no lines of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from pgjobs.cli.commands import COMMANDS
from tests.web.content import put_all

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

HOSTILE = (
    "\x1b]0;title\x07\x1b]8;;http://x\x07\x1b[2J\x1b[31m\x9b5n\x90q\r\nFAKE\tx\b\x7f\u202e\u2028\U000e0041"
    " [bold]m[/] <b>"
)
LONGEST = 120_000  # characters of one output; a traceback in the tables has two million
READING: list[tuple[Any, ...]] = [
    ("status",),
    ("top", "--once"),
    ("doctor",),
    ("jobs", "list"),
    ("jobs", "show", "running"),
    ("jobs", "show", "dead"),
    ("jobs", "show", "queued"),
    ("dead", "list"),
    ("dead", "show", "dead"),
    ("why", "running"),
    ("why", "dead"),
    ("why", "queued"),
    ("queues", "list"),
    ("limits", "list"),
    ("tenants", "list"),
    ("breakers", "list"),
    ("tasks", "list"),
    ("schedules", "list"),
    ("schedules", "show", "nightly"),
    ("workflows", "list"),
    ("workflows", "show", "workflow"),
    ("pipelines", "list"),
    ("subscriptions", "list"),
    ("subscriptions", "topics"),
    ("broadcasts", "list"),
    ("broadcasts", "show", "1"),
    ("history", "list"),
    ("metrics", "--once"),
]
NOTHING_FROM_ROWS = {
    *("migrate", "work", "health", "web", "dev", "db", "demo"),
    *("pause", "resume", "drain"),  # they print what they were told
}
NO_JSON = {"metrics"}


@pytest.fixture(scope="module")
def poisoned(server: Any) -> Any:
    """A database in which each text is hostile that a row may hold. It is read only."""
    url = server.create(migrated=True)
    with psycopg.connect(url, autocommit=True) as conn:
        ids = put_all(conn, HOSTILE)
        ids["1"] = conn.execute("SELECT min(id) FROM pgjobs.broadcasts").fetchone()[0]  # type: ignore[index]
        assert poison(conn) > 60
    yield url, ids
    server.drop(url)


def poison(conn: psycopg.Connection) -> int:
    """Overwrite all columns with text in all tables, as far as their checks let it in; return how many."""
    columns = conn.execute(
        "SELECT c.table_name, c.column_name, c.data_type = 'jsonb' FROM information_schema.columns AS c"
        " JOIN pg_class AS t ON t.relname = c.table_name AND t.relnamespace = 'pgjobs'::regnamespace"
        " WHERE c.table_schema = 'pgjobs' AND c.data_type IN ('text', 'character varying', 'jsonb')"
        " AND t.relkind IN ('r', 'p') AND NOT t.relispartition AND c.table_name <> 'alembic_version'"
    ).fetchall()
    conn.execute("SET session_replication_role = replica")  # no triggers: rows may come from anywhere
    done = 0
    for table, column, is_json in columns:
        text = json.dumps(HOSTILE) if is_json and column != "errors" else HOSTILE
        if (table, column) == ("schedules", "name") or (is_json and column == "errors"):
            continue
        try:
            conn.execute(
                sql.SQL("UPDATE pgjobs.{} SET {} = %s").format(sql.Identifier(table), sql.Identifier(column)), [text]
            )
        except psycopg.Error:
            continue
        done += 1
    return done


def test_table_of_commands_is_whole() -> None:
    assert {command[0] for command in READING} | NOTHING_FROM_ROWS == {*COMMANDS}


@pytest.fixture
def show(poisoned: Any, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Any:
    url, ids = poisoned
    monkeypatch.setenv("PGJOBS_DATABASE_URL", url)

    def run(*words: str) -> Any:
        named = [ids.get(word, word) if at else word for at, word in enumerate(words)]
        return cli("--database-url", url, *named)

    return run


@pytest.mark.in_turns(3)
@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_command_prints_nothing_that_moves_the_cursor(show: Any, command: tuple[str, ...]) -> None:
    shown = show(*command)

    assert shown.code in (0, 1), shown.err[-500:]
    assert "Traceback (most recent call last)" not in shown.err
    for text in (shown.out, shown.err):
        assert [c for c in text if not c.isprintable() and c != "\n"] == []
        assert not [line for line in text.splitlines() if line.startswith("FAKE")]
        assert len(text) < LONGEST


@pytest.mark.in_turns(3)
@pytest.mark.parametrize("command", [each for each in READING if each[0] not in NO_JSON], ids=" ".join)
def test_json_is_json_of_characters_that_can_be_printed(show: Any, command: tuple[str, ...]) -> None:
    shown = show(*(word for word in command if word != "--once"), "--json")

    assert shown.code in (0, 1), shown.err[-500:]
    assert [c for c in shown.out if not c.isprintable() and c != "\n"] == []
    if shown.out:
        json.loads(shown.out)


@pytest.mark.in_turns(3)
@pytest.mark.parametrize("command", [each for each in READING if each[0] != "metrics"], ids=" ".join)
def test_terminal_gets_no_sequences_but_our_own(
    show: Any, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    shown = show(*command)

    for evil in ("\x1b]", "\x1b[2J", "\x9b", "\x90", "\x07", "\b", "\x7f", "\u202e", "\u2028"):
        assert evil not in shown.out, repr(evil)
    assert not [line for line in shown.out.splitlines() if line.startswith("FAKE")]
