"""The password of the database: in no process list, log, row or message, whatever happens to the worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from pgjobs import enqueue
from pgjobs.cli.main import main
from tests.support import tasks
from tests.support.worker import scalar, states, wait_done, wait_for, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.in_turns(3)

SECRET = "sekret9%2Fwith%40more"
PLAIN = "sekret9/with@more"


@pytest.fixture
def secret_url(database_url: str, conn: psycopg.Connection) -> Iterator[str]:
    """The URL of a role with a password of its own, which the server wants to see (SCRAM)."""
    name = f"worker_{scalar(conn, 'SELECT current_database()')}"
    conn.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(sql.Identifier(name), sql.Literal(PLAIN)))
    parts = urlsplit(database_url)
    place = parts.netloc.rpartition("@")[2]
    if not scalar(conn, "SELECT rolpassword LIKE 'SCRAM%%' FROM pg_authid WHERE rolname = %s", [name]):
        pytest.skip("this server keeps passwords in another way")
    yield urlunsplit(parts._replace(netloc=f"{name}:{SECRET}@{place}"))
    conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
    conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def command_lines(pids: list[int]) -> list[str]:
    """Return the command line of each process, as all users of the machine can read it."""
    return [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in pids]


def all_that_is_shown(conn: psycopg.Connection, pgjobs: Callable[..., str]) -> str:
    """Return what commands and tables show of all jobs and workers."""
    ids = [str(row[0]) for row in conn.execute("SELECT id FROM pgjobs.jobs UNION SELECT id FROM pgjobs.dead_jobs")]
    shown = [pgjobs("status", "--json"), pgjobs("dead", "list", "--json")]
    shown += [pgjobs("jobs", "show", job, "--json") for job in ids]
    for table in ("jobs", "dead_jobs", "workers", "queues"):
        shown.append(scalar(conn, f"SELECT json_agg(t)::text FROM pgjobs.{table} AS t") or "")
    return "\n".join(shown)


@pytest.fixture
def pgjobs(secret_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command in this process, with the URL in the environment, and return what it prints."""
    monkeypatch.setenv("PGJOBS_DATABASE_URL", secret_url)

    def run(*arguments: str) -> str:
        main(list(arguments))
        return "".join(capsys.readouterr())

    return run


@pytest.mark.parametrize("by", ["the environment", "the option"])
def test_worker_that_starts_works_fails_and_loses_its_server_shows_no_password(
    by: str, secret_url: str, conn: psycopg.Connection, pgjobs: Callable[..., str]
) -> None:
    enqueue(conn, tasks.always_fail.options(max_attempts=1))
    enqueue(conn, tasks.nothing.options(executor="process"))
    with work(secret_url, "--processes", 2, by_option=by == "the option") as running:
        wait_done(conn, log=lambda: running.output)
        assert len(running.remains()) >= 3
        lines = command_lines(running.remains())
        name = urlsplit(secret_url).username
        # The role may no longer log in, and what it has is cut: an outage, with libpq's own words.
        conn.execute(sql.SQL("ALTER ROLE {} PASSWORD 'another'").format(sql.Identifier(str(name))))
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
        wait_for(conn, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename LIKE 'worker_pg%' AND state = 'active')")
        refused = pgjobs("status", "--debug")
        conn.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(str(name)), sql.Literal(PLAIN)),
        )
        enqueue(conn, tasks.nothing)
        wait_done(conn, log=lambda: running.output)
        assert running.stop() == 0
        output = running.output
    assert states(conn) == {"completed": 2, "failed": 1}
    assert "PostgreSQL cannot be used now" in output
    assert "Traceback" in refused
    shown = "\n".join([*lines, output, refused, all_that_is_shown(conn, pgjobs)])
    for secret in (SECRET, PLAIN, "sekret9"):
        assert secret not in shown
