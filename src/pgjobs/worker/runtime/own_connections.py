"""Transactions for jobs with `@job(transaction=True)`, on connections that this process keeps.

They are what `pgjobs.connect` gives. A thread takes one for a job and puts it back; those of coroutines belong to their
event loop. One that was lost meanwhile is noticed when the next transaction begins on it, and replaced, so that costs
no attempt. Connections and sessions of SQLAlchemy are in `own_engines.py`.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from pgjobs.core.errors import UsageError
from pgjobs.db.connection import behind_pooler
from pgjobs.db.public_connect import connect, connect_async
from pgjobs.jobs.transaction import ConnectionKind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    import psycopg

    from pgjobs.jobs.transaction import Wanted

KEEP_IDLE = 60.0  # seconds, for those that are more than enough


class SyncTransaction(Protocol):
    """A transaction of one job."""

    conn: Any
    """What the function gets."""

    def flush(self) -> None:
        """Send what a session still has to write, before the job is completed.

        Raises:
            UsageError: the function has ended the transaction.

        """

    def commit(self) -> None:
        """Commit, and put the connection back."""

    def roll_back(self) -> None:
        """Undo all, also after a commit that failed, and put the connection back. It raises nothing."""


class AsyncTransaction(Protocol):
    """The same for a coroutine."""

    conn: Any

    async def begin(self) -> None:
        """Connect, or take a connection that is kept, and begin."""

    async def flush(self) -> None:
        """As above."""

    async def commit(self) -> None:
        """As above."""

    async def roll_back(self) -> None:
        """As above."""


class Lender(Protocol):
    """What has a transaction for jobs already: a test, which runs them in its own."""

    def open_sync(self, wanted: Wanted) -> SyncTransaction:
        """Return a part of it for a function that wants this."""

    async def open_async(self, wanted: Wanted) -> AsyncTransaction:
        """Do the same for a coroutine."""


_lenders: list[Lender] = []


@contextmanager
def lend(lender: Lender) -> Iterator[None]:
    """Have jobs get their transactions from there for a while."""
    _lenders.append(lender)
    try:
        yield
    finally:
        _lenders.remove(lender)


def open_sync(wanted: Wanted) -> SyncTransaction:
    """Begin a transaction for a function that wants this.

    Raises:
        ConfigurationError: the database cannot be reached.

    """
    if _lenders:
        return _lenders[-1].open_sync(wanted)
    if wanted.kind is ConnectionKind.PSYCOPG:
        return _Psycopg()
    from pgjobs.worker.runtime import own_engines  # imported lazily: SQLAlchemy is slow to import

    return own_engines.OnSession(wanted.made) if wanted.kind is ConnectionKind.SESSION else own_engines.OnConnection()


async def open_async(wanted: Wanted) -> AsyncTransaction:
    """Do the same for a coroutine.

    Raises:
        ConfigurationError: the database cannot be reached.

    """
    transaction: AsyncTransaction
    if _lenders:
        return await _lenders[-1].open_async(wanted)
    if wanted.kind is ConnectionKind.PSYCOPG_ASYNC:
        transaction = _PsycopgAsync()
    else:
        from pgjobs.worker.runtime import own_engines  # imported lazily: SQLAlchemy is slow to import

        is_session = wanted.kind is ConnectionKind.ASYNC_SESSION
        transaction = own_engines.OnAsyncSession(wanted.made) if is_session else own_engines.OnAsyncConnection()
    await transaction.begin()
    return transaction


class _Psycopg:
    _is_left = False  # the block of the transaction

    def __init__(self) -> None:
        while True:
            kept = _take()
            self.conn = conn = kept or connected()
            self._block = conn.transaction()  # in it psycopg refuses commit() and rollback()
            try:
                self._block.__enter__()
                return
            except BaseException as error:
                conn.close()
                if kept is None or not isinstance(error, _lost()):
                    raise

    def flush(self) -> None:
        _check_open(self.conn)

    def commit(self) -> None:
        self._is_left = True
        self._block.__exit__(None, None, None)
        _put_back(self.conn)

    def roll_back(self) -> None:
        if _may_speak(self.conn):
            with suppress(Exception):
                self._block.__exit__(*sys.exc_info())
        elif not self._is_left:
            self.conn.close()
        _put_back(self.conn)


class _PsycopgAsync:
    conn: psycopg.AsyncConnection
    _is_left = False

    async def begin(self) -> None:
        self._idle = _idle_of_loop()
        while True:
            kept = self._idle.pop() if self._idle else None
            self.conn = conn = kept or await connected_async()
            self._block = conn.transaction()
            try:
                await self._block.__aenter__()
                return
            except BaseException as error:
                await conn.close()
                if kept is None or not isinstance(error, _lost()):
                    raise

    async def flush(self) -> None:
        _check_open(self.conn)

    async def commit(self) -> None:
        self._is_left = True
        await self._block.__aexit__(None, None, None)
        await self._put_back()

    async def roll_back(self) -> None:
        try:
            if _may_speak(self.conn):
                with suppress(Exception):
                    await self._block.__aexit__(*sys.exc_info())
            elif not self._is_left:
                await self.conn.close()
        finally:  # it may be cancelled meanwhile
            await self._put_back()

    async def _put_back(self) -> None:
        if _is_idle(self.conn):
            _tidy(self.conn)
            self._idle.append(self.conn)
        else:
            await self.conn.close()


# -- Connections of psycopg --------------------------------------------------------------------------------------------


_lock = threading.Lock()
_idle: deque[tuple[float, psycopg.Connection]] = deque()  # the one that was used last is at the end
_idle_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, list[psycopg.AsyncConnection]] = WeakKeyDictionary()


def connected() -> psycopg.Connection:
    """Connect as users do. Behind a pooler nothing is prepared: that would be lost there."""
    conn = connect(autocommit=True)
    try:
        if behind_pooler(conn):
            conn.prepare_threshold = None
        conn.autocommit = False
    except BaseException:
        conn.close()
        raise
    return conn


async def connected_async() -> psycopg.AsyncConnection:
    """Do the same for a coroutine."""
    conn = await connect_async(autocommit=True)
    try:
        row = await (await conn.execute("SELECT pg_backend_pid()")).fetchone()
        if row is None or row[0] != conn.info.backend_pid:
            conn.prepare_threshold = None
        await conn.set_autocommit(False)
    except BaseException:
        await conn.close()
        raise
    return conn


def _take() -> psycopg.Connection | None:
    with _lock:
        return _idle.pop()[1] if _idle else None


def _put_back(conn: psycopg.Connection) -> None:
    """Keep a connection for the next job, and close one that has not been used for long."""
    if not _is_idle(conn):
        conn.close()
        return
    _tidy(conn)
    now, old = time.monotonic(), None
    with _lock:
        _idle.append((now, conn))
        if now - _idle[0][0] > KEEP_IDLE:
            old = _idle.popleft()[1]
    if old is not None:
        old.close()


def close_idle() -> None:
    """Close the connections that no job has."""
    with _lock:
        left = list(_idle)
        _idle.clear()
    for _, conn in left:
        conn.close()


atexit.register(close_idle)


def _idle_of_loop() -> list[psycopg.AsyncConnection]:
    import asyncio

    with _lock:
        return _idle_of_loops.setdefault(asyncio.get_running_loop(), [])


def _is_idle(conn: Any) -> bool:
    return not conn.closed and conn.info.transaction_status == 0


def _check_open(conn: Any) -> None:
    """Refuse to complete a job whose function has executed COMMIT or ROLLBACK, of which psycopg knows nothing.

    Raises:
        UsageError: it has.

    """
    if _is_idle(conn):
        raise UsageError(
            "a job with transaction=True has ended its transaction by a statement of its own: its worker does that "
            "when the function has returned, and completes the job with it. Leave COMMIT and ROLLBACK out."
        )


def _may_speak(conn: Any) -> bool:
    """Return False if it is lost, or in the middle of a statement, from which an exception from outside has broken."""
    return not conn.closed and conn.info.transaction_status in (2, 3)  # in a transaction, or one that has failed


def _tidy(conn: Any) -> None:
    """Undo what a job may have changed of the object."""
    from psycopg import AsyncConnection, AsyncCursor, Cursor
    from psycopg.rows import tuple_row

    conn.row_factory = tuple_row
    conn.cursor_factory = AsyncCursor if isinstance(conn, AsyncConnection) else Cursor


def _lost() -> tuple[type[Exception], ...]:
    from psycopg import InterfaceError, OperationalError

    return OperationalError, InterfaceError


def _forget() -> None:
    """In a forked child: the connections are its parent's."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()
    _idle_of_loops.clear()


os.register_at_fork(after_in_child=_forget)
