"""The caller's own connection or session: recognised without importing its library, and used as it stands.

What runs here runs in the caller's transaction: nothing is opened, flushed, committed or rolled back for it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, LiteralString, NoReturn, TypeAlias

from pgjobs.db.encoding import with_storable_summaries
from pgjobs.db.statements import named_statement, statement
from pgjobs.errors import EnqueueError, SchemaError

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection, CursorResult, TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session, scoped_session

    SyncCaller: TypeAlias = Session | scoped_session[Any] | Connection | psycopg.Connection[Any]
    AsyncCaller: TypeAlias = AsyncSession | async_scoped_session[Any] | AsyncConnection | psycopg.AsyncConnection[Any]

Parameters: TypeAlias = Mapping[str, Any]
Run: TypeAlias = Callable[[str, Parameters], list[int]]
"""Runs a statement by its name, and gives the ids that it returns."""
RunAsync: TypeAlias = Callable[[str, Parameters], Coroutine[Any, Any, list[int]]]

_KINDS = "a SQLAlchemy Session, Connection, AsyncSession or AsyncConnection, or a psycopg Connection or AsyncConnection"
_MISSING = ("42P01", "3F000")  # SQLSTATE: no such table, no such schema


def runner_of(conn: Any) -> tuple[Run | None, RunAsync | None]:
    """Give what runs a statement in the caller's transaction: the first of the pair for sync, the second for async.

    Raises:
        EnqueueError: it is nothing that can be enqueued on.

    """
    # Whoever holds an object of a library has imported it, so there is no need to import it to ask.
    if _is(conn, "psycopg", "Connection"):
        return lambda name, values: _on_psycopg(conn, name, values), None
    if _is(conn, "psycopg", "AsyncConnection"):
        return None, lambda name, values: _on_async_psycopg(conn, name, values)
    if _is(conn, "sqlalchemy.orm", "scoped_session") or _is(conn, "sqlalchemy.ext.asyncio", "async_scoped_session"):
        conn = conn.registry()
    if _is(conn, "sqlalchemy.orm", "Session"):
        _check_dialect(_bind_of(conn).dialect)
        return lambda name, values: _on_sqlalchemy(conn.connection(), name, values), None
    if _is(conn, "sqlalchemy.engine", "Connection"):
        _check_dialect(conn.dialect)
        return lambda name, values: _on_sqlalchemy(conn, name, values), None
    if _is(conn, "sqlalchemy.ext.asyncio", "AsyncSession"):
        _check_dialect(_bind_of(conn.sync_session).dialect)
        return None, lambda name, values: _on_async_session(conn, name, values)
    if _is(conn, "sqlalchemy.ext.asyncio", "AsyncConnection"):
        _check_dialect(conn.engine.dialect)
        return None, lambda name, values: _on_async_sqlalchemy(conn, name, values)
    raise EnqueueError(f"{_described(conn)}: {_advice(conn)}")


def _is(conn: object, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(conn, getattr(loaded, name, ()))


# -- Running, for each kind ------------------------------------------------------------------------------------------


def _on_psycopg(conn: psycopg.Connection[Any], name: str, values: Parameters) -> list[int]:
    from psycopg import Cursor
    from psycopg.rows import tuple_row

    # A plain cursor, because the connection's own may read other placeholders or make other rows.
    with Cursor(conn, row_factory=tuple_row) as cursor:
        try:
            cursor.execute(_binary(statement(name)), with_storable_summaries(values, conn))
            return [int(row[0]) for row in cursor.fetchall()]
        except Exception as error:
            _explain(error)


async def _on_async_psycopg(conn: psycopg.AsyncConnection[Any], name: str, values: Parameters) -> list[int]:
    from psycopg import AsyncCursor
    from psycopg.rows import tuple_row

    async with AsyncCursor(conn, row_factory=tuple_row) as cursor:
        try:
            await cursor.execute(_binary(statement(name)), with_storable_summaries(values, conn))
            return [int(row[0]) for row in await cursor.fetchall()]
        except Exception as error:
            _explain(error)


def _on_sqlalchemy(connection: Connection, name: str, values: Parameters) -> list[int]:
    result: CursorResult[Any]
    try:
        storable = dict(with_storable_summaries(values, connection.connection.driver_connection))
        if connection.dialect.driver == "psycopg":
            result = connection.exec_driver_sql(_binary(statement(name)), storable, _OPTIONS)
        else:
            result = connection.execute(_text(named_statement(name)), storable, execution_options=_OPTIONS)
        return [int(row[0]) for row in result]
    except Exception as error:
        _explain(error)


async def _on_async_sqlalchemy(connection: AsyncConnection, name: str, values: Parameters) -> list[int]:
    return await connection.run_sync(_on_sqlalchemy, name, values)


async def _on_async_session(session: AsyncSession, name: str, values: Parameters) -> list[int]:
    # Not session.execute(), which flushes first.
    return await _on_async_sqlalchemy(await session.connection(), name, values)


# A caller may read with server-side cursors; an INSERT can not be run through one.
_OPTIONS = {"stream_results": False, "yield_per": None}


@cache
def _binary(sql: LiteralString) -> LiteralString:
    """Let psycopg send parameters in binary: arrays cost it a quarter of what they cost as text."""
    return sql.replace(")s", ")b")


@cache
def _text(sql: str) -> TextClause:
    from sqlalchemy import text

    return text(sql)


def _explain(error: Exception) -> NoReturn:
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state in _MISSING:
        raise SchemaError(
            "this database has no tables of pgjobs (or PGJOBS_SCHEMA names another schema): run `pgjobs migrate`."
        ) from error
    raise error


# -- What can not be enqueued on -------------------------------------------------------------------------------------


def _bind_of(session: Session) -> Any:
    from sqlalchemy.exc import UnboundExecutionError

    try:
        return session.get_bind()
    except UnboundExecutionError:
        raise EnqueueError(
            "this Session has no engine of its own, or several, so it is not clear where the job goes: pass one of its "
            'connections, as in enqueue(session.connection(bind_arguments={"mapper": Order}), …).'
        ) from None


def _check_dialect(dialect: Any) -> None:
    if dialect.name != "postgresql":
        raise EnqueueError(
            f"jobs are rows in PostgreSQL, and this is a connection to {dialect.name}: pass one to the database that "
            "holds the tables of pgjobs."
        )


# By the package and the name of a class among the bases of what was given.
_ADVICE = {
    ("sqlalchemy", "Engine"): "open a transaction and pass that: `with engine.begin() as conn: enqueue(conn, …)`.",
    ("sqlalchemy", "AsyncEngine"): (
        "open a transaction and pass that: `async with engine.begin() as conn: await enqueue(conn, …)`."
    ),
    ("sqlalchemy", "sessionmaker"): (
        "make a session and pass that: `with make_session.begin() as session: enqueue(session, …)`."
    ),
    ("sqlalchemy", "async_sessionmaker"): (
        "make a session and pass that: `async with make_session.begin() as session: await enqueue(session, …)`."
    ),
    ("sqlalchemy", "SessionTransaction"): "pass the session whose transaction it is.",
    ("sqlalchemy", "AsyncSessionTransaction"): "pass the session whose transaction it is.",
    ("sqlalchemy", "Transaction"): "pass the connection whose transaction it is.",
    ("sqlalchemy", "AsyncTransaction"): "pass the connection whose transaction it is.",
    ("sqlalchemy", "PoolProxiedConnection"): "pass the SQLAlchemy Connection that it comes from.",
    ("psycopg", "BaseCursor"): "pass its connection: enqueue(cursor.connection, …).",
    ("psycopg", "Transaction"): "pass its connection: enqueue(transaction.connection, …).",
    ("psycopg", "AsyncTransaction"): "pass its connection: await enqueue(transaction.connection, …).",
    ("psycopg_pool", "ConnectionPool"): (
        "take a connection and pass that: `with pool.connection() as conn: enqueue(conn, …)`."
    ),
    ("psycopg_pool", "AsyncConnectionPool"): (
        "take a connection and pass that: `async with pool.connection() as conn: await enqueue(conn, …)`."
    ),
    ("asyncpg", "Connection"): 'use asyncpg through SQLAlchemy: create_async_engine("postgresql+asyncpg://…").',
    ("asyncpg", "Pool"): 'use asyncpg through SQLAlchemy: create_async_engine("postgresql+asyncpg://…").',
    ("psycopg2", "connection"): 'use psycopg2 through SQLAlchemy: create_engine("postgresql+psycopg2://…").',
    ("psycopg2", "cursor"): 'use psycopg2 through SQLAlchemy: create_engine("postgresql+psycopg2://…").',
    ("builtins", "str"): f"a URL is not enough, because the job is part of your transaction: pass {_KINDS}.",
    ("builtins", "coroutine"): "it has not been awaited: await it first, and pass what it gives.",
}


def _described(conn: object) -> str:
    kind = type(conn)
    if conn is None:
        return "can not enqueue on None"
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]} "
    return f"can not enqueue on a {module}{kind.__name__}"


def _advice(conn: object) -> str:
    for base in type(conn).__mro__:
        advice = _ADVICE.get((base.__module__.partition(".")[0], base.__name__))
        if advice:
            return advice
    if callable(conn) and (inspect.isroutine(conn) or hasattr(conn, "job_options")):
        return f"the connection goes first: enqueue(conn, {getattr(conn, '__name__', 'callable')}, …)."
    return f"pass {_KINDS}."
