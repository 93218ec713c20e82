"""Broadcasts: which workers have to run one is decided at its commit, on every kind of connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from pgjobs import Batch, BroadcastHandle, EnqueueError, UsageError, Workflow, broadcast, job
from pgjobs.admin import list_broadcasts, show_broadcast
from pgjobs.core.errors import NotFoundError, SchemaError
from pgjobs.db.statements import broadcast_channel, statement
from tests.events import calls
from tests.support.callers import KINDS, settled
from tests.support.rows import count

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = "SELECT host, worker_id, state FROM pgjobs.broadcast_runs WHERE broadcast_id = %s ORDER BY host, worker_id"


def put(conn: psycopg.Connection, host: str = "web1", *queues: str) -> int:
    """Register a worker."""
    found = conn.execute(
        "INSERT INTO pgjobs.workers (host, pid, queues, version) VALUES (%s, 1, %s, '0.1') RETURNING id",
        [host, Jsonb(dict.fromkeys(queues or ("default",), 1))],
    ).fetchone()
    assert found is not None
    return int(found[0])


def leave(conn: psycopg.Connection, *workers: int) -> None:
    """Remove workers."""
    conn.execute("DELETE FROM pgjobs.workers WHERE id = ANY (%s)", [list(workers)])


def runs(conn: psycopg.Connection, of: BroadcastHandle[Any] | int) -> list[tuple[Any, ...]]:
    """List what came of a broadcast: host, worker, state."""
    return conn.execute(RUNS, [of if isinstance(of, int) else of.id]).fetchall()


@pytest.mark.parametrize("opened", list(KINDS.values()), ids=list(KINDS))
def test_each_live_worker_has_to_run_it_when_its_transaction_is_committed(
    opened: Callable[[str], Any], database_url: str, conn: psycopg.Connection
) -> None:
    first = put(conn)
    put_later: list[int] = []

    async def main() -> list[BroadcastHandle[int]]:
        async with opened(database_url) as caller:
            made = [await settled(broadcast(caller.conn, calls.add, 1))]
            async with caller.savepoint():
                made.append(await settled(broadcast(caller.conn, calls.add, 1, late="skip")))
            put_later.append(put(conn))
            leave(conn, first)
            assert count(conn, "broadcasts") == 0
            await caller.commit()
            await settled(broadcast(caller.conn, calls.add, 1))
            await caller.rollback()
        return made

    made = asyncio.run(main())
    assert [runs(conn, each) for each in made] == [[("web1", put_later[0], "queued")]] * 2
    assert count(conn, "broadcasts") == 2
    newest, oldest = list_broadcasts(conn)
    assert (newest.id, oldest.id) == (made[1].id, made[0].id)
    assert (oldest.task, oldest.summary, oldest.on, oldest.queued) == ("calls.add", "add(1)", "workers", 1)
    assert (oldest.closes_at - oldest.committed_at).total_seconds() == 60
    assert newest.closes_at == newest.committed_at


def test_one_process_of_each_host_or_those_of_a_queue(conn: psycopg.Connection) -> None:
    one, two = put(conn, "web1", "mail", "default"), put(conn, "web1")
    three = put(conn, "web2", "mail")
    assert runs(conn, broadcast(conn, calls.pid, on="hosts")) == [("web1", None, "queued"), ("web2", None, "queued")]
    assert [row[1] for row in runs(conn, broadcast(conn, calls.pid, on="queue:mail"))] == [one, three]
    assert [row[1] for row in runs(conn, broadcast(conn, calls.pid))] == [one, two, three]
    assert runs(conn, broadcast(conn, calls.pid, on="queue:none")) == []


def test_who_registers_in_time_runs_it_as_well(conn: psycopg.Connection) -> None:
    skip, short, run = (
        broadcast(conn, calls.pid, late="skip"),
        broadcast(conn, calls.pid, within=0.001),
        broadcast(conn, calls.pid),
    )
    hosts = broadcast(conn, calls.pid, on="hosts")
    conn.execute("SELECT pg_sleep(0.01)")
    first, second = put(conn), put(conn)
    assert (runs(conn, skip), runs(conn, short)) == ([], [])
    assert [row[1] for row in runs(conn, run)] == [first, second]
    assert runs(conn, hosts) == [("web1", None, "queued")]


def test_what_a_worker_leaves_is_gone(conn: psycopg.Connection) -> None:
    stays, goes = put(conn), put(conn)
    done, running, queued = (broadcast(conn, calls.pid) for _ in range(3))
    for state, of in (("completed", done), ("running", running)):
        conn.execute("UPDATE pgjobs.broadcast_runs SET state = %s WHERE broadcast_id = %s", [state, of.id])
    leave(conn, goes)
    assert [row[1:] for row in runs(conn, done)] == [(stays, "completed"), (goes, "completed")]
    assert [row[1:] for row in runs(conn, running)] == [(stays, "running"), (goes, "gone")]
    assert [row[1:] for row in runs(conn, queued)] == [(stays, "queued"), (goes, "gone")]
    gone = show_broadcast(conn, running).runs[1]
    assert (gone.error, gone.finished_at is not None) == ("its worker process ended while it ran", True)
    assert show_broadcast(conn, queued.id).runs[1].error == "its worker process ended before it began"


def test_maintenance_makes_and_ends_what_no_trigger_saw(conn: psycopg.Connection) -> None:
    worker = put(conn)
    run, old = broadcast(conn, calls.pid), broadcast(conn, calls.pid)
    hosts, closed = broadcast(conn, calls.pid, on="hosts"), broadcast(conn, calls.pid, on="hosts", late="skip")
    conn.execute("UPDATE pgjobs.broadcasts SET closes_at = now() - interval '2 minutes' WHERE id = %s", [old.id])
    conn.execute("DELETE FROM pgjobs.broadcast_runs WHERE broadcast_id = ANY (%s)", [[run.id, old.id]])
    settle = statement("settle_broadcasts")
    assert conn.execute(settle).fetchall() == [(1, 0)]
    assert (runs(conn, run), runs(conn, old)) == ([("web1", worker, "queued")], [])
    conn.execute("ALTER TABLE pgjobs.workers DISABLE TRIGGER workers_leave_broadcasts")
    leave(conn, worker)
    conn.execute("ALTER TABLE pgjobs.workers ENABLE TRIGGER workers_leave_broadcasts")
    assert conn.execute(settle).fetchall() == [(0, 2)]
    assert runs(conn, run) == [("web1", worker, "gone")]
    assert runs(conn, closed) == [("web1", None, "gone")]
    assert runs(conn, hosts) == [("web1", None, "queued")]  # a worker may start there in time
    assert show_broadcast(conn, closed).runs[0].error == "its host had no worker process to run it"


def test_it_rings_when_it_is_committed(conn: psycopg.Connection, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f'LISTEN "{broadcast_channel()}"'.encode())
        broadcast(conn, calls.pid)
        with conn.transaction():
            broadcast(conn, calls.pid)
        assert len(list(listener.notifies(timeout=5, stop_after=2))) == 2


@job(batch=Batch(2))
def many(items: list[int]) -> None: ...


@job(transaction=True)
def within(conn: psycopg.Connection) -> None: ...


def test_what_would_have_no_effect_is_refused(conn: psycopg.Connection) -> None:
    anything: Any = broadcast
    with conn.transaction():
        for wrong in ("worker", "queue:", "queue: x", "queues:mail", 5, None):
            with pytest.raises(UsageError):
                anything(conn, calls.pid, on=wrong)
        for options in ({"late": "never"}, {"within": -1}, {"within": 400 * 86400}):
            with pytest.raises(UsageError):
                anything(conn, calls.pid, **options)
        for changed in (calls.add.options(delay=5), calls.add.options(after=7)):
            with pytest.raises(UsageError, match="has no effect"):
                broadcast(conn, changed, 1)
        for other in (many, within):
            with pytest.raises(UsageError, match="broadcast a function of its own"):
                anything(conn, other)
        with pytest.raises(EnqueueError, match="cannot be called with these arguments"):
            anything(conn, calls.add)
        with pytest.raises(EnqueueError, match="Workflow cannot be broadcast"):
            broadcast(conn, Workflow("x"))  # type: ignore[call-overload]
        with pytest.raises(EnqueueError, match="cannot be pickled"):
            broadcast(conn, lambda lock: None, __import__("threading").Lock())
        with pytest.raises(EnqueueError, match="cannot enqueue on"):
            broadcast("postgresql://", calls.pid)  # type: ignore[call-overload]
    assert list_broadcasts(conn) == []
    with pytest.raises(NotFoundError):
        show_broadcast(conn, 1)
    with pytest.raises(UsageError, match="not the id of a broadcast"):
        show_broadcast(conn, "x")  # type: ignore[arg-type]


def test_old_broadcasts_are_purged_with_their_runs(conn: psycopg.Connection) -> None:
    put(conn)
    old, new = broadcast(conn, calls.pid), broadcast(conn, calls.pid)
    conn.execute("UPDATE pgjobs.broadcasts SET closes_at = now() - interval '8 days' WHERE id = %s", [old.id])
    assert conn.execute(statement("purge_broadcasts"), {"days": 7, "batch": 10}).rowcount == 1
    assert (runs(conn, old), len(runs(conn, new))) == ([], 1)


def test_tables_without_broadcasts_ask_for_a_migration(conn: psycopg.Connection) -> None:
    conn.execute("ALTER TABLE pgjobs.broadcasts RENAME TO broadcasts_gone")
    try:
        with pytest.raises(SchemaError, match="pgjobs migrate"):
            broadcast(conn, calls.pid)
    finally:
        conn.execute("ALTER TABLE pgjobs.broadcasts_gone RENAME TO broadcasts")
