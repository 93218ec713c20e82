"""Transactions for jobs on connections and sessions of SQLAlchemy: an engine for threads, and one for each event loop.

Only the worker ends them. A commit by the function would end what it has written apart from the job, and a rollback, or
the end of `with session:`, would end the job without it: so both are refused. Savepoints are its own affair.
"""

from __future__ import annotations

import atexit
import os
import select
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session

from pgjobs.core.errors import UsageError
from pgjobs.worker.runtime.own_connections import connected, connected_async

if TYPE_CHECKING:
    import asyncio

_MAY_COMMIT = "pgjobs_may_commit"
_POOL: dict[str, Any] = {"pool_size": 0, "pool_use_lifo": True}  # as many as there are jobs at once
_URL = "postgresql+psycopg://"


class OnConnection:
    """A transaction of a Connection."""

    conn: Any

    def __init__(self) -> None:
        self.conn = _engine().connect()
        self._begun: object = self.conn.begin()

    def flush(self) -> None:
        """See that the transaction is still there."""
        _check_same(self.conn.get_transaction(), self._begun)

    def commit(self) -> None:
        """Commit, and put the connection back."""
        _commit(self.conn, self.conn)
        self.conn.close()

    def roll_back(self) -> None:
        """Undo all, and put the connection back."""
        with suppress(Exception):
            _drop_if_busy(self.conn)
        with suppress(Exception):
            self.conn.close()


class OnSession(OnConnection):
    """A transaction of a Session, or of an object of a class below it."""

    def __init__(self, made: Any) -> None:
        self.conn = made(_engine())
        self._begun = self.conn.connection()

    def flush(self) -> None:
        """Write what it has gathered, and see that the transaction is still there."""
        self.conn.flush()
        _check_same(self.conn.connection(), self._begun)

    def commit(self) -> None:
        """Commit, and put the connection back."""
        _commit(self.conn, self.conn.connection())
        self.conn.close()

    def roll_back(self) -> None:
        """Undo all, and put the connection back."""
        with suppress(Exception):
            if self.conn.in_transaction():
                _drop_if_busy(self.conn.connection())
        with suppress(Exception):
            self.conn.close()


class OnAsyncConnection:
    """A transaction of an AsyncConnection."""

    conn: Any

    async def begin(self) -> None:
        """Connect, or take a connection that is kept."""
        self.conn = await _async_engine().connect()
        self._begun: object = await self.conn.run_sync(lambda connection: connection.begin())

    async def flush(self) -> None:
        """See that the transaction is still there."""
        _check_same(self.conn.sync_connection.get_transaction(), self._begun)

    async def commit(self) -> None:
        """Commit, and put the connection back."""
        await self.conn.run_sync(lambda connection: _commit(connection, connection))
        await self.conn.close()

    async def roll_back(self) -> None:
        """Undo all, and put the connection back."""
        with suppress(Exception):
            await self.conn.run_sync(_drop_if_busy)
        with suppress(Exception):
            await self.conn.close()


class OnAsyncSession(OnAsyncConnection):
    """A transaction of an AsyncSession, or of an object of a class below it."""

    def __init__(self, made: Any) -> None:
        self.conn = made(_async_engine())

    async def begin(self) -> None:
        """Connect, or take a connection that is kept."""
        self._begun = await self.conn.run_sync(lambda session: session.connection())

    async def flush(self) -> None:
        """Write what it has gathered, and see that the transaction is still there."""
        await self.conn.flush()
        _check_same(await self.conn.run_sync(lambda session: session.connection()), self._begun)

    async def commit(self) -> None:
        """Commit, and put the connection back."""
        await self.conn.run_sync(lambda session: _commit(session, session.connection()))
        await self.conn.close()

    async def roll_back(self) -> None:
        """Undo all, and put the connection back."""
        with suppress(Exception):
            if self.conn.in_transaction():
                await self.conn.run_sync(lambda session: _drop_if_busy(session.connection()))
        with suppress(Exception):
            await self.conn.close()


def _check_same(now: object, begun: object) -> None:
    """Refuse to complete a job whose function has ended the transaction that it got.

    Raises:
        UsageError: it has.

    """
    if now is not begun:
        raise UsageError(
            "a job with transaction=True has rolled back its transaction, or closed what it got, so what it had "
            "written is lost: raise an exception for that, and leave rollback(), close() and `with session:` out."
        )


def _commit(of: Connection | Session, connection: Connection) -> None:
    info = connection.info
    info[_MAY_COMMIT] = True
    try:
        of.commit()
    finally:
        info.pop(_MAY_COMMIT, None)


def _drop_if_busy(connection: Connection) -> None:
    """Drop a connection in the middle of a statement: an exception from outside has broken off the job."""
    if connection.connection.driver_connection.info.transaction_status == 1:  # type: ignore[union-attr]  # psycopg's
        connection.invalidate()


# -- Engines -----------------------------------------------------------------------------------------------------------


_lock = threading.Lock()
_engines: list[Engine] = []
_async_engines: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncEngine] = WeakKeyDictionary()


def _engine() -> Engine:
    with _lock:
        if not _engines:
            _engines.append(_watched(create_engine(_URL, creator=connected, **_POOL)))
        return _engines[0]


def _async_engine() -> AsyncEngine:
    import asyncio

    loop = asyncio.get_running_loop()
    with _lock:
        engine = _async_engines.get(loop)
        if engine is None:
            engine = _async_engines[loop] = create_async_engine(_URL, async_creator=connected_async, **_POOL)
            _watched(engine.sync_engine)
        return engine


def close_idle() -> None:
    """Close the connections that no job has, except those of event loops, which would have to run for that."""
    with _lock:
        for engine in _engines:
            engine.dispose()
        _engines.clear()


atexit.register(close_idle)


def _watched(engine: Engine) -> Engine:
    event.listen(engine, "checkout", _replace_if_lost)
    event.listen(engine, "commit", _refuse)
    return engine


def _replace_if_lost(adapted: Any, _: Any, __: Any) -> None:
    """Look whether the server has said something on a connection that was kept: as a rule, that it closes it.

    Raises:
        DisconnectionError: it has, and SQLAlchemy takes another one.

    """
    poller = select.poll()
    poller.register(getattr(adapted, "driver_connection", adapted).pgconn.socket, select.POLLIN)
    if poller.poll(0):
        raise DisconnectionError


def _refuse(connection: Connection) -> None:
    """Refuse a commit that is not the worker's.

    Raises:
        UsageError: it is not.

    """
    if connection.info.get(_MAY_COMMIT):
        return
    connection.connection.rollback()  # SQLAlchemy takes the transaction for ended after this: no rollback would come
    raise UsageError(
        "a job with transaction=True was about to commit: its worker does that when the function has returned, and "
        "completes the job with it. Leave commit() and `with session.begin()` out; begin_nested() is a savepoint."
    )


def _forget() -> None:
    """In a forked child: the connections are its parent's."""
    global _lock
    _lock = threading.Lock()
    _engines.clear()
    _async_engines.clear()


os.register_at_fork(after_in_child=_forget)
