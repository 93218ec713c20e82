"""Jobs that wait for one that left no row: it has completed in a queue that keeps nothing, or is not committed yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from pgjobs import EnqueueError, JobHandle, enqueue
from pgjobs.admin import keep_completed
from pgjobs.db.dependencies import settle_dependencies
from pgjobs.worker.runtime.completing import complete
from tests.support import tasks
from tests.support.functions import add
from tests.support.rows import count, row_of
from tests.support.worker import scalar, wait_done, wait_for, work

FORGOTTEN = add.options(queue="brief")


@pytest.fixture(autouse=True)
def brief(conn: psycopg.Connection) -> None:
    keep_completed(conn, "brief", False)


@contextmanager
def writing(url: str) -> Iterator[psycopg.Connection]:
    """Open a transaction that has written something."""
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_current_xact_id()")
        yield other


def look(conn: psycopg.Connection) -> None:
    """Do what a worker does each second."""
    with conn.transaction(), conn.cursor() as cursor:
        settle_dependencies(cursor)


def run(conn: psycopg.Connection, handle: JobHandle[Any]) -> None:
    """Have a job claimed and completed."""
    conn.execute("UPDATE pgjobs.jobs SET status = 'running', worker_id = 1, claims = 1 WHERE id = %s", [handle.id])
    with conn.cursor() as cursor:
        assert complete(cursor, 1, [handle.id], [1], keep=False) == []


def status(conn: psycopg.Connection, handle: JobHandle[Any]) -> str:
    found: str = row_of(conn, handle.id)["status"]
    return found


def test_a_job_that_completed_without_a_trace_is_waited_for_no_longer(
    database_url: str, conn: psycopg.Connection
) -> None:
    with work(database_url, "-q", "brief:2", "-q", "default:2") as running:
        needed = enqueue(conn, tasks.nothing.options(queue="brief"), 1)
        wait_done(conn, log=lambda: running.output)
        assert count(conn, "jobs") == 0
        last = enqueue(conn, tasks.nothing.options(after=[needed]), 2)
        completed = f"EXISTS (SELECT FROM pgjobs.jobs WHERE id = {last.id} AND status = 'completed')"
        wait_for(conn, completed, 10, log=lambda: running.output)
    assert count(conn, "dependencies") == 0


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_a_job_that_is_not_committed_yet_has_not_completed(
    database_url: str, conn: psycopg.Connection, isolation: str
) -> None:
    with psycopg.connect(database_url) as first, psycopg.connect(database_url) as second:
        second.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        second.execute("SELECT pg_current_xact_id()")  # so that its number is below that of the other one
        needed = enqueue(first, FORGOTTEN, 1)
        last = enqueue(second, add.options(after=[needed]), 2)
        second.commit()
        for _ in range(3):
            look(conn)
            assert status(conn, last) == "waiting"
        first.commit()
    look(conn)
    assert (status(conn, last), status(conn, needed)) == ("waiting", "queued")
    look(conn)
    assert row_of(conn, needed.id)["dependents"]
    run(conn, needed)
    assert status(conn, last) == "queued"
    assert status(conn, needed) == "completed", "one that others wait for is kept"


def test_a_snapshot_from_before_the_job_was_committed_does_not_mean_that_it_has_completed(
    database_url: str, conn: psycopg.Connection
) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT")
        needed = enqueue(conn, FORGOTTEN, 1)
        last = enqueue(other, add.options(after=[needed]), 2)
        other.commit()
    for _ in range(3):
        look(conn)
        assert status(conn, last) == "waiting"
    run(conn, needed)
    assert status(conn, last) == "queued"


@pytest.mark.parametrize("ends", ["completed", "rolled back"])
def test_what_leaves_no_row_when_its_transaction_has_ended_counts_as_completed(
    database_url: str, conn: psycopg.Connection, ends: str
) -> None:
    with psycopg.connect(database_url) as other:
        needed = enqueue(other, FORGOTTEN, 1)
        last = enqueue(conn, add.options(after=[needed]), 2)
        look(conn)
        if ends == "completed":
            other.commit()
            run(conn, needed)  # before any worker knows that another job waits for it
        else:
            other.rollback()
    assert status(conn, last) == "waiting"
    look(conn)
    assert status(conn, last) == "queued"
    assert count(conn, "dependencies") == 0


def test_any_transaction_that_was_open_may_have_inserted_it_and_a_later_one_cannot(
    database_url: str, conn: psycopg.Connection
) -> None:
    needed = enqueue(conn, FORGOTTEN, 1)
    run(conn, needed)
    with writing(database_url) as before:
        last = enqueue(conn, add.options(after=[needed]), 2)
        look(conn)
        with writing(database_url):
            look(conn)
            assert status(conn, last) == "waiting"
            before.rollback()
            look(conn)
            assert status(conn, last) == "queued"


def test_the_number_of_a_transaction_of_another_server_does_not_hold_a_job_up(conn: psycopg.Connection) -> None:
    needed = enqueue(conn, FORGOTTEN, 1)
    run(conn, needed)
    last = enqueue(conn, add.options(after=[needed]), 2)
    conn.execute("UPDATE pgjobs.dependencies SET in_doubt = 2^62")  # from a dump
    look(conn)
    assert status(conn, last) == "queued"


def test_what_is_unclear_holds_up_no_other(database_url: str, conn: psycopg.Connection) -> None:
    needed = enqueue(conn, FORGOTTEN, 1)
    run(conn, needed)
    conn.execute("SELECT nextval('pgjobs.jobs_id_seq') FROM generate_series(1, 1500)")
    with writing(database_url):
        last = enqueue(conn, add.options(after=range(needed.id, needed.id + 1500)), 2)
        other = enqueue(conn, add, 3)
        after_other = enqueue(conn, add.options(after=[other]), 4)
        for _ in range(3):
            look(conn)
        assert row_of(conn, other.id)["dependents"]
        run(conn, other)
        assert (status(conn, after_other), status(conn, last)) == ("queued", "waiting")
    for _ in range(2):
        look(conn)
    assert status(conn, last) == "queued"


def test_ids_that_were_never_given_out_are_refused(conn: psycopg.Connection) -> None:
    needed = enqueue(conn, FORGOTTEN, 1)
    run(conn, needed)
    highest = scalar(conn, "SELECT pg_sequence_last_value('pgjobs.jobs_id_seq')")
    for unknown in (highest + 1, 2**62):
        with pytest.raises(EnqueueError, match=rf"wait for {unknown} \(after=\), and there is no such job"):
            enqueue(conn, add.options(after=[needed, unknown]), 2)
    with pytest.raises(psycopg.Error, match="there is no job 4711"):
        conn.execute("SELECT pgjobs.enqueue('a:b', after => '{4711}')")
    with pytest.raises(psycopg.Error, match="there is no job -1"):
        conn.execute("SELECT pgjobs.enqueue('a:b', after => '{-1}')")
    assert count(conn, "jobs") == 0


def test_where_each_queue_keeps_its_jobs_one_without_a_row_is_refused(conn: psycopg.Connection) -> None:
    needed = enqueue(conn, FORGOTTEN, 1)
    run(conn, needed)
    keep_completed(conn, "brief", True)
    with pytest.raises(EnqueueError, match=rf"wait for {needed.id} "):
        enqueue(conn, add.options(after=[needed]), 2)
