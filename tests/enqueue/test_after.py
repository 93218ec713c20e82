"""Jobs that wait for others: how many, for which, and no other rows are touched."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import psycopg
import pytest

from pgjobs import EnqueueError, JobHandle, enqueue, enqueue_many
from pgjobs.admin import show_job
from tests.support.callers import KINDS, settled
from tests.support.functions import add
from tests.support.rows import count, row_of


def edges(conn: psycopg.Connection) -> list[Any]:
    query = "SELECT needs_id, job_id, on_failure, settled FROM pgjobs.dependencies ORDER BY job_id, needs_id"
    return conn.execute(query).fetchall()


def test_it_waits_for_as_many_as_there_are(conn: psycopg.Connection) -> None:
    first, second = enqueue_many(conn, add, [(1,), (2,)])
    last = enqueue(conn, add.options(after=[first, second.id, first], if_failed="cancel"), 3)
    row = row_of(conn, last.id)
    assert (row["status"], row["held"], row["needs"], row["lane"]) == ("waiting", "needs", 2, None)
    assert edges(conn) == [(first.id, last.id, "cancel", False), (second.id, last.id, "cancel", False)]
    assert row_of(conn, first.id)["dependents"] is None, "it may be running: a worker tells its row"


def test_those_of_the_same_transaction_know_at_once(conn: psycopg.Connection) -> None:
    before = enqueue(conn, add, 0)
    with conn.transaction():
        first = enqueue(conn, add, 1)
        many = enqueue_many(conn, add.options(after=(first, before), limit="a", delay=60), [(2,), (3,)])
        last = enqueue(conn, add.options(after=many), 4)
    assert edges(conn) == [
        *((needed.id, handle.id, "wait", needed is first) for handle in many for needed in (before, first)),
        *((handle.id, last.id, "wait", True) for handle in many),
    ]
    assert [row_of(conn, handle.id)["dependents"] for handle in (before, first, *many, last)] == [
        *(None, True, True, True, None)
    ]
    assert [row_of(conn, handle.id)["held"] for handle in many] == ["needs", "needs"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_same_on_every_connection(database_url: str, conn: psycopg.Connection, kind: str) -> None:
    async def main() -> tuple[JobHandle[Any], JobHandle[Any]]:
        async with KINDS[kind](database_url) as caller:
            first = await settled(enqueue(caller.conn, add, 1))
            last = await settled(enqueue(caller.conn, add.options(after=[first]), 2))
            with pytest.raises(EnqueueError, match=r"wait for 4711 \(after=\), and there is no such job"):
                await settled(enqueue(caller.conn, add.options(after=[4711, first]), 3))
            await caller.commit()
            return first, last

    first, last = asyncio.run(main())
    assert edges(conn) == [(first.id, last.id, "wait", True)]
    assert count(conn, "jobs") == 2


def test_no_transaction_waits_for_a_dependency_on_a_visible_row(database_url: str, conn: psycopg.Connection) -> None:
    first = enqueue(conn, add, 1)
    with psycopg.connect(database_url) as other:
        enqueue(other, add.options(after=[first]), 2)
        conn.execute("SET lock_timeout = '100ms'")
        conn.execute("SELECT FROM pgjobs.jobs WHERE id = %s FOR UPDATE NOWAIT", [first.id])


def test_finished_and_dead_ones_can_be_waited_for_and_others_cannot(
    database_url: str, conn: psycopg.Connection
) -> None:
    dead = 77
    conn.execute(
        "INSERT INTO pgjobs.dead_jobs (id, run_at, enqueued_at, claims, attempt, max_attempts, priority, status, "
        "queue, task, payload) VALUES (%s, now(), now(), 1, 1, 1, 5, 'failed', 'default', 'm:f', 'x')",
        [dead],
    )
    handle = enqueue(conn, add.options(after=[dead]), 1)
    assert edges(conn) == [(dead, handle.id, "wait", False)]
    with psycopg.connect(database_url) as other:
        unseen = enqueue(other, add, 1)
        with pytest.raises(EnqueueError, match=rf"wait for {unseen.id} "):
            enqueue(conn, add.options(after=[unseen]), 2)
    with pytest.raises(EnqueueError, match=r"wait for 1001, 1002, .*, …"):
        enqueue_many(conn, add.options(after=range(1001, 1100)), [(1,)])


def test_of_one_that_is_there_already_nothing_changes(conn: psycopg.Connection) -> None:
    first = enqueue(conn, add, 1)
    unique = add.options(unique="x", after=[first])
    last = enqueue(conn, unique, 2)
    assert [handle.conflict for handle in enqueue_many(conn, unique, [(3,), (4,)])] == [True, True]
    assert len(edges(conn)) == 1
    assert row_of(conn, last.id)["needs"] == 1


def test_a_job_that_ends_while_it_is_looked_for_is_found(conn: psycopg.Connection, database_url: str) -> None:
    over = threading.Event()
    newest = [enqueue(conn, add, 1).id]

    def end_one_after_another() -> None:
        with psycopg.connect(database_url, autocommit=True) as other:
            while not over.is_set():
                following = enqueue(other, add, 1).id
                ended, newest[0] = newest[0], following
                other.execute("UPDATE pgjobs.jobs SET status = 'completed', finished_at = now() WHERE id = %s", [ended])

    ending = threading.Thread(target=end_one_after_another)
    ending.start()
    try:
        for _ in range(400):
            last = newest[0]
            enqueue(conn, add.options(after=[last]), 2)
            assert show_job(conn, last).id == last
    finally:
        over.set()
        ending.join()


def test_waiting_for_no_job_is_not_waiting(conn: psycopg.Connection) -> None:
    assert row_of(conn, enqueue(conn, add.options(after=[]), 1).id)["status"] == "queued"
