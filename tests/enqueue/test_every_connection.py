"""What holds on each kind of connection: the job is part of the caller's transaction, and of nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from threading import Lock
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from pgjobs import EnqueueError, SchemaError, configure, enqueue, enqueue_many
from pgjobs.payload.pickling import load
from pgjobs.payload.signing import signed_fields, verify
from tests.support.callers import KINDS, settled
from tests.support.functions import add, plain, send_receipt, whisper

Opened = Callable[[str], Any]


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def opened(request: pytest.FixtureRequest) -> Opened:
    kind: Opened = request.param
    return kind


def rows(conn: psycopg.Connection) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM pgjobs.jobs ORDER BY id").fetchall()


def test_the_job_is_there_when_the_transaction_is_committed_and_not_before(
    opened: Opened, database_url: str, conn: psycopg.Connection
) -> None:
    async def main() -> None:
        async with opened(database_url) as caller:
            handle = await settled(enqueue(caller.conn, send_receipt, 42, copy=True))
            assert rows(conn) == []
            await caller.commit()
            assert [row["id"] for row in rows(conn)] == [handle.id]

    asyncio.run(main())
    [row] = rows(conn)
    assert {name: row[name] for name in ("queue", "priority", "max_attempts", "executor", "status", "attempt")} == {
        "queue": "mail",
        "priority": 3,
        "max_attempts": 7,
        "executor": "process",
        "status": "queued",
        "attempt": 0,
    }
    assert row["task"] == "tests.support.functions:send_receipt"
    assert row["summary"] == "send_receipt(42, copy=True)"
    assert row["timeout"] == pytest.approx(1.1)
    assert row["signature"] is None
    assert row["run_at"] == row["enqueued_at"]
    assert load(row["payload"])() == "42 True"


def test_a_rollback_leaves_no_job(opened: Opened, database_url: str, conn: psycopg.Connection) -> None:
    async def main() -> None:
        async with opened(database_url) as caller:
            await settled(enqueue(caller.conn, add, 1))
            await settled(enqueue_many(caller.conn, add, [(2,), (3,)]))
            await caller.rollback()
            await settled(enqueue(caller.conn, add, 4))
            await caller.commit()

    asyncio.run(main())
    assert [row["summary"] for row in rows(conn)] == ["add(4)"]


def test_leaving_without_a_commit_leaves_no_job(opened: Opened, database_url: str, conn: psycopg.Connection) -> None:
    async def main() -> None:
        async with opened(database_url) as caller:
            await settled(enqueue(caller.conn, add, 1))
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(main())
    assert rows(conn) == []


def test_a_savepoint_that_is_rolled_back_leaves_no_job(
    opened: Opened, database_url: str, conn: psycopg.Connection
) -> None:
    async def main() -> None:
        async with opened(database_url) as caller:
            await settled(enqueue(caller.conn, add, 1))
            with suppress(LookupError):
                async with caller.savepoint():
                    await settled(enqueue(caller.conn, add, 2))
                    raise LookupError
            async with caller.savepoint():
                await settled(enqueue(caller.conn, add, 3))
            await caller.commit()

    asyncio.run(main())
    assert [row["summary"] for row in rows(conn)] == ["add(1)", "add(3)"]


def test_many_are_enqueued_in_their_order(
    opened: Opened, database_url: str, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("pgjobs.enqueueing"), "ROWS_AT_ONCE", 3)

    async def main() -> list[int]:
        async with opened(database_url) as caller:
            handles = await settled(enqueue_many(caller.conn, add, ((n, 1) for n in range(8))))
            await caller.commit()
            return [handle.id for handle in handles]

    ids = asyncio.run(main())
    found = rows(conn)
    assert [row["id"] for row in found] == ids
    assert [row["summary"] for row in found] == [f"add({n}, 1)" for n in range(8)]
    assert [load(row["payload"])() for row in found] == [n + 1 for n in range(8)]


def test_delay_and_run_at_decide_when_it_is_due(opened: Opened, database_url: str, conn: psycopg.Connection) -> None:
    at = datetime(2040, 2, 29, 12, tzinfo=UTC)

    async def main() -> None:
        async with opened(database_url) as caller:
            await settled(enqueue(caller.conn, add.options(delay=60), 1))
            await settled(enqueue(caller.conn, add.options(run_at=at), 2))
            await settled(enqueue_many(caller.conn, add.options(delay=90.5), [(3,)]))
            await settled(enqueue_many(caller.conn, add.options(run_at=at), [(4,)]))
            await caller.commit()

    asyncio.run(main())
    late, fixed, late_many, fixed_many = rows(conn)
    assert late["run_at"] - late["enqueued_at"] == timedelta(seconds=60)
    assert late_many["run_at"] - late_many["enqueued_at"] == timedelta(seconds=90.5)
    assert fixed["run_at"] == fixed_many["run_at"] == at


def test_with_a_key_jobs_are_signed_as_they_come_back_from_the_database(
    opened: Opened, database_url: str, conn: psycopg.Connection
) -> None:
    configure(signing_keys=(b"new", b"old"))

    async def main() -> None:
        async with opened(database_url) as caller:
            await settled(enqueue(caller.conn, send_receipt, 1))
            await settled(enqueue_many(caller.conn, send_receipt.options(timeout=0.1), [(2,), (3,)]))
            await settled(enqueue(caller.conn, plain, "no timeout, no executor"))
            await caller.commit()

    asyncio.run(main())
    found = rows(conn)
    assert len(found) == 4
    for row in found:
        verify([b"new"], row["signature"], signed_fields(row), row["payload"])


def test_summaries_can_be_switched_off(opened: Opened, database_url: str, conn: psycopg.Connection) -> None:
    async def main() -> None:
        async with opened(database_url) as caller:
            await settled(enqueue(caller.conn, whisper, "psst"))
            configure(summaries=False)
            await settled(enqueue(caller.conn, add, 1))
            await settled(enqueue_many(caller.conn, add, [(1,), (2,)]))
            await caller.commit()

    asyncio.run(main())
    assert [row["summary"] for row in rows(conn)] == [None] * 4


def test_odd_text_arrives_as_it_is(opened: Opened, database_url: str, conn: psycopg.Connection) -> None:
    odd = 'a "quote", a \\, {braces}, %s, %(x)s, :name, NULL, ünïcödé'

    async def main() -> None:
        async with opened(database_url) as caller:
            await settled(enqueue(caller.conn, plain, odd))
            await settled(enqueue_many(caller.conn, plain, [(odd,), ("",), (None,), (b"\x00\xff",)]))
            await caller.commit()

    asyncio.run(main())
    found = rows(conn)
    assert [load(row["payload"])() for row in found] == [odd, odd, "", None, b"\x00\xff"]
    assert found[0]["summary"] == found[1]["summary"] == f"plain({odd!r})"


def test_none_to_enqueue_is_not_a_statement(opened: Opened, database_url: str) -> None:
    async def main() -> object:
        async with opened(database_url) as caller:
            return await settled(enqueue_many(caller.conn, add, []))

    assert asyncio.run(main()) == []


def test_a_refusal_comes_at_the_call_and_leaves_the_transaction_usable(
    opened: Opened, database_url: str, conn: psycopg.Connection
) -> None:
    async def main() -> None:
        async with opened(database_url) as caller:
            await settled(enqueue(caller.conn, add, 1))
            with pytest.raises(EnqueueError, match="argument 1 'text'"):
                enqueue(caller.conn, plain, Lock())
            with pytest.raises(EnqueueError, match=r"item 0 .*argument 1 'text'"):
                enqueue_many(caller.conn, plain, [(Lock(),)])
            await settled(enqueue(caller.conn, add, 2))
            await caller.commit()

    asyncio.run(main())
    assert [row["summary"] for row in rows(conn)] == ["add(1)", "add(2)"]


def test_a_database_without_tables_is_named_as_the_reason(opened: Opened, empty_database_url: str) -> None:
    async def main() -> None:
        async with opened(empty_database_url) as caller:
            await settled(enqueue(caller.conn, add, 1))

    with pytest.raises(SchemaError, match="run `pgjobs migrate`"):
        asyncio.run(main())


def test_a_failure_of_the_database_is_not_hidden(opened: Opened, database_url: str, conn: psycopg.Connection) -> None:
    conn.execute("ALTER TABLE pgjobs.jobs ADD CONSTRAINT none CHECK (queue <> 'default')")

    async def main() -> None:
        async with opened(database_url) as caller:
            await settled(enqueue(caller.conn, add, 1))

    with pytest.raises(Exception, match="violates check constraint"):
        asyncio.run(main())
