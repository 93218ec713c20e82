"""The asynchronous kinds of connection, used from inside of SQLAlchemy's `greenlet_spawn`, as `AsyncJobs` does.

There what has to be awaited is awaited by `await_only`, and SQLAlchemy's own sessions are the synchronous ones below
the async faces. A plain job runs in a thread; what it does with the kit there goes back to the loop.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from pgjobs.core.errors import UsageError
from pgjobs.db.adapters.detect import runner_of
from pgjobs.jobs.transaction import ConnectionKind
from pgjobs.testing.drivers import OPEN, not_lent
from pgjobs.testing.link import Answer, Block, Driver
from pgjobs.testing.sqlalchemy_driver import SqlAlchemyDriver

if TYPE_CHECKING:
    from pgjobs.db.enqueue_columns import EnqueueColumns
    from pgjobs.jobs.transaction import Wanted

T = TypeVar("T")


def async_driver_of(conn: Any) -> Driver:
    """Return what runs statements on an asynchronous connection or session.

    Raises:
        EnqueueError: jobs cannot be enqueued on it.
        UsageError: it is not async.

    """
    _, run = runner_of(conn)  # refuses what enqueue refuses
    if run is None:
        raise UsageError(f"{type(conn).__name__} is not async: use `Jobs(conn)`.")
    psycopg: Any = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(conn, psycopg.AsyncConnection):
        return AsyncPsycopgDriver(conn)
    if callable(registry := getattr(conn, "registry", None)):  # of a scoped session
        conn = registry()
    session = getattr(conn, "sync_session", None)
    if session is not None:
        return AsyncSqlAlchemyDriver(conn, session.connection, session)
    return AsyncSqlAlchemyDriver(conn, lambda: conn.sync_connection, conn.sync_connection)


def on_loop(loop: asyncio.AbstractEventLoop, work: Callable[[], T]) -> T:
    """Run work that waits by `await_only`, from a thread of the loop or from another one."""
    try:
        is_here = asyncio.get_running_loop() is loop
    except RuntimeError:
        is_here = False
    if is_here:
        return work()
    found: Coroutine[Any, Any, T] = greenlet_spawn(work)
    return asyncio.run_coroutine_threadsafe(found, loop).result()


class _OnLoop:
    """Remembers the loop that the connection belongs to."""

    _loop: asyncio.AbstractEventLoop | None = None

    def on_loop(self, work: Callable[[], T]) -> T:
        """Run work on the loop of the connection."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return on_loop(self._loop, work)


class AsyncPsycopgDriver(_OnLoop):
    """A psycopg AsyncConnection."""

    def __init__(self, conn: Any) -> None:
        self.conn = conn

    def _begin(self) -> None:
        if self.conn.info.transaction_status == 0:  # idle
            if self.conn.autocommit:
                raise UsageError(OPEN)
            await_only(self.conn.execute("SELECT 1"))  # or the first savepoint would be a transaction, and commit

    def run(self, sql: str, values: Any) -> Answer:
        """Run a statement on a plain cursor."""
        return self.on_loop(lambda: self._run(sql, values))

    def _run(self, sql: str, values: Any) -> Answer:
        from psycopg import AsyncCursor
        from psycopg.rows import tuple_row

        self._begin()
        cursor = AsyncCursor(self.conn, row_factory=tuple_row)
        try:
            await_only(cursor.execute(sql, values, binary=True))
            rows = await_only(cursor.fetchall()) if cursor.description else []
            return Answer(rows, cursor.rowcount, cursor.description)
        finally:
            await_only(cursor.close())

    def block(self) -> Block:
        """Begin a savepoint in which psycopg refuses to commit."""
        self._begin()
        return _AsyncPsycopgBlock(self.conn)

    def lent(self, wanted: Wanted) -> Any:
        """Return the connection itself."""
        if wanted.kind is ConnectionKind.PSYCOPG_ASYNC:
            return self.conn
        raise UsageError(not_lent(wanted, self.conn))

    def enqueue(self, name: str, columns: EnqueueColumns, values: dict[str, Any]) -> list[int]:
        """Enqueue as the caller does."""
        _, run = runner_of(self.conn)
        assert run is not None  # noqa: S101 (for mypy)
        return await_only(run(name, columns, values))

    def parameter(self, name: str) -> str | None:
        """Return what the server has said of a setting."""
        found: str | None = self.conn.info.parameter_status(name)
        return found


class _AsyncPsycopgBlock:
    def __init__(self, conn: Any) -> None:
        self._block = conn.transaction()
        await_only(self._block.__aenter__())

    def leave(self, *, undo: bool) -> None:
        from psycopg import Rollback

        if undo:
            error = Rollback(self._block)
            with suppress(Rollback):
                await_only(self._block.__aexit__(Rollback, error, None))
        else:
            await_only(self._block.__aexit__(None, None, None))


class AsyncSqlAlchemyDriver(_OnLoop, SqlAlchemyDriver):
    """An AsyncSession or AsyncConnection, with any driver."""

    def run(self, sql: str, values: Any) -> Answer:
        """Run a statement, with the placeholders of the driver."""
        run = super().run
        return self.on_loop(lambda: run(sql, values))

    def lent(self, wanted: Wanted) -> Any:
        """Return the session or connection itself, or another asynchronous kind on top of it."""
        from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

        is_session = isinstance(self.conn, AsyncSession)
        if wanted.kind is ConnectionKind.ASYNC_SESSION and isinstance(self.conn, wanted.made):
            return self.conn
        if wanted.kind is ConnectionKind.ASYNC_CONNECTION:
            found: AsyncConnection = await_only(self.conn.connection()) if is_session else self.conn
            return found
        if wanted.kind is ConnectionKind.ASYNC_SESSION and not is_session:
            return wanted.made(bind=self.conn, join_transaction_mode="create_savepoint")
        if wanted.kind is ConnectionKind.PSYCOPG_ASYNC and self._found().dialect.driver == "psycopg":
            return self._found().connection.driver_connection
        raise UsageError(not_lent(wanted, self.conn))

    def enqueue(self, name: str, columns: EnqueueColumns, values: dict[str, Any]) -> list[int]:
        """Enqueue as the caller does."""
        _, run = runner_of(self.conn)
        assert run is not None  # noqa: S101 (for mypy)
        return await_only(run(name, columns, values))
