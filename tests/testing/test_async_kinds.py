"""The test kit on each kind of asynchronous connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from pgjobs import complete, current_job, enqueue, job
from pgjobs.core.errors import UsageError
from pgjobs.testing import AsyncJobs, Jobs
from tests.support.callers import KINDS
from tests.testing import app

ASYNC = [kind for kind in KINDS if "Async" in kind or "async" in kind]
here: dict[str, Any] = {}


@asynccontextmanager
async def in_test(kind: str, url: str) -> AsyncIterator[tuple[Any, AsyncJobs]]:
    app.calls.clear()
    async with KINDS[kind](url) as caller:
        here["conn"] = caller.conn
        yield caller.conn, AsyncJobs(caller.conn)
        await caller.rollback()


def run(kind: str, url: str, test: Callable[[Any, AsyncJobs], Awaitable[None]]) -> None:
    async def main() -> None:
        async with in_test(kind, url) as (conn, jobs):
            await test(conn, jobs)

    asyncio.run(main())


@job(max_attempts=3)
async def reports(number: int) -> None:
    done = await current_job().once("step", step, number)
    current_job().progress(1, 2, state={"done": done})
    await asyncio.sleep(0)
    if current_job().attempt == 1:
        raise ConnectionError("mail")
    app.calls.append(current_job().state)


async def step(number: int) -> int:
    app.calls.append("step")
    return number


@job(max_attempts=2)
async def enqueues(number: int) -> None:
    await enqueue(here["conn"], app.double, number)


@job(transaction=True)
async def on_session(session: AsyncSession, number: int) -> None:
    app.calls.append((await session.execute(text("SELECT CAST(:n AS int)"), {"n": number})).scalar_one())


@job(max_attempts=2)
async def completes() -> None:
    await complete(here["conn"])


@pytest.mark.parametrize("kind", ASYNC)
def test_jobs_are_enqueued_asserted_and_run(kind: str, database_url: str) -> None:
    async def test(conn: Any, jobs: AsyncJobs) -> None:
        await enqueue(conn, reports, 7)
        await enqueue(conn, enqueues, 21)
        await enqueue(conn, app.charge_once, 3)
        await enqueue(conn, app.send_receipt.options(delay=3600, meta={"user": 1}), 5)
        handle = await enqueue(conn, completes)
        await jobs.assert_enqueued(app.send_receipt, 5, queue="mail", within="1h", meta={"user": 1})
        done = (await jobs.drain()).check()
        assert handle in done
        assert [ran.result for ran in done.values() if ran.task.endswith("double")] == [42]
        assert sorted(map(str, app.calls)) == ["charge 3", "step", "{'charged': 30}", "{'done': 7}"]
        await jobs.clock.forward("1h")
        assert len(await jobs.drain()) == 1
        assert await jobs.leftovers() == []

    run(kind, database_url, test)


@pytest.mark.parametrize("kind", ["AsyncSession on asyncpg", "AsyncConnection on psycopg"])
def test_a_job_with_a_transaction_gets_a_session(kind: str, database_url: str) -> None:
    async def test(conn: Any, jobs: AsyncJobs) -> None:
        ran = await jobs.run(await enqueue(conn, on_session, 3))
        ran.check()
        assert app.calls == [3]

    run(kind, database_url, test)


def test_expect_and_faults_work_as_on_a_synchronous_connection(database_url: str) -> None:
    async def test(conn: Any, jobs: AsyncJobs) -> None:
        async with jobs.expect(app.double, times=1) as found:
            handle = await enqueue(conn, app.double, 1)
        assert [each.id for each in found] == [handle.id]
        jobs.fail_next(app.double, TimeoutError("x"))
        jobs.crash_at("before_effects")
        assert [ran.outcome for ran in (await jobs.drain()).attempts] == ["retried", "retried", "completed"]

    run("psycopg AsyncConnection", database_url, test)


def test_each_half_names_the_other_one(database_url: str) -> None:
    async def test(conn: Any, jobs: AsyncJobs) -> None:
        with pytest.raises(UsageError, match=r"use `AsyncJobs\(conn\)`"):
            Jobs(conn)

    run("AsyncSession on asyncpg", database_url, test)
    run("psycopg AsyncConnection", database_url, test)
