"""The audit: entries begin before an action, and end after it, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from pgjobs import admin
from pgjobs.db.roles import make_roles

if TYPE_CHECKING:
    from psycopg import Connection


def test_an_entry_begins_and_ends_once(conn: Connection) -> None:
    first = admin.begin_audit(conn, "ada", "pause-queue", {"queue": "mail\x00"}, via="dashboard")
    second = admin.begin_audit(conn, "eve\x1b", "cancel-jobs", {})
    assert admin.end_audit(conn, first, number=1, outcome="done")
    assert not admin.end_audit(conn, first, number=2, outcome="again")
    newest, oldest = admin.list_audit(conn)
    assert (newest.id, newest.by, newest.outcome, newest.ended_at) == (second, "eve\\x1b", None, None)
    assert (oldest.by, oldest.via, oldest.target) == ("ada", "dashboard", {"queue": "mail "})
    assert (oldest.number, oldest.outcome, oldest.failed) == (1, "done", False)
    assert [each.id for each in admin.list_audit(conn, by="ada")] == [first]
    assert [each.id for each in admin.list_audit(conn, action="cancel-jobs")] == [second]
    assert [each.id for each in admin.list_audit(conn, before=second)] == [first]


def test_a_role_that_works_writes_it_and_deletes_nothing(conn: Connection) -> None:
    make_roles(conn)
    conn.execute("SET ROLE pgjobs_work")
    number = admin.begin_audit(conn, "ada", "pause-queue", {})
    assert admin.end_audit(conn, number, number=1, outcome="done")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("DELETE FROM pgjobs.audit")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("UPDATE pgjobs.audit SET by = 'eve'")
    conn.execute("SET ROLE pgjobs_read")
    assert [each.id for each in admin.list_audit(conn)] == [number]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        admin.begin_audit(conn, "eve", "pause-queue", {})
    conn.execute("RESET ROLE")
