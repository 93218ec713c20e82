"""The fast path to libpq: taken where psycopg has prepared the statement, with the same results as the cursor."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from pgjobs import SchemaError, configure, enqueue, job
from pgjobs.db import migrations as migrate
from pgjobs.db.adapters import prepared
from pgjobs.payload.pickling import load
from tests.support.functions import add, plain, send_receipt
from tests.support.worker import scalar


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Name the way of every row, as it goes it."""
    taken: list[str] = []
    send, remember = prepared._send, prepared.remember

    def noted_send(*args: Any) -> None:
        taken.append("short")
        send(*args)

    def noted_learn(*args: Any) -> None:
        taken.append("long")
        remember(*args)

    monkeypatch.setattr(prepared, "_send", noted_send)
    monkeypatch.setattr(prepared, "remember", noted_learn)
    monkeypatch.setattr(prepared, "_remembered", {})
    return taken


def last(conn: psycopg.Connection) -> dict[str, Any]:
    with conn.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute("SELECT * FROM pgjobs.jobs ORDER BY id DESC LIMIT 1").fetchone()
    assert row is not None
    return row


def test_it_is_taken_once_psycopg_has_prepared_the_statement(conn: psycopg.Connection, ways: list[str]) -> None:
    ids = [enqueue(conn, add, n, 1).id for n in range(10)]
    assert ways == ["long"] * 6 + ["short"] * 4
    assert ids == [row[0] for row in conn.execute("SELECT id FROM pgjobs.jobs ORDER BY id")]
    row = last(conn)
    assert (row["queue"], row["priority"], row["max_attempts"], row["task"]) == (
        "default",
        5,
        5,
        "tests.support.functions:add",
    )
    assert (row["summary"], row["signature"], load(row["payload"])()) == ("add(9, 1)", None, 10)
    assert row["run_at"] == row["enqueued_at"]


def test_every_kind_of_row_arrives_as_by_the_long_way(conn: psycopg.Connection, ways: list[str]) -> None:
    @job(summary=False, priority=0)
    def silent(n: int) -> int:
        return n

    conn.prepare_threshold = 0
    calls: list[Any] = [
        *[
            (add, {}),
            (add.options(delay=90.5), {}),
            (add.options(queue="mail"), {}),
            (add.options(max_attempts=99_999), {}),
        ],
        *[(send_receipt, {"copy": True}), (send_receipt.options(timeout=None), {}), (silent, {})],
    ]
    for keys in ((), (b"key",)):
        configure(signing_keys=keys)
        for each, kwargs in calls:
            found = []
            for way in ("long", "short"):
                del ways[:]
                enqueue(conn, each, 7, **kwargs)
                assert ways == [way]
                row = last(conn)
                found.append({**row, "id": 0, "run_at": row["run_at"] - row["enqueued_at"], "enqueued_at": None})
            assert found[0] == found[1]


def test_what_is_not_the_same_for_all_connections_goes_the_long_way(conn: psycopg.Connection, ways: list[str]) -> None:
    conn.prepare_threshold = 0
    now = scalar(conn, "SELECT now()")
    for _ in range(3):
        enqueue(conn, add.options(run_at=now), 1)
        enqueue(conn, add.options(queue="Gr\u00fc\u00dfe"), 1)
        enqueue(conn, plain, "\u4e16")
    assert ways == ["long"] * 9
    assert last(conn)["summary"] == "plain('\u4e16')"


def test_without_prepared_statements_it_is_not_taken(conn: psycopg.Connection, ways: list[str]) -> None:
    for _ in range(7):
        enqueue(conn, add, 1)
    conn.prepare_threshold = None
    enqueue(conn, add, 1)
    assert ways[-2:] == ["short", "long"]
    conn.prepare_threshold = 5
    enqueue(conn, add, 1)
    assert ways[-1] == "short"


@pytest.mark.parametrize("forget", ["DISCARD ALL", "DEALLOCATE ALL"])
def test_statements_that_were_thrown_away_are_prepared_again(
    conn: psycopg.Connection, ways: list[str], forget: str
) -> None:
    conn.prepare_threshold = 0
    for _ in range(3):
        enqueue(conn, add, 1)
        enqueue(conn, add, 1)
        conn.execute(forget)
        if conn._prepared._names:
            pytest.skip("this version of psycopg does not notice it either")
    assert ways == ["long", "short"] * 3


@pytest.mark.parametrize("autocommit", [True, False])
def test_transactions_are_begun_and_ended_as_psycopg_does(
    database_url: str, conn: psycopg.Connection, ways: list[str], autocommit: bool
) -> None:
    with psycopg.connect(database_url, autocommit=autocommit) as other:
        other.prepare_threshold = 0
        enqueue(other, add, 1)
        other.commit()
        enqueue(other, add, 2)
        assert other.info.transaction_status == (TransactionStatus.IDLE if autocommit else TransactionStatus.INTRANS)
        enqueue(other, add, 3)
        assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs") == (3 if autocommit else 1)
        other.commit()
        enqueue(other, add, 4)
        other.rollback()
        enqueue(other, add, 5)
        with other.transaction(force_rollback=True):
            enqueue(other, add, 6)
            enqueue(other, add, 7)
        other.commit()
    summaries = [row[0] for row in conn.execute("SELECT summary FROM pgjobs.jobs ORDER BY id")]
    assert summaries == [f"add({n})" for n in ([1, 2, 3, 4, 5] if autocommit else [1, 2, 3, 5])]
    assert ways.count("short") >= 4


