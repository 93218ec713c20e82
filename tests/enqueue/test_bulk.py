"""Many at once: in order, as they were when they were read, and in the transaction that there is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from pgjobs import EnqueueError, JobHandle, configure, enqueue, enqueue_many
from pgjobs.db.url import sqlalchemy_url
from pgjobs.payload.pickling import load
from tests.support.functions import add, plain, whisper
from tests.support.worker import scalar


def rows(conn: psycopg.Connection) -> list[tuple[int, str | None, bytes | None, Any]]:
    found = conn.execute("SELECT id, summary, signature, payload FROM pgjobs.jobs ORDER BY id").fetchall()
    return [(*row[:3], load(row[3])()) for row in found]


def count(conn: psycopg.Connection) -> int:
    return int(scalar(conn, "SELECT count(*) FROM pgjobs.jobs"))


def test_thousands_come_in_their_order_from_a_generator(conn: psycopg.Connection) -> None:
    texts = [f"{n} \u00e9\u4e16\x00'\"" if n % 7 else "x" * (n % 30 * 50) for n in range(4_321)]
    ids = [handle.id for handle in enqueue_many(conn, plain, ((text,) for text in texts))]
    found = rows(conn)
    assert [row[0] for row in found] == ids
    assert [row[3] for row in found] == texts
    assert found[8][1] == "plain('8 \u00e9\u4e16\\x00\\'\"')"


def test_no_more_items_are_in_memory_than_one_statement_writes(conn: psycopg.Connection) -> None:
    """So a batch of a million needs no more than one of 10,000, beside its handles."""
    ahead = 0

    class Item:
        alive = 0

        def __init__(self) -> None:
            Item.alive += 1

        def __del__(self) -> None:
            Item.alive -= 1

        def __reduce__(self) -> tuple[type[int], tuple[int]]:
            return int, (1,)

    def items() -> Iterator[tuple[Item]]:
        nonlocal ahead
        for read in range(10_000):
            if read % 500 == 0:
                ahead = max(ahead, read - count(conn))
            yield (Item(),)
            assert Item.alive <= 2

    with conn.transaction():
        enqueue_many(conn, plain, items())
    assert count(conn) == 10_000
    assert 0 < ahead <= 2_000


@pytest.mark.parametrize("keys", [(), (b"key",)])
def test_thousands_without_a_summary_and_with_or_without_a_signature(
    conn: psycopg.Connection, keys: tuple[bytes, ...]
) -> None:
    configure(signing_keys=keys)
    enqueue_many(conn, whisper, [(str(n),) for n in range(2_500)])
    found = rows(conn)
    assert len(found) == 2_500
    assert {row[1] for row in found} == {None}
    assert all((row[2] is None) == (not keys) for row in found)


def test_an_object_that_is_changed_after_it_was_read_is_stored_as_it_was(conn: psycopg.Connection) -> None:
    same: list[int] = []

    def growing() -> Iterator[tuple[list[int]]]:
        for n in range(3):
            same.append(n)
            yield (same,)

    enqueue_many(conn, plain, growing())
    assert [row[3] for row in rows(conn)] == [[0], [0, 1], [0, 1, 2]]


class Pair(NamedTuple):
    left: int
    right: int


def test_items_of_all_kinds_may_be_mixed(conn: psycopg.Connection) -> None:
    enqueue_many(conn, add, [(1,), {"left": 2}, Pair(3, 4), (5, 6), {"left": 7, "right": 8}])
    assert [row[3] for row in rows(conn)] == [1, 2, 7, 11, 15]


def test_a_statement_has_no_more_than_a_number_of_bytes(
    conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("pgjobs.enqueueing"), "BYTES_AT_ONCE", 1_000)
    enqueue_many(conn, plain, [("x" * 600,) for _ in range(5)])
    at = [row[0] for row in conn.execute("SELECT enqueued_at FROM pgjobs.jobs ORDER BY id").fetchall()]
    assert [at.count(moment) for moment in sorted(set(at))] == [2, 2, 1]


def test_in_autocommit_mode_the_statements_before_a_refused_item_are_committed_and_no_others(
    conn: psycopg.Connection,
) -> None:
    read: list[int] = []

    def items() -> Iterator[tuple[Any, ...]]:
        for n in range(9_999):
            read.append(n)
            yield (n,) if n != 5_000 else ()

    with pytest.raises(EnqueueError, match=r"item 5000 of enqueue_many is refused: .* missing a required argument"):
        enqueue_many(conn, add, items())
    assert count(conn) == 4_000
    assert read[-1] == 5_000
    assert conn.info.transaction_status == TransactionStatus.IDLE


def test_an_error_of_the_generator_is_its_own(conn: psycopg.Connection) -> None:
    def items() -> Iterator[tuple[int]]:
        yield (1,)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        enqueue_many(conn, add, items())
    assert count(conn) == 0


def test_a_generator_may_use_the_connection(conn: psycopg.Connection) -> None:
    numbers = (row for row in conn.execute("SELECT n FROM generate_series(1, 3) AS n"))
    with conn.transaction():
        enqueue_many(conn, add, ((scalar(conn, "SELECT %s + 1", row),) for row in numbers))
    assert [row[3] for row in rows(conn)] == [2, 3, 4]


def test_in_nested_transactions_what_is_rolled_back_is_gone_and_the_rest_stays(conn: psycopg.Connection) -> None:
    items = [(n,) for n in range(2_500)]
    with conn.transaction():
        enqueue_many(conn, add, items)
        with suppress(LookupError), conn.transaction():
            enqueue_many(conn, add, items)
            enqueue(conn, add, 1)
            raise LookupError
        with suppress(EnqueueError), conn.transaction():
            enqueue_many(conn, add, [*items, ()])
        assert count(conn) == 2_500
        enqueue_many(conn, add, items)
    assert count(conn) == 5_000


def test_a_pipeline_of_the_caller_continues(conn: psycopg.Connection) -> None:
    conn.prepare_threshold = 0
    with conn.pipeline() as pipeline, conn.transaction():
        before = conn.execute("SELECT 41 + 1")
        handles = enqueue_many(conn, add, [(n,) for n in range(4_500)])
        handles += [enqueue(conn, add, n) for n in range(4_500, 4_510)]
        after = conn.execute("SELECT count(*) FROM pgjobs.jobs")
        pipeline.sync()
        assert (before.fetchone(), after.fetchone()) == ((42,), (4_510,))
    found = rows(conn)
    assert [row[0] for row in found] == [handle.id for handle in handles]
    assert [row[3] for row in found] == list(range(4_510))


def test_a_database_that_refuses_a_row_says_so(conn: psycopg.Connection) -> None:
    conn.execute("ALTER TABLE pgjobs.jobs ADD CONSTRAINT none CHECK (summary <> 'add(2100)')")
    with pytest.raises(psycopg.errors.CheckViolation, match='"none"'):
        enqueue_many(conn, add, ((n,) for n in range(9_999)))
    assert count(conn) == 2_000


def test_parameters_that_were_changed_for_the_connection_do_not_matter(database_url: str) -> None:
    """Applications register dumpers and loaders of their own; ids are ints all the same."""
    from psycopg.types.string import StrDumper, TextLoader

    with psycopg.connect(database_url) as conn:
        conn.adapters.register_loader("int8", TextLoader)
        conn.adapters.register_dumper(str, StrDumper)
        handles = [*enqueue_many(conn, add, [(1,), (2,)]), *[enqueue(conn, add, 3) for _ in range(9)]]
        assert [handle.id for handle in handles] == list(range(handles[0].id, handles[0].id + 11))


def test_sqlalchemy_gives_its_cursor_back(database_url: str, conn: psycopg.Connection) -> None:
    engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool)
    with engine.begin() as connection:
        handles = enqueue_many(connection, add, [(n,) for n in range(4_500)])
        streaming = connection.execution_options(stream_results=True, max_row_buffer=7)
        handles += enqueue_many(streaming, add, [(4_500,)])
    assert [row[0] for row in rows(conn)] == [handle.id for handle in handles]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_thousands_on_sqlalchemys_async_connections(database_url: str, conn: psycopg.Connection, driver: str) -> None:
    async def main() -> list[int]:
        engine = create_async_engine(sqlalchemy_url(database_url, driver), poolclass=NullPool)
        async with engine.begin() as connection:
            handles: list[JobHandle[Any]] = await enqueue_many(connection, add, ((n, 1) for n in range(4_500)))
            handles += await enqueue_many(connection, whisper, [("x",)] * 3)
        await engine.dispose()
        await asyncio.sleep(0.01)  # asyncpg's sockets are closed by the event loop, a turn later
        return [handle.id for handle in handles]

    ids = asyncio.run(main())
    found = rows(conn)
    assert [row[0] for row in found] == ids
    assert [row[3] for row in found[:4_500]] == [n + 1 for n in range(4_500)]
    assert [row[1] for row in found[4_499:]] == ["add(4499, 1)", None, None, None]


def test_a_connection_dumps_the_callers_own_arrays_as_before(conn: psycopg.Connection) -> None:
    enqueue_many(conn, add, [(1,), (2,)])
    conn.execute("CREATE TEMP TABLE own (texts text[], blobs bytea[])")
    with conn.cursor().copy("COPY own FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["text[]", "bytea[]"])
        for row in ((["a", None], [b"b"]), ([], []), ([["c"]], [None])):
            copy.write_row(row)
    found = conn.execute("SELECT texts, blobs FROM own").fetchall()
    assert found == [(["a", None], [b"b"]), ([], []), ([["c"]], [None])]
