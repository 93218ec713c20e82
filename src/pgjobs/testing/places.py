"""Where the jobs of a test run: here, in contexts of their own, on the connection that the test has."""

from __future__ import annotations

import asyncio
from contextvars import Context
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from pgjobs.worker.executors.awaiting import KeptLoop, Rest
from pgjobs.worker.executors.invoke import await_here, call_now

if TYPE_CHECKING:
    from pgjobs.jobs.outcome import Outcome
    from pgjobs.jobs.transaction import Wanted
    from pgjobs.payload.pickling import Call
    from pgjobs.testing.link import Driver
    from pgjobs.worker.local.claimed_job import ClaimedJob
    from pgjobs.worker.runtime.own_connections import AsyncTransaction, SyncTransaction


class Place(Protocol):
    """Runs one call, and returns its outcome. It also lends jobs the connection."""

    def call(self, job: ClaimedJob, call: Call) -> Outcome:
        """Run it to its end."""

    def open_sync(self, wanted: Wanted) -> SyncTransaction:
        """Return a part of the test's transaction."""

    async def open_async(self, wanted: Wanted) -> AsyncTransaction:
        """Do the same for a coroutine."""


class Here:
    """For a synchronous connection: plain functions run in this thread, and coroutines on a loop of their own."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def call(self, job: ClaimedJob, call: Call) -> Outcome:
        """Run it. A coroutine goes to a thread of its own where this one has a loop that runs: an async test."""
        context = Context()
        done = context.run(call_now, job, call)
        if type(done) is not Rest:
            return done
        loop = KeptLoop()
        try:
            if not _has_loop():
                return context.run(await_here, job, done, loop, job.timeout)
            outcomes: list[Outcome] = []
            thread = Thread(target=lambda: outcomes.append(context.run(await_here, job, done, loop, job.timeout)))
            thread.start()
            thread.join()
            return outcomes[0]
        finally:
            loop.close()

    def open_sync(self, wanted: Wanted) -> SyncTransaction:
        """Return a part of the test's transaction."""
        return Part(self._driver, wanted)

    async def open_async(self, wanted: Wanted) -> AsyncTransaction:
        """Refuse it.

        Raises:
            UsageError: always.

        """
        self._driver.lent(wanted)
        raise AssertionError("unreachable: no synchronous connection is one for a coroutine")


class Part:
    """A savepoint in place of the transaction that a worker opens for a job with transaction=True."""

    def __init__(self, driver: Driver, wanted: Wanted) -> None:
        self._block = driver.block()
        try:
            self.conn: Any = driver.lent(wanted)
            self._is_made = is_session(self.conn) and self.conn is not driver.conn  # for this job
        except BaseException:
            self._block.leave(undo=True)
            raise

    def flush(self) -> None:
        """Send what a session has to write."""
        if is_session(self.conn):
            self.conn.flush()

    def commit(self) -> None:
        """Keep what was done."""
        if self._is_made:
            self.conn.commit()
            self.conn.close()
        self._block.leave(undo=False)

    def roll_back(self) -> None:
        """Undo it."""
        if self._is_made:
            self.conn.rollback()
            self.conn.close()
        self._block.leave(undo=True)


def is_session(conn: Any) -> bool:
    """Return True for a session of SQLAlchemy, sync or async."""
    return hasattr(conn, "new") and hasattr(conn, "flush")


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
