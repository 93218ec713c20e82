"""Jobs that get their transaction from the worker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import psycopg
import sqlalchemy
from psycopg.rows import dict_row
from sqlalchemy import orm, text
from sqlalchemy.ext import asyncio as sqlalchemy_async
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from pgjobs import Cancel, Retry, Snooze, complete, connect, current_job, job
from tests.support.callers import settled

EFFECTS = "CREATE TABLE IF NOT EXISTS effects (job bigint, pid int)"
_INSERT = "INSERT INTO effects VALUES ({}, pg_backend_pid())"


class OwnSession(Session):
    """As SQLModel has one."""


def _insert(conn: Any) -> Any:
    sql = _INSERT.format(current_job().id)
    return conn.execute(sql.encode() if isinstance(conn, psycopg.Connection | psycopg.AsyncConnection) else text(sql))


def _end(conn: Any, fate: str) -> Any:
    """Return what the function returns, or end it in another way."""
    match fate:
        case "raises":
            raise ValueError("after its work")
        case "snoozes":
            raise Snooze(60)
        case "retries":
            raise Retry(60)
        case "cancels":
            raise Cancel("enough")
        case "returns a lot":
            return "x" * 2_000_000
        case "returns a coroutine":
            return asyncio.sleep(0)
        case "completes":
            return complete(conn, result=1)
        case "rolls back":
            return conn.rollback()
        case "closes":
            return conn.close()
        case "exits":
            raise SystemExit(3)
        case "forks":
            pid = os.fork()  # the child returns as well
            if pid:
                os.waitpid(pid, 0)
    return fate


@job(transaction=True, result=True, max_attempts=2)
def on_psycopg(conn: psycopg.Connection, fate: str = "returns") -> Any:
    _insert(conn)
    if fate == "commits":
        conn.commit()
    return _end(conn, fate)


@job(transaction=True, result=True, max_attempts=2)
def on_connection(conn: Annotated[sqlalchemy.Connection, "the worker's"], fate: str = "returns") -> Any:
    _insert(conn)
    if fate == "commits":
        conn.commit()
    return _end(conn, fate)


@job(transaction=True, result=True, max_attempts=2)
def on_session(session: orm.Session, fate: str = "returns") -> Any:
    if fate == "commits":
        with session.begin():
            _insert(session)
    else:
        with session.begin_nested():
            _insert(session)
    return _end(session, fate)


@job(transaction=True, result=True, max_attempts=2)
def on_own_session(session: OwnSession, fate: str = "returns") -> Any:
    assert type(session) is OwnSession
    _insert(session)
    if fate == "commits":
        session.commit()
    return _end(session, fate)


@job(transaction=True, result=True, max_attempts=2)
async def on_psycopg_async(conn: psycopg.AsyncConnection[Any], fate: str = "returns") -> Any:
    await _insert(conn)
    if fate == "commits":
        await conn.commit()
    return await settled(_end(conn, fate))


@job(transaction=True, result=True, max_attempts=2)
async def on_async_connection(conn: sqlalchemy_async.AsyncConnection, fate: str = "returns") -> Any:
    await _insert(conn)
    if fate == "commits":
        await conn.commit()
    return await settled(_end(conn, fate))


@job(transaction=True, result=True, max_attempts=2)
async def on_async_session(session: AsyncSession, fate: str = "returns") -> Any:
    await _insert(session)
    if fate == "commits":
        await session.commit()
    return await settled(_end(session, fate))


KINDS: dict[str, Any] = {
    made.__name__: made
    for made in (
        *(on_psycopg, on_connection, on_session, on_own_session),
        *(on_psycopg_async, on_async_connection, on_async_session),
    )
}
ASYNC = [name for name in KINDS if "async" in name]


@job(transaction=True, max_attempts=3, backoff=0.05)
def lose_connection(conn: psycopg.Connection) -> None:
    """Have the connection cut in the first attempt, after the work."""
    _insert(conn)
    if current_job().attempt == 1:
        with connect() as other:
            other.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])


@job(transaction=True, max_attempts=1)
def sleep_in_postgres(conn: psycopg.Connection, seconds: float) -> None:
    """Be in the middle of a statement for long."""
    _insert(conn)
    conn.execute("SELECT pg_sleep(%s)", [seconds])


@job(transaction=True, payload="json", result=True)
def from_json(conn: psycopg.Connection, number: int, *, name: str = "") -> list[Any]:
    _insert(conn)
    return [number, name]


class Base(orm.DeclarativeBase): ...


class Effect(Base):
    __tablename__ = "effects"
    job: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    pid: orm.Mapped[int]


@job(transaction=True)
def add_to_session(session: Session) -> None:
    """Leave the writing to the end."""
    session.add(Effect(job=current_job().id, pid=0))


@job(transaction=True)
def meet(conn: psycopg.Connection, others: Callable[[], object]) -> None:
    """Wait for other attempts."""
    _insert(conn)
    others()


@job(transaction=True)
def insert_twice(conn: psycopg.Connection) -> None:
    """Break a rule that is looked at when the transaction is committed."""
    _insert(conn)
    _insert(conn)


@job(transaction=True)
def change_connection(conn: psycopg.Connection) -> None:
    """Read other rows than the next job."""
    conn.row_factory = dict_row  # type: ignore[assignment]  # as some do
    conn.cursor_factory = psycopg.ClientCursor


@job(transaction=True)
def end_by_hand(conn: psycopg.Connection, statement: str) -> None:
    """End the transaction by a statement, which psycopg does not refuse."""
    _insert(conn)
    conn.execute(statement.encode())


@job(transaction=True)
async def end_by_hand_async(conn: psycopg.AsyncConnection, statement: str) -> None:
    await _insert(conn)
    await conn.execute(statement.encode())


@job(transaction=True)
def add(conn: psycopg.Connection, one: int, two: int) -> int:
    return one + two


partly = partial(add, 1)  # type: ignore[arg-type]  # the mistake