def test_errors_are_those_of_the_cursor_and_the_next_row_is_unaffected(
    conn: psycopg.Connection, ways: list[str]
) -> None:
    conn.prepare_threshold = 0
    for _ in range(2):
        enqueue(conn, add, 1)
    conn.execute("ALTER TABLE pgjobs.jobs ADD CONSTRAINT none CHECK (summary <> 'add(2)')")
    for _ in range(2):
        enqueue(conn, add, 1)
    with pytest.raises(psycopg.errors.CheckViolation, match='violates check constraint "none"') as caught:
        enqueue(conn, add, 2)
    assert caught.value.diag.constraint_name == "none"
    assert ways[-1] == "short"
    for _ in range(2):
        enqueue(conn, add, 1)
    assert ways[-2:] == ["short", "short"]
    conn.execute("DROP SCHEMA pgjobs CASCADE")
    conn._prepared._to_flush.clear()  # as if another session had done it
    with pytest.raises(SchemaError):
        enqueue(conn, add, 1)
    with pytest.raises(psycopg.errors.DivisionByZero), conn.transaction():
        conn.execute("SELECT 1 / 0")
    conn.close()
    with pytest.raises(psycopg.OperationalError, match="the connection is closed"):
        enqueue(conn, add, 1)


def test_in_a_failed_transaction_psycopg_says_so(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.prepare_threshold = 0
        for _ in range(2):
            enqueue(conn, add, 1)
        with pytest.raises(psycopg.errors.DivisionByZero):
            conn.execute("SELECT 1 / 0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            enqueue(conn, add, 1)
        conn.rollback()


def test_another_schema_has_statements_of_its_own(database_url: str, conn: psycopg.Connection, ways: list[str]) -> None:
    conn.prepare_threshold = 0
    migrate.upgrade(database_url, schema="second")
    for schema in ("pgjobs", "second"):
        configure(schema=schema)
        enqueue(conn, add, 1)
        enqueue(conn, add, 1)
    assert ways == ["long", "short"] * 2
    assert scalar(conn, "SELECT count(*) FROM second.jobs") == 2


def test_threads_that_share_a_connection_wait_for_one_another(conn: psycopg.Connection) -> None:
    conn.prepare_threshold = 0
    ids: list[int] = []

    def send() -> None:
        for n in range(50):
            ids.append(enqueue(conn, add, n).id)
            conn.execute("SELECT 1")

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 200


def test_notifications_and_notices_that_come_with_the_answer_are_not_lost(conn: psycopg.Connection) -> None:
    heard: list[str] = []
    conn.execute("LISTEN here")
    conn.execute(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NOTIFY here, 'hello'; RAISE NOTICE 'notice'; RETURN NULL; END $$; "
        "CREATE TRIGGER tell AFTER INSERT ON pgjobs.jobs EXECUTE FUNCTION tell()"
    )
    conn.prepare_threshold = 0
    conn.add_notify_handler(lambda notify: heard.append(notify.payload))
    conn.add_notice_handler(lambda diagnostic: heard.append(str(diagnostic.message_primary)))
    for _ in range(3):
        enqueue(conn, add, 1)
    conn.execute("SELECT 1")
    assert sorted(heard) == ["hello"] * 3 + ["notice"] * 3


def test_ctrl_c_ends_a_row_that_waits(database_url: str, conn: psycopg.Connection, ways: list[str]) -> None:
    """As it ends a cursor that waits: the statement is cancelled, and the connection can be used."""
    import signal

    conn.prepare_threshold = 0
    for _ in range(2):
        enqueue(conn, add, 1)
    with psycopg.connect(database_url) as other:
        other.execute("LOCK pgjobs.jobs")
        timer = threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT))
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            enqueue(conn, add, 1)
        timer.join()
        assert time.monotonic() - began < 5
    assert ways[-1] == "short"
    assert scalar(conn, "SELECT count(*) FROM pgjobs.jobs") == 2


def test_async_connections_take_it_too(database_url: str, conn: psycopg.Connection, ways: list[str]) -> None:
    async def main() -> list[int]:
        async with await psycopg.AsyncConnection.connect(database_url) as other:
            other.prepare_threshold = 0
            ids = [(await enqueue(other, add, n)).id for n in range(3)]
            async with other.pipeline():
                ids.append((await enqueue(other, add, 3)).id)
            both = await asyncio.gather(enqueue(other, add, 4), enqueue(other, add, 5))
            return [*ids, *[handle.id for handle in both]]

    ids = asyncio.run(main())
    assert ids == [row[0] for row in conn.execute("SELECT id FROM pgjobs.jobs ORDER BY id")]
    assert ways == ["long", "short", "short", "long", "short", "short"]


class Stranger:
    """A connection, or a cursor, of a psycopg whose insides are other ones."""

    lock = threading.Lock()
    prepare_threshold = 5


def test_where_psycopg_is_not_as_expected_it_is_not_taken(conn: psycopg.Connection, ways: list[str]) -> None:
    conn.prepare_threshold = 0
    enqueue(conn, add, 1)
    [(sql, columns, *_)] = prepared._remembered
    values = {"summary": "add(1)", "signature": None, "payload": b"x"}
    stranger: Any = Stranger()
    assert prepared.insert(stranger, sql, columns, values) is None
    prepared._remembered.clear()
    prepared.remember(stranger, sql, columns, values, {})
    assert prepared._remembered == {}
    assert prepared.insert(conn, sql, columns, values) is None
