"""Ids that are given out again, as after a move without the sequence: nothing is lost, and it is repaired."""

from __future__ import annotations

import psycopg

from pgjobs import enqueue
from pgjobs.admin import replay_dead
from pgjobs.db.statements import statement
from pgjobs.diagnose.doctor import doctor
from tests.support import functions
from tests.support.rows import letters_of, put_dead, put_job
from tests.support.worker import scalar


def names(conn: psycopg.Connection) -> set[str]:
    return {finding.name for finding in doctor(conn).findings}


def test_the_doctor_sees_a_sequence_that_is_behind_and_a_supervisor_moves_it_on(conn: psycopg.Connection) -> None:
    last = max(put_dead(conn), put_job(conn), put_job(conn, status="completed"))
    put_job(conn, id=2**62 + 5)  # written by hand
    assert "ids_behind" not in names(conn)
    assert conn.execute(statement("advance_ids")).fetchone() == (None,)
    conn.execute("ALTER SEQUENCE pgjobs.jobs_id_seq RESTART")
    assert "ids_behind" in names(conn)
    assert conn.execute(statement("advance_ids")).fetchone() == (last,)
    assert "ids_behind" not in names(conn)
    assert last < enqueue(conn, functions.add, 1).id < last + 10_000


def test_a_letter_is_not_overwritten_by_that_of_another_job(conn: psycopg.Connection) -> None:
    old = put_dead(conn, summary="old")
    conn.execute("ALTER SEQUENCE pgjobs.jobs_id_seq RESTART")
    put_job(conn, id=old, status="failed", summary="new", enqueued_at="2001-01-01")
    letter = (
        f"INSERT INTO pgjobs.dead_jobs {letters_of('pgjobs.jobs')} WHERE f.summary = 'new'"
        " ON CONFLICT (id) DO UPDATE SET error = 'again'"
    )
    conn.execute(letter)
    found: dict[str, int] = dict(conn.execute("SELECT summary, id FROM pgjobs.dead_jobs").fetchall())
    assert found["new"] == old < found["old"]
    conn.execute(letter)  # the same job dies again
    assert scalar(conn, "SELECT count(*) FROM pgjobs.dead_jobs") == 2
    assert replay_dead(conn, [found["old"]]).done == (found["old"],)


def test_a_letter_stays_while_another_job_with_its_id_is_live(conn: psycopg.Connection) -> None:
    old = put_dead(conn, enqueued_at="2001-01-01")
    put_job(conn, id=old)
    change = replay_dead(conn, [old])
    assert change.done == ()
    assert "Another job" in change.refused[0].reason
    assert scalar(conn, "SELECT count(*) FROM pgjobs.dead_jobs") == 1
