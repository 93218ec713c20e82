"""Operations: functions that read or change what pgjobs keeps, on a connection of the caller.

They need one of psycopg, and find it behind a session or connection of SQLAlchemy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from pgjobs.core.errors import UsageError

if TYPE_CHECKING:
    import psycopg

    from pgjobs.core.callers import SyncCaller

P = ParamSpec("P")
T = TypeVar("T")
_TAKES = "a psycopg Connection, or a SQLAlchemy Session or Connection of an engine for postgresql+psycopg"


def operation(
    function: Callable[Concatenate[psycopg.Connection[Any], P], T],
) -> Callable[Concatenate[SyncCaller, P], T]:
    """Make a function take any connection that leads to one of psycopg, as a part of the caller's transaction.

    A connection that is not in autocommit mode, and has no transaction yet, begins one first. Otherwise those that the
    function itself uses would be committed at their ends, and not be parts of the caller's.
    """

    @wraps(function)
    def run(conn: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        found, connection = _both(conn, function.__name__)
        if not connection.autocommit and connection.info.transaction_status == 0:  # idle
            if found is connection:
                connection.execute("SELECT 1")
            else:  # SQLAlchemy has to know of it, to commit it
                found.exec_driver_sql("SELECT 1")
        return function(connection, *args, **kwargs)

    return run  # type: ignore[return-value]  # `conn` may be given by name as well


def outside_of_transaction(conn: Any, name: str) -> psycopg.Connection[Any]:
    """Return the psycopg connection for a function that waits for what others do.

    Raises:
        UsageError: it is in a transaction, and would not see that; or it is not one of psycopg.

    """
    connection = _both(conn, name)[1]
    if connection.info.transaction_status == 0:
        return connection
    raise UsageError(
        f"{name}: this connection is in a transaction. Commit it first, or use another one: "
        "`with pgjobs.connect(autocommit=True) as conn`."
    )


def _both(conn: Any, name: str) -> tuple[Any, psycopg.Connection[Any]]:
    """Return a connection, and the one of psycopg that it leads to.

    Raises:
        UsageError: it leads to none.

    """
    import psycopg

    if isinstance(conn, psycopg.Connection):
        return conn, conn
    given, driver = conn, conn
    if "sqlalchemy" in sys.modules:
        from sqlalchemy import Connection
        from sqlalchemy.exc import UnboundExecutionError
        from sqlalchemy.orm import Session, scoped_session

        if isinstance(conn, Session | scoped_session):
            try:
                conn = conn.connection()
            except UnboundExecutionError:
                raise UsageError(
                    f"{name}: this Session has no engine of its own, or several: pass one of its connections, as in "
                    'session.connection(bind_arguments={"mapper": Order}).'
                ) from None
        if isinstance(conn, Connection):
            driver = conn.connection.driver_connection
    if isinstance(driver, psycopg.Connection):
        return conn, driver
    raise UsageError(_refusal(name, given, driver))


def _refusal(name: str, given: object, driver: object) -> str:
    kinds = [_kind(each) for each in (given, driver)]
    own = f"`with pgjobs.connect() as conn: admin.{name}(conn, …)`"
    got = kinds[0] if driver is given else " on ".join(kinds)
    if any("Async" in kind or "asyncpg" in kind for kind in kinds):
        return (
            f"{name} is not async, and got {got}: give it a connection of its own, {own}, in a function that you call "
            "by `await asyncio.to_thread(…)`."
        )
    return f"{name} takes {_TAKES}, and got {got}. Or give it a connection of its own: {own}."


def _kind(conn: object) -> str:
    if conn is None:
        return "None"
    kind = type(conn)
    module = kind.__module__.partition(".")[0]
    name = kind.__name__ if module == "builtins" else f"{module} {kind.__name__}"
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
