"""Row level security on the tables is said in one line, and never looks like a queue without jobs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs import enqueue
from pgjobs.admin import list_dead, list_jobs, show_job, show_status, why
from pgjobs.core.errors import EnqueueError, SchemaError
from pgjobs.db.revision import check_schema
from pgjobs.db.row_security import CHANGE
from pgjobs.diagnose.doctor import doctor
from tests.support import functions
from tests.support.rows import put_dead, put_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAID = "Row level security may hide rows of dead_jobs, jobs, jobs_history and 4 more from the role 'postgres'"


def _said(way: Callable[[], object]) -> str:
    try:
        found = way()
    except SchemaError as error:
        return str(error)
    return f"no error, but {found!r}"


@contextmanager
def stranger(conn: psycopg.Connection) -> Iterator[str]:
    """Go on as a role with all rights, but not the owner of the tables."""
    role = f"stranger_{conn.info.backend_pid}"
    conn.execute(
        f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA pgjobs TO {role};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA pgjobs TO {role};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA pgjobs TO {role}; SET ROLE {role}"
    )
    try:
        yield role
    finally:
        conn.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")


def test_who_sees_no_rows_because_of_policies_is_told_so(conn: psycopg.Connection) -> None:
    job = put_job(conn)
    put_dead(conn)
    for table in ("jobs", "jobs_live", "jobs_waiting", "jobs_history", "jobs_history_default", "dead_jobs", "queues"):
        conn.execute(f"ALTER TABLE pgjobs.{table} ENABLE ROW LEVEL SECURITY".encode())
    assert len(list_jobs(conn)) == 2
    check_schema(conn, kinds=CHANGE)
    assert [finding.level for finding in doctor(conn).findings if finding.name == "row_security"] == ["warning"]
    with stranger(conn) as role:
        ways: dict[str, Callable[[], object]] = {
            "commands": lambda: check_schema(conn),
            "show": lambda: show_job(conn, job),
            "why": lambda: why(conn, job),
            "list": lambda: list_jobs(conn),
            "dead": lambda: list_dead(conn),
            "status": lambda: show_status(conn),
        }
        assert {name: _said(way) for name, way in ways.items() if SAID not in _said(way)} == {}
        with pytest.raises(EnqueueError, match="row-level security"):
            enqueue(conn, functions.add, 1)
        assert [finding.level for finding in doctor(conn).findings if finding.name == "row_security"] == ["error"]
        conn.execute("RESET ROLE")
        conn.execute("ALTER TABLE pgjobs.migrations ENABLE ROW LEVEL SECURITY")
        conn.execute(f"SET ROLE {role}".encode())
        with pytest.raises(SchemaError, match="Row level security may hide"):
            check_schema(conn)
        assert [finding.name for finding in doctor(conn).findings] == ["row_security"]


def test_policies_that_show_everything_are_in_nobodys_way(conn: psycopg.Connection) -> None:
    put_job(conn)
    conn.execute("ALTER TABLE pgjobs.jobs_live ENABLE ROW LEVEL SECURITY")
    conn.execute("CREATE POLICY all_of_it ON pgjobs.jobs_live FOR SELECT USING (true)")
    with stranger(conn):
        check_schema(conn)
        with pytest.raises(SchemaError, match="jobs_live"):
            check_schema(conn, kinds=CHANGE)
        conn.execute("RESET ROLE")
        conn.execute("CREATE POLICY changes ON pgjobs.jobs_live USING (true)")
        conn.execute(f"SET ROLE stranger_{conn.info.backend_pid}".encode())
        check_schema(conn, kinds=CHANGE)
