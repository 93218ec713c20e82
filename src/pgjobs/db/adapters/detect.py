"""The caller's own connection or session: recognised without importing its library, and used as it stands.

What runs here runs in the caller's transaction: nothing is opened, flushed, committed or rolled back for it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pgjobs.core.callables import read_function_name
from pgjobs.core.errors import EnqueueError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

    from pgjobs.db.enqueue_columns import EnqueueColumns

RowValues: TypeAlias = Mapping[str, Any]
"""What differs from row to row: `summary`, `signature`, `payload`; with an s at their ends, lists of them or None."""
Read: TypeAlias = Callable[[Any], Any]
"""Makes a plain value of what the driver returns: of an id, an int."""


class Run(Protocol):
    """Runs a statement by its name, and returns the first value of each row: the ids."""

    def __call__(
        self, name: str, columns: EnqueueColumns | None, values: RowValues, /, *, read: Read = int
    ) -> list[Any]:
        """Run it."""


class RunAsync(Protocol):
    """Does the same, to be awaited."""

    def __call__(
        self, name: str, columns: EnqueueColumns | None, values: RowValues, /, *, read: Read = int
    ) -> Coroutine[Any, Any, list[Any]]:
        """Run it."""


_KINDS = (
    "a SQLAlchemy Session, Connection, AsyncSession or AsyncConnection, a psycopg Connection or AsyncConnection, or "
    "Django's connection"
)


def runner_of(conn: Any) -> tuple[Run | None, RunAsync | None]:
    """Return what runs a statement in the caller's transaction: the first of the pair for sync, the second for async.

    Raises:
        EnqueueError: jobs cannot be enqueued on it.

    """
    try:
        return _runner_of(conn)
    except EnqueueError:
        raise
    except Exception as error:  # an unbound proxy, or an object whose attributes raise
        raise EnqueueError(
            f"{_described(conn)}: it raises {type(error).__name__} when it is asked what it is: pass {_KINDS}."
        ) from error


def _runner_of(conn: Any) -> tuple[Run | None, RunAsync | None]:
    # A caller that holds an object of a library has imported it, so it is not imported here only to ask.
    if _is(conn, "psycopg", "Connection"):
        from pgjobs.db.adapters import psycopg as on_psycopg

        return partial(on_psycopg.run, conn), None
    if _is(conn, "psycopg", "AsyncConnection"):
        from pgjobs.db.adapters import psycopg as on_psycopg

        return None, partial(on_psycopg.run_async, conn)
    if _is(conn, "sqlalchemy.orm", "scoped_session") or _is(conn, "sqlalchemy.ext.asyncio", "async_scoped_session"):
        conn = conn.registry()
    if _is(conn, "sqlalchemy.orm", "Session"):
        _check_dialect(_bind_of(conn).dialect)
        return partial(_on_session, conn), None
    if _is(conn, "sqlalchemy.engine", "Connection"):
        _check_dialect(conn.dialect)
        return partial(_on_connection, conn), None
    if _is(conn, "sqlalchemy.ext.asyncio", "AsyncSession"):
        _check_dialect(_bind_of(conn.sync_session).dialect)
        return None, partial(_on_async_session, conn)
    if _is(conn, "sqlalchemy.ext.asyncio", "AsyncConnection"):
        _check_dialect(conn.engine.dialect)
        return None, partial(_on_async_connection, conn)
    if "django.db" in sys.modules:
        from pgjobs.db.adapters import django as on_django

        if (wrapper := on_django.wrapper_of(conn)) is not None:
            return partial(on_django.run, wrapper), None
    raise EnqueueError(f"{_described(conn)}: {_advice(conn)}")


def _is(conn: object, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(conn, getattr(loaded, name, ()))


def _on_connection(
    connection: Connection, name: str, columns: EnqueueColumns | None, values: RowValues, *, read: Read = int
) -> list[Any]:
    from pgjobs.db.adapters import sqlalchemy as on_sqlalchemy

    return on_sqlalchemy.run(connection, name, columns, values, read=read)


def _on_session(
    session: Session, name: str, columns: EnqueueColumns | None, values: RowValues, *, read: Read = int
) -> list[Any]:
    # Not session.execute(), which flushes first.
    return _on_connection(session.connection(), name, columns, values, read=read)


async def _on_async_connection(
    connection: AsyncConnection, name: str, columns: EnqueueColumns | None, values: RowValues, *, read: Read = int
) -> list[Any]:
    return await connection.run_sync(partial(_on_connection, read=read), name, columns, values)


async def _on_async_session(
    session: AsyncSession, name: str, columns: EnqueueColumns | None, values: RowValues, *, read: Read = int
) -> list[Any]:
    return await _on_async_connection(await session.connection(), name, columns, values, read=read)


# -- What jobs cannot be enqueued on -----------------------------------------------------------------------------------


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
    ("django", "ConnectionHandler"): 'pass one of them: enqueue(connections["default"], …).',
    ("psycopg", "BaseCursor"): "pass its connection: enqueue(cursor.connection, …).",
    (
        "psycopg_pool",
        "BasePool",
    ): "take a connection and pass that: `with pool.connection() as conn: enqueue(conn, …)`.",
    ("asyncpg", "Connection"): 'use asyncpg through SQLAlchemy: create_async_engine("postgresql+asyncpg://…").',
    ("psycopg2", "connection"): 'use psycopg2 through SQLAlchemy: create_engine("postgresql+psycopg2://…").',
    ("builtins", "str"): f"a URL is not enough, because the job is part of your transaction: pass {_KINDS}.",
}


def _described(conn: object) -> str:
    kind = type(conn)
    if conn is None:
        return "cannot enqueue on None"
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]} "
    return f"cannot enqueue on a {module}{kind.__name__}"


def _advice(conn: object) -> str:
    if isinstance(conn, str) and (named := read_function_name(conn)):
        return (
            "the connection goes first, and then the function instead of its name: "
            f"enqueue(conn, {named.name}, …), after `{named.statement}`."
        )
    for base in type(conn).__mro__:
        advice = _ADVICE.get((base.__module__.partition(".")[0], base.__name__))
        if advice:
            return advice
    if callable(conn) and (inspect.isroutine(conn) or hasattr(conn, "job_options")):
        return f"the connection goes first: enqueue(conn, {getattr(conn, '__name__', 'callable')}, …)."
    return f"pass {_KINDS}."
