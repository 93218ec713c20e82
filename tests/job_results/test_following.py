"""`progress` and `follow`, on jobs whose rows the tests change as workers do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from pgjobs import NotFoundError, Progress, UsageError, enqueue, follow, progress
from pgjobs.db.url import sqlalchemy_url
from pgjobs.job_results import following as module
from pgjobs.job_results import watcher
from pgjobs.jobs.context import current
from tests.support import tasks_results as tasks
from tests.support.callers import KINDS, Caller, settled
from tests.support.claimed import claimed_job
from tests.support.processes import wait_until
from tests.support.rows import put_job

Connection = psycopg.Connection


def _engine(make: Callable[[str], Any]) -> Callable[[str], Any]:
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Caller]:
        yield Caller(make(url), asyncio.Event, asyncio.Event, asyncio.Event)  # type: ignore[arg-type]  # only conn is used

    return opened


ALL: dict[str, Callable[[str], Any]] = {
    **KINDS,
    "Engine": _engine(lambda url: create_engine(sqlalchemy_url(url), poolclass=NullPool)),
    "AsyncEngine on psycopg": _engine(lambda url: create_async_engine(sqlalchemy_url(url), poolclass=NullPool)),
    "AsyncEngine on asyncpg": _engine(
        lambda url: create_async_engine(sqlalchemy_url(url, "asyncpg"), poolclass=NullPool)
    ),
}


def say(conn: Connection, job: int, done: float | None, message: str = "", *, ago: float = 0.0) -> None:
    conn.execute(
        "INSERT INTO pgjobs.progress VALUES (%s, %s, 100, %s, '{\"page\": 1}', now() - %s * interval '1 second')"
        " ON CONFLICT (job_id) DO UPDATE SET done = excluded.done, message = excluded.message,"
        " updated_at = excluded.updated_at",
        [job, done, message, ago],
    )


def end(conn: Connection, job: int) -> None:
    """Complete a job with a result, as a worker does: that rings."""
    with conn.transaction():
        conn.execute("DELETE FROM pgjobs.jobs_live WHERE id = %s", [job])
        conn.execute(
            "INSERT INTO pgjobs.results (job_id, kept_until, is_json, value) VALUES (%s, 'infinity', true, '1')", [job]
        )


def followers() -> int:
    return sum(len(each._followers) + len(each._sinks) for each in watcher._watchers.values())


async def collect(iterable: Any, then: Callable[[Progress], object]) -> list[float | None]:
    """Iterate, sync or async, and call a function with each."""
    seen = []
    if hasattr(iterable, "__aiter__"):
        async for each in iterable:
            seen.append(each.done)
            then(each)
    else:
        for each in iterable:
            seen.append(each.done)
            then(each)
    return seen


def test_progress_and_follow_take_whatever_leads_to_the_database(database_url: str, conn: Connection) -> None:
    async def on(kind: str) -> None:
        job, quiet = put_job(conn), put_job(conn)
        say(conn, job, 40, "page 40")

        def act(now: Progress) -> None:
            if now.done == 40:
                say(conn, job, 100)
            else:
                end(conn, job)

        async with ALL[kind](database_url) as caller:
            found = await settled(progress(caller.conn, job))
            assert (found.done, found.total, found.message, found.state) == (40, 100, "page 40", {"page": 1}), kind
            assert found.updated_at.utcoffset().total_seconds() == 0
            assert await settled(progress(caller.conn, quiet)) is None
            assert await collect(follow(caller.conn, job, every=0.02), act) == [40, 100], kind

    for kind in ALL:
        asyncio.run(on(kind))
    assert [each.connections for each in watcher._watchers.values()] == [1]
    assert followers() == 0


def test_the_bell_ends_it_at_once_with_what_was_said_last(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "LONGEST_PAUSE", 60.0)
    monkeypatch.setattr(watcher, "FIRST_PAUSE", 60.0)
    job = put_job(conn)
    say(conn, job, 100)
    began, seen = time.monotonic(), []
    for each in follow(conn, job, every=60):
        seen.append(each.done)
        if len(seen) == 1:
            time.sleep(0.1)  # it looks once more, for what came while it made the connection
            say(conn, job, 101)
            end(conn, job)
    assert time.monotonic() - began < 5
    assert seen == [100, 101]


def test_the_last_word_of_a_job_may_come_after_its_end(
    conn: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_WORD", 30.0)
    job = put_job(conn)
    say(conn, job, 50)

    def late() -> None:
        with psycopg.connect(database_url, autocommit=True) as other:
            wait_until(lambda: not any(each.waiting for each in watcher._watchers.values()))
            say(other, job, 100)

    thread = threading.Thread(target=late)
    seen = []
    for each in follow(conn, job, every=0.02):
        seen.append(each.done)
        if each.done == 50:
            end(conn, job)
            thread.start()
    thread.join()
    assert seen == [50, 100]


@pytest.mark.parametrize(("done", "ago"), [(100, 0.0), (50, 3600.0), (None, 0.0)])
def test_what_has_said_its_last_word_is_not_waited_for(
    conn: Connection, monkeypatch: pytest.MonkeyPatch, done: float | None, ago: float
) -> None:
    monkeypatch.setattr(module, "LAST_WORD", 60.0)
    job = put_job(conn, status="completed")
    if done is not None:
        say(conn, job, done, ago=ago)
    assert [each.done for each in follow(conn, job)] == ([] if done is None else [done])


def test_a_job_that_no_worker_will_see_or_that_is_not_there_is_refused(database_url: str, conn: Connection) -> None:
    with pytest.raises(NotFoundError, match="no job 4711, or it has ended and is not kept"):
        list(follow(conn, 4711))

    async def in_transaction(kind: str) -> None:
        async with KINDS[kind](database_url) as caller:
            handle = await settled(enqueue(caller.conn, tasks.render, 1))
            with pytest.raises(UsageError, match=f"job {handle.id} was enqueued in this transaction.*commit first"):
                await collect(follow(caller.conn, handle), lambda _: None)

    for kind in ("psycopg Connection", "AsyncSession on asyncpg"):
        asyncio.run(in_transaction(kind))
    others: tuple[Any, ...] = (None, "postgresql://x", create_engine("sqlite://"))
    for wrong in others:
        for function in (progress, follow):
            with pytest.raises(UsageError, match=r"cannot wait on|pass one to the database|this is a connection to"):
                function(wrong, 1)
    with pytest.raises(UsageError, match="not the id of a job"):
        follow(conn, "7")  # type: ignore[call-overload]  # wrong on purpose
    with pytest.raises(UsageError, match="every=0"):
        follow(conn, 7, every=0)


def test_who_stops_following_leaves_nothing_behind(conn: Connection, database_url: str) -> None:
    job = put_job(conn)
    say(conn, job, 1)
    for _ in follow(conn, job):
        assert followers() == 2
        break

    async def one() -> None:
        async with KINDS["AsyncConnection on asyncpg"](database_url) as caller:
            stream = follow(caller.conn, job)
            async for _ in stream:
                break
            await stream.aclose()

    asyncio.run(one())
    assert followers() == 0


def test_who_follows_in_a_job_can_be_interrupted(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(Exception):
        pass

    def interrupt(_: object) -> bool:
        raise Stop

    monkeypatch.setattr(module, "SLICE", 0.05)
    job, token = put_job(conn), current.set(claimed_job(7))
    try:
        iterator = follow(conn, job)
        monkeypatch.setattr(module.Following, "_is_over", interrupt)  # it is asked between two waits
        with pytest.raises(Stop):
            next(iterator)
    finally:
        current.reset(token)
