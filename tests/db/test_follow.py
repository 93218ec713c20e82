"""Which job waits for which: what is recorded after the commit, whatever others do meanwhile."""

from __future__ import annotations

import psycopg
import pytest

from pgjobs import enqueue
from pgjobs.admin import retry_jobs
from pgjobs.db.dependencies import EndedJob, release_dependents, settle_dependencies
from pgjobs.db.statements import doorbell_channel
from tests.support.functions import add
from tests.support.rows import put_dead, put_job, row_of

EDGES = "SELECT needs_id, job_id, settled FROM pgjobs.dependencies ORDER BY 1, 2"


def settle(conn: psycopg.Connection) -> None:
    with conn.transaction(), conn.cursor() as cursor:
        settle_dependencies(cursor)


def test_a_job_of_another_transaction_is_told_that_a_job_waits_for_it(conn: psycopg.Connection) -> None:
    needed = enqueue(conn, add, 1).id
    waits = enqueue(conn, add.options(after=[needed]), 2).id
    assert conn.execute(EDGES).fetchall() == [(needed, waits, False)]
    settle(conn)
    assert conn.execute(EDGES).fetchall() == [(needed, waits, True)]
    assert row_of(conn, needed)["dependents"] is True


@pytest.mark.parametrize(("status", "now"), [("completed", "queued"), ("failed", "waiting"), ("cancelled", "waiting")])
def test_what_has_ended_before_it_was_told_lets_the_others_go_on_if_it_completed(
    conn: psycopg.Connection, status: str, now: str
) -> None:
    needed = enqueue(conn, add, 1).id
    waits = enqueue(conn, add.options(after=[needed]), 2).id
    conn.execute("UPDATE pgjobs.jobs SET status = %s, finished_at = now() WHERE id = %s", [status, needed])
    settle(conn)
    assert row_of(conn, waits)["status"] == now


def test_a_job_of_which_only_the_dead_letter_is_left_has_not_completed(conn: psycopg.Connection) -> None:
    dead = put_dead(conn)
    conn.execute("DELETE FROM pgjobs.jobs_history")
    waits = enqueue(conn, add.options(after=[dead]), 2).id
    settle(conn)
    assert row_of(conn, waits)["status"] == "waiting"


def test_locked_row_delays_no_transaction_and_is_told_later(database_url: str, conn: psycopg.Connection) -> None:
    needed = enqueue(conn, add, 1).id
    enqueue(conn, add.options(after=[needed]), 2)
    conn.execute("SET lock_timeout = '1s'")
    with psycopg.connect(database_url) as other:
        other.execute("UPDATE pgjobs.jobs SET priority = 1 WHERE id = %s", [needed])
        settle(conn)
        assert row_of(conn, needed)["dependents"] is None
    settle(conn)
    assert row_of(conn, needed)["dependents"] is True


def test_a_failed_job_that_is_put_back_at_that_moment_is_told_as_well(
    database_url: str, conn: psycopg.Connection
) -> None:
    dead = put_dead(conn)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT 1")  # so that it is a part of this transaction
        retry_jobs(other, [dead])
        waits = enqueue(conn, add.options(after=[dead]), 2).id
        settle(conn)
        assert conn.execute(EDGES).fetchall() == [(dead, waits, False)]
    settle(conn)
    assert conn.execute(EDGES).fetchall() == [(dead, waits, True)]
    assert row_of(conn, dead)["dependents"] is True


def test_a_cancelled_job_that_is_put_back_waits_again(conn: psycopg.Connection) -> None:
    needed = enqueue(conn, add, 1).id
    waits = enqueue(conn, add.options(after=[needed]), 2).id
    conn.execute("UPDATE pgjobs.jobs SET status = 'cancelled', finished_at = now() WHERE id = %s", [waits])
    retry_jobs(conn, [waits])
    row = row_of(conn, waits)
    assert (row["status"], row["held"], row["needs"]) == ("waiting", "needs", 1)
    free = put_job(conn, status="cancelled")
    retry_jobs(conn, [free])
    assert row_of(conn, free)["status"] == "queued"


@pytest.mark.parametrize("limit_key", [None, "k"])
def test_who_waits_for_work_is_woken_for_what_continues(conn: psycopg.Connection, limit_key: str | None) -> None:
    with conn.transaction():
        needed = enqueue(conn, add, 1).id
        enqueue(conn, add.options(after=[needed], limit=limit_key), 2)
    conn.execute("INSERT INTO pgjobs.queues (name, doorbell_until) VALUES ('default', now() + interval '1 min')")
    conn.execute(f'LISTEN "{doorbell_channel("default")}"')
    with conn.transaction(), conn.cursor() as cursor:
        release_dependents(cursor, [EndedJob(needed, awaited=True)], completed=True)
    assert len(list(conn.notifies(timeout=1, stop_after=1))) == 1
