"""Jobs that complete themselves in the transaction of their own work."""

from __future__ import annotations

import asyncio
import os
import signal
from queue import SimpleQueue
from typing import Any

import psycopg

from pgjobs import complete, current_job, job
from tests.support.callers import KINDS, settled
from tests.support.tasks import URL, mark, mark_on

_INSERT = "INSERT INTO effects (job) VALUES ({})"
EFFECTS = "CREATE TABLE effects (job bigint)"


def _connect() -> psycopg.Connection:
    return psycopg.connect(os.environ[URL])


def _write(conn: psycopg.Connection) -> None:
    conn.execute("INSERT INTO effects (job) VALUES (%s)", [current_job().id])


async def _complete_on(kind: str) -> None:
    async with KINDS[kind](os.environ[URL]) as caller:
        await execute(caller.conn, _INSERT.format(current_job().id))
        made = complete(caller.conn, result={"kind": kind})
        if made is not None:
            await made
        await caller.commit()


async def execute(conn: Any, sql: str) -> None:
    """Execute on any kind of connection."""
    await settled(execute_now(conn, sql))


def effect(conn: psycopg.Connection) -> None:
    """Leave an effect."""
    conn.execute("INSERT INTO effects VALUES (1)")


def execute_now(conn: Any, sql: str) -> Any:
    """Execute on any kind of connection; on an async one, give what has to be awaited."""
    if isinstance(conn, psycopg.Connection | psycopg.AsyncConnection):
        return conn.execute(sql.encode())
    if hasattr(conn, "in_atomic_block"):  # Django's
        with conn.cursor() as cursor:
            return cursor.execute(sql)
    from sqlalchemy import text

    return conn.execute(text(sql))


@job(max_attempts=1, result=True)
async def complete_on_loop(kind: str) -> str:
    """Complete with a result on a connection of this kind, on the event loop."""
    await _complete_on(kind)
    return "too late"


@job(max_attempts=1, result=True)
def complete_on(kind: str) -> str:
    """Do it in a thread."""
    asyncio.run(_complete_on(kind))
    return "too late"


@job(max_attempts=1, executor="process")
def complete_in_child(fate: str) -> None:
    """Complete in a child process; the fate `dies`: which dies after the COMMIT."""
    complete_then(fate)


@job(max_attempts=1)
def complete_then(fate: str) -> None:
    """Complete, and end in this way."""
    with _connect() as conn:
        _write(conn)
        complete(conn)
        if fate == "rolls back":
            conn.rollback()
        elif fate == "raises before":
            raise ValueError("before the commit")
        elif fate == "is cut off":
            conn.commit()
            with _connect() as other:
                other.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
            conn.execute("SELECT 1")
    if fate == "raises after":
        raise ValueError("after the commit")
    if fate == "dies":
        os.kill(os.getpid(), signal.SIGKILL)


@job(max_attempts=3, result=True)
def complete_with(length: int) -> None:
    """Complete with a result of this length."""
    with _connect() as conn:
        _write(conn)
        complete(conn, result="x" * length)


@job(max_attempts=1)
def complete_twice() -> None:
    """Call it twice in one transaction."""
    with _connect() as conn:
        _write(conn)
        complete(conn)
        complete(conn)


@job(max_attempts=1)
def complete_in_autocommit() -> None:
    """Call it where each statement is a transaction."""
    with psycopg.connect(os.environ[URL], autocommit=True) as conn:
        complete(conn)


@job(max_attempts=1)
async def forget_to_await() -> None:
    """Call it on an async connection as on any other."""
    async with await psycopg.AsyncConnection.connect(os.environ[URL]) as conn:
        complete(conn)  # type: ignore[unused-coroutine]  # the mistake


_open: SimpleQueue[psycopg.Connection] = SimpleQueue()


@job(max_attempts=1)
def leave_open() -> None:
    """Return while the transaction is open; the next job commits it."""
    conn = _connect()
    _write(conn)
    complete(conn)
    _open.put(conn)


@job(max_attempts=1)
def end_what_is_open(commit: bool) -> None:
    """Commit or roll back what the job before has left."""
    conn = _open.get(timeout=20)  # its transaction may be seen before it has come so far
    (conn.commit if commit else conn.rollback)()
    conn.close()


@job(max_attempts=2, backoff=0.1)
def report(fate: str = "") -> None:
    """Report progress; fail once, and continue where the attempt before has stopped."""
    row = current_job()
    start = (row.state or {"page": 0})["page"]
    for page in range(start, 100):
        row.progress(page + 1, 100, f"page {page + 1}", state={"page": page + 1})
        if fate == "fails" and page == 49 and row.attempt == 1:
            raise ValueError("half")
    row.progress(message=f"began at {start}")


@job(max_attempts=1, executor="process")
def report_in_child() -> None:
    """Do it in a child process."""
    report()


@job(max_attempts=1)
def report_nonsense(value: object) -> None:
    """Report what cannot be kept."""
    current_job().progress(1, state=value)


def _charge(what: str) -> dict[str, Any]:
    with psycopg.connect(os.environ[URL]) as conn:
        _write(conn)
    return {"charged": what}


async def _charge_later(what: str) -> dict[str, Any]:
    await asyncio.sleep(0)
    return _charge(what)


@job(max_attempts=3, backoff=0.05)
def charge_once() -> None:
    """Do a step in the first attempt; fail after it in the first two."""
    row = current_job()
    assert row.once("charge", _charge, "card") == {"charged": "card"}
    if row.attempt < 3:
        raise ValueError("after the step")


@job(max_attempts=3, backoff=0.05)
async def charge_once_on_loop() -> None:
    """Do it on the event loop."""
    row = current_job()
    assert await row.once("charge", _charge_later, "card") == {"charged": "card"}
    if row.attempt < 3:
        raise ValueError("after the step")


@job(max_attempts=3, backoff=0.05, executor="process")
def charge_once_in_child() -> None:
    """Do it in a child process, and kill that after the step."""
    row = current_job()
    row.once("charge", _charge, "card")
    if row.attempt < 3:
        os.kill(os.getpid(), signal.SIGKILL)


@job(max_attempts=2, backoff=0.05)
def fail_in_step() -> None:
    """Do a step that raises in the first attempt."""

    def step() -> str:
        _charge("card")
        if current_job().attempt == 1:
            raise ValueError("in the step")
        return "done"

    assert current_job().once("charge", step) == "done"


@job(max_attempts=1)
def misuse_once(key: object) -> None:
    """Call it in ways that are refused."""
    current_job().once(key, open, os.devnull)  # type: ignore[call-overload]  # the key is not always a text


@job(result=True, payload="json")
def note_and_return(what: str) -> str:
    """Leave a trace once over all attempts, say so, and return it."""
    this = current_job()
    this.once("note", mark, what)
    this.progress(1, 1, state={"what": what})
    return what


@job(result=True)
def note_and_complete(what: str) -> None:
    """Leave a trace, and complete with a result in the same transaction."""
    with _connect() as conn:
        mark_on(conn, what)
        complete(conn, result=what)


@job(transaction=True)
def note_in_transaction(conn: psycopg.Connection, what: str) -> None:
    """Leave a trace in the worker's transaction."""
    mark_on(conn, what)


@job
def note_as_step(what: str) -> None:
    """Leave a trace in a step that is done exactly once."""
    with _connect() as conn:
        current_job().once_in(conn, "note", mark_on, conn, what)
