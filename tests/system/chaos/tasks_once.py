"""Jobs that insert a row into a table without any key, and complete in the same transaction.

A hook writes down their runs, because it is around the transaction: `ok` is after the COMMIT, `stale` is what an
attempt was told that had lost its job, and `fail` is all else.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg

from pgjobs import CurrentJob, StaleClaimError, complete, connect, connect_async, job
from pgjobs.hooks import around_job
from tests.system.chaos.tasks import claimed, write

ENTRIES = "CREATE TABLE entries (job bigint NOT NULL, claim int NOT NULL)"
INSERT = "INSERT INTO entries (job, claim) VALUES (%s, %s)"
ATTEMPTS = 1_000
_kept: list[psycopg.Connection] = []
_kept_of_loop: list[psycopg.AsyncConnection] = []


@around_job
@contextmanager
def write_down(this: CurrentJob) -> Iterator[None]:
    """Write down how a run of these jobs began and ended."""
    if not this.task.startswith(f"{__name__}:"):
        yield
        return
    write("start")
    try:
        yield
    except StaleClaimError:
        write("stale")
        raise
    except BaseException:
        write("fail")
        raise
    write("ok")


@contextmanager
def connected() -> Iterator[psycopg.Connection]:
    """Take a connection that no other job has, and keep it if nothing was wrong with it."""
    try:
        conn = _kept.pop()
    except IndexError:
        conn = connect()
    try:
        with conn.transaction():
            yield conn
    except BaseException:
        conn.close()
        raise
    _kept.append(conn)


@asynccontextmanager
async def connected_on_loop() -> AsyncIterator[psycopg.AsyncConnection]:
    """Do the same on the event loop."""
    conn = _kept_of_loop.pop() if _kept_of_loop else await connect_async()
    try:
        async with conn.transaction():
            yield conn
    except BaseException:
        await conn.close()
        raise
    _kept_of_loop.append(conn)


def _forget() -> None:
    """In a forked child: the connections are its parent's."""
    _kept.clear()
    _kept_of_loop.clear()


os.register_at_fork(after_in_child=_forget)


def entry() -> list[int]:
    """Return the row of this attempt."""
    row = claimed()
    return [row.id, row.claim_number]


@job(max_attempts=ATTEMPTS, backoff=0.1)
def completes(seconds: float) -> None:
    """Be in the middle of the transaction for some time, and complete in it."""
    with connected() as conn:
        conn.execute(INSERT, entry())
        time.sleep(seconds)
        complete(conn)


@job(max_attempts=ATTEMPTS, backoff=0.1)
async def completes_on_loop(seconds: float) -> None:
    """Do it on the event loop."""
    async with connected_on_loop() as conn:
        await conn.execute(INSERT, entry())
        await asyncio.sleep(seconds)
        await complete(conn)


@job(transaction=True, max_attempts=ATTEMPTS, backoff=0.1)
def in_transaction(conn: psycopg.Connection, seconds: float) -> None:
    """Leave the transaction to the worker."""
    conn.execute(INSERT, entry())
    time.sleep(seconds)


@job(transaction=True, max_attempts=ATTEMPTS, backoff=0.1)
async def in_transaction_on_loop(conn: psycopg.AsyncConnection, seconds: float) -> None:
    """Leave it to the worker on the event loop."""
    await conn.execute(INSERT, entry())
    await asyncio.sleep(seconds)
