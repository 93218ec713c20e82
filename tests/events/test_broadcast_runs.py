"""The thread that runs broadcasts, and what `results` makes of them, without a worker process around it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from pgjobs import BroadcastError, NoResultError, UsageError, broadcast, configure, results
from pgjobs.admin import show_broadcast
from pgjobs.db.connection import connect_hot
from pgjobs.db.url import sqlalchemy_url
from pgjobs.payload.pickling import Call
from pgjobs.payload.signing import SignedFields, sign
from pgjobs.worker import broadcasts
from pgjobs.worker.broadcasts import Broadcasts
from pgjobs.worker.runtime.reconnecting import ReconnectingConnection, Stop
from tests.events import calls
from tests.events.test_broadcast import leave, put, runs
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = b"for the tests alone"


@contextmanager
def serving(url: str, worker: int) -> Iterator[Broadcasts]:
    """Run the broadcasts of a worker in a thread of this process."""

    def connection(stop: Stop) -> ReconnectingConnection:
        return ReconnectingConnection("broadcasts", lambda: connect_hot(url, application_name="broadcasts"), stop)

    thread = Broadcasts(connection, worker)
    thread.wake()
    try:
        yield thread
    finally:
        thread.stop()
        if not thread.stuck:
            thread.join(10)


def test_each_runs_it_once_and_results_gives_what_came_of_it(conn: psycopg.Connection, database_url: str) -> None:
    workers = [put(conn), put(conn), put(conn, "web2")]
    made = broadcast(conn, calls.add, 2, 3)
    twice = broadcast(conn, calls.later, "later")
    json = broadcast(conn, calls.plain, "x", on="hosts")
    with serving(database_url, workers[0]), serving(database_url, workers[1]), serving(database_url, workers[2]):
        assert results(conn, made, timeout=10) == [5, 5, 5]
        assert results(conn, twice, timeout=10) == ["later"] * 3
        assert results(conn, json, timeout=10) == [{"got": "x"}] * 2
    detail = show_broadcast(conn, made)
    assert (detail.completed, detail.queued, detail.running) == (3, 0, 0)
    assert [(run.worker_id, run.pid) for run in detail.runs] == [(worker, os.getpid()) for worker in workers]
    assert all(run.started_at and run.finished_at and run.error is None for run in detail.runs)
    assert {run.worker_id for run in show_broadcast(conn, json).runs} < set(workers)


def test_what_fails_says_why_and_is_not_tried_again(conn: psycopg.Connection, database_url: str) -> None:
    worker = put(conn)
    failed, cancelled, in_job = (broadcast(conn, each) for each in (calls.fails, calls.cancels, calls.asks))
    late, late_async, unkept = (broadcast(conn, each) for each in (calls.naps, calls.naps_async, calls.unkept))
    with serving(database_url, worker):
        with pytest.raises(BroadcastError, match=f"has failed on worker {worker}.*ValueError: no config") as raised:
            results(conn, failed, timeout=10)
        assert (raised.value.id, raised.value.host, raised.value.worker_id) == (failed.id, "web1", worker)
        assert "in fails" in (raised.value.traceback or "")
        (error,) = results(conn, cancelled, timeout=10, return_errors=True)
        assert "a broadcast is tried once" in str(error)
        with pytest.raises(BroadcastError, match="LookupError"):
            results(conn, in_job, timeout=10)
        for each in (late, late_async):
            with pytest.raises(BroadcastError, match=r"JobTimeout: ran longer than its 0\.2 s"):
                results(conn, each, timeout=10)
        with pytest.raises(NoResultError, match=r"what it returned is not kept .*cannot be pickled"):
            results(conn, unkept, timeout=10)
    assert runs(conn, unkept) == [("web1", worker, "completed")]


def test_one_that_does_not_stop_is_told(
    conn: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pgjobs.worker.executors import timeouts

    monkeypatch.setattr(timeouts, "STUCK_AFTER", 0.2)
    worker = put(conn)
    broadcast(conn, calls.never_stops)
    with serving(database_url, worker) as thread:
        wait_until(lambda: thread.stuck)


def test_a_claim_whose_answer_was_lost_is_run(conn: psycopg.Connection, database_url: str) -> None:
    worker = put(conn)
    made = broadcast(conn, calls.pid)
    conn.execute("UPDATE pgjobs.broadcast_runs SET state = 'running', started_at = now()")
    with serving(database_url, worker):
        assert results(conn, made, timeout=10) == [os.getpid()]


def test_what_was_considered_dead_writes_nothing(
    conn: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, began, go = put(conn), threading.Event(), threading.Event()

    def waits() -> None:
        began.set()
        go.wait(10)

    monkeypatch.setattr(broadcasts, "load", lambda *_, **__: Call(waits, (), {}))
    made = broadcast(conn, calls.pid)
    with serving(database_url, worker) as thread:
        assert began.wait(10)
        leave(conn, worker)
        go.set()
        wait_until(lambda: not thread.busy)
    assert runs(conn, made) == [("web1", worker, "gone")]
    with pytest.raises(BroadcastError, match="is gone on worker"):
        results(conn, made, timeout=5)


def test_after_a_stop_none_begins(conn: psycopg.Connection, database_url: str) -> None:
    worker = put(conn)
    with serving(database_url, worker) as thread:
        wait_until(lambda: not thread.busy)
        thread.stop()
        made = broadcast(conn, calls.pid)
        thread.wake()
        assert not thread.busy
    time.sleep(0.1)
    assert runs(conn, made) == [("web1", worker, "queued")]


def test_a_wait_ends_in_time_and_says_what_is_missing(conn: psycopg.Connection, database_url: str) -> None:
    put(conn)
    made = broadcast(conn, calls.pid)
    with pytest.raises(TimeoutError, match=f"broadcast {made.id} has not ended in 1 places"):
        results(conn, made, timeout=0.1)
    with psycopg.connect(database_url) as own:
        open_ = broadcast(own, calls.pid)
        with pytest.raises(UsageError, match="commit first"):
            results(own, open_, timeout=5)
        own.rollback()
        with pytest.raises(NoResultError, match="there is no broadcast"):
            results(conn, open_, timeout=5)


def test_coroutines_wait_as_well(conn: psycopg.Connection, database_url: str) -> None:
    worker = put(conn)
    made = broadcast(conn, calls.add, 1)

    async def main() -> list[int]:
        engine = create_async_engine(sqlalchemy_url(database_url, "asyncpg"))
        try:
            with pytest.raises(TimeoutError):
                await results(engine, made, timeout=0.05)
            with serving(database_url, worker):
                return await results(engine, made, timeout=10)
        finally:
            await engine.dispose()

    assert asyncio.run(main()) == [2]


def answer_of(conn: psycopg.Connection, url: str, worker: int, made: Any) -> Any:
    with serving(url, worker):
        return results(conn, made, timeout=10, return_errors=True)[0]


def test_with_a_key_only_what_was_signed_as_a_broadcast_is_run(conn: psycopg.Connection, database_url: str) -> None:
    worker = put(conn)
    unsigned = broadcast(conn, calls.add, 1)
    configure(signing_keys=[KEY])
    assert "is not signed" in str(answer_of(conn, database_url, worker, unsigned))
    assert answer_of(conn, database_url, worker, broadcast(conn, calls.add, 1)) == 2
    for change in ("target = 'hosts'", "task = 'calls.other'", "timeout = 9", "payload = payload || '\\x00'"):
        with conn.transaction():
            made = broadcast(conn, calls.add, 1)
            conn.execute(f"UPDATE pgjobs.broadcasts SET {change} WHERE id = %s".encode(), [made.id])
        assert "the signature is wrong" in str(answer_of(conn, database_url, worker, made)), change
    # What was signed as a job cannot be broadcast.
    with conn.transaction():
        made = broadcast(conn, calls.add, 1)
        payload = conn.execute("SELECT payload FROM pgjobs.broadcasts WHERE id = %s", [made.id]).fetchall()[0][0]
        forged = sign(KEY, SignedFields("workers", "calls.add", None, None, None), payload)
        conn.execute("UPDATE pgjobs.broadcasts SET signature = %s WHERE id = %s", [forged, made.id])
    assert "the signature is wrong" in str(answer_of(conn, database_url, worker, made))


def test_what_is_returned_is_signed_for_its_run(conn: psycopg.Connection, database_url: str) -> None:
    worker = put(conn)
    configure(signing_keys=[KEY])
    one, two = broadcast(conn, calls.add, 1), broadcast(conn, calls.add, 2)
    assert answer_of(conn, database_url, worker, two) == 3
    conn.execute(
        "UPDATE pgjobs.broadcast_runs AS r SET value = o.value, signature = o.signature FROM pgjobs.broadcast_runs AS o"
        " WHERE r.broadcast_id = %s AND o.broadcast_id = %s",
        [one.id, two.id],
    )
    assert "its signature is wrong" in str(answer_of(conn, database_url, worker, one))


def test_what_is_not_on_the_allow_list_is_not_run(conn: psycopg.Connection, database_url: str) -> None:
    worker = put(conn)
    configure(allow="tests.events.calls:later")
    assert "may not be used by this worker" in str(answer_of(conn, database_url, worker, broadcast(conn, calls.fails)))
    assert answer_of(conn, database_url, worker, broadcast(conn, calls.later, "x")) == "x"
    configure(allow=None, payload="json")
    assert "takes none" in str(answer_of(conn, database_url, worker, broadcast(conn, calls.fails)))
    assert answer_of(conn, database_url, worker, broadcast(conn, calls.plain, "x")) == {"got": "x"}
