"""A worker inside of a process: it runs jobs in threads, ends cleanly, and hands back what it does not finish."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pgjobs import Worker, admin, enqueue, enqueue_many, job
from pgjobs.core.config import configure
from pgjobs.core.errors import SchemaError, UsageError
from tests.support.worker import wait_done, wait_for

Conn = psycopg.Connection[Any]
seen: list[Any] = []
free = threading.Event()


@job(queue="mail")
def send(number: int) -> None:
    seen.append(number)


@job
async def in_loop(number: int) -> None:
    await asyncio.sleep(0)
    seen.append(number)


@job(executor="process")
def in_child(number: int) -> None:
    assert number == 3


@job
def waits() -> None:
    seen.append("began")
    free.wait(20)


@job
async def sleeps() -> None:
    seen.append("asleep")
    await asyncio.sleep(60)


@pytest.fixture(autouse=True)
def fresh(database_url: str) -> Iterator[None]:
    seen.clear()
    free.clear()
    configure(database_url=database_url)
    yield
    free.set()


def threads() -> set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith("pgjobs-")} - {
        "pgjobs-loop",
        "pgjobs-watchdog",
    }


def test_jobs_run_in_threads_on_a_loop_and_in_children_and_nothing_is_left(conn: Conn) -> None:
    with Worker(queues={"mail": 3, "default": 2}, rescue_after=2.0):
        enqueue_many(conn, send, [(n,) for n in range(10)])
        enqueue(conn, in_loop, 20)
        enqueue(conn, in_child, 3)
        wait_done(conn)
    assert sorted(seen) == [*range(10), 20]
    assert conn.execute("SELECT count(*) FROM pgjobs.workers").fetchone() == (0,)
    deadline = time.monotonic() + 5
    while threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads() == set()


def test_an_async_block_keeps_its_loop_free(conn: Conn) -> None:
    async def main() -> None:
        async with Worker(["mail:1"]):
            enqueue(conn, send, 1)
            await asyncio.to_thread(wait_done, conn)

    asyncio.run(asyncio.wait_for(main(), 30))
    assert seen == [1]


def test_what_does_not_end_within_the_grace_is_handed_back(conn: Conn) -> None:
    with Worker({"default": 2}, grace=0.2):
        stuck, asleep = enqueue(conn, waits), enqueue(conn, sleeps)
        while len(seen) < 2:
            time.sleep(0.01)
    rows = dict(conn.execute("SELECT id, status || attempt FROM pgjobs.jobs").fetchall())
    assert rows == {stuck.id: "queued0", asleep.id: "queued0"}


def test_a_running_job_ends_within_the_grace(conn: Conn) -> None:
    with Worker({"default": 1}, grace=20):
        enqueue(conn, waits)
        while not seen:
            time.sleep(0.01)
        threading.Timer(0.2, free.set).start()
    assert conn.execute("SELECT status FROM pgjobs.jobs").fetchall() == [("completed",)]


def test_a_request_to_cancel_reaches_it(conn: Conn) -> None:
    with Worker({"default": 1}):
        handle = enqueue(conn, sleeps)
        while not seen:
            time.sleep(0.01)
        admin.cancel_jobs(conn, handle)
        wait_for(conn, "EXISTS (SELECT FROM pgjobs.jobs WHERE status = 'cancelled')")


def test_it_serves_the_queues_of_a_pattern(conn: Conn) -> None:
    with Worker(["*:2"]):
        enqueue(conn, send, 1)
        wait_done(conn)
    assert seen == [1]


def test_it_starts_once(conn: Conn) -> None:
    with Worker() as worker, pytest.raises(UsageError, match="was started before"):
        worker.start()


def test_a_database_without_tables_is_refused(empty_database_url: str) -> None:
    with pytest.raises(SchemaError):
        Worker(database_url=empty_database_url).start()
