"""Where the jobs of an async test run: coroutines on its loop, and plain functions in threads, as in a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.util import await_only, greenlet_spawn

from pgjobs.jobs.job import is_async
from pgjobs.testing.drivers import not_lent
from pgjobs.testing.places import is_session
from pgjobs.worker.executors.awaiting import Rest, in_time
from pgjobs.worker.executors.invoke import call_now, completed, outcome_of

if TYPE_CHECKING:
    from pgjobs.jobs.outcome import Outcome
    from pgjobs.jobs.transaction import Wanted
    from pgjobs.payload.pickling import Call
    from pgjobs.testing.async_drivers import AsyncPsycopgDriver, AsyncSqlAlchemyDriver
    from pgjobs.worker.local.claimed_job import ClaimedJob
    from pgjobs.worker.runtime.own_connections import AsyncTransaction, SyncTransaction


class OnLoop:
    """For an asynchronous connection."""

    def __init__(self, driver: AsyncPsycopgDriver | AsyncSqlAlchemyDriver) -> None:
        self._driver = driver

    def call(self, job: ClaimedJob, call: Call) -> Outcome:
        """Run it, from inside of `greenlet_spawn`."""
        context = Context()
        if is_async(call.callable):
            done = context.run(call_now, job, call)
        else:
            done = await_only(_in_thread(context, job, call))
        if not isinstance(done, Rest):
            return done
        task = asyncio.Task(_to_the_end(job, done), loop=asyncio.get_running_loop(), context=context)
        return await_only(_ended(task))

    def open_sync(self, wanted: Wanted) -> SyncTransaction:
        """Refuse it: the test has no connection that is not async.

        Raises:
            UsageError: always.

        """
        from pgjobs.core.errors import UsageError

        raise UsageError(not_lent(wanted, self._driver.conn))

    async def open_async(self, wanted: Wanted) -> AsyncTransaction:
        """Return a part of the test's transaction."""
        part = _AsyncPart(self._driver, wanted)
        await part.begin()
        return part


async def _in_thread(context: Context, job: ClaimedJob, call: Call) -> Outcome | Rest:
    return await asyncio.get_running_loop().run_in_executor(None, context.run, call_now, job, call)


async def _ended(task: asyncio.Task[Outcome]) -> Outcome:
    try:
        return await task
    except asyncio.CancelledError:
        task.cancel()
        raise


async def _to_the_end(job: ClaimedJob, rest: Rest) -> Outcome:
    assert rest.awaitable is not None  # noqa: S101 (the call was made)
    try:
        result = await greenlet_spawn(_driven, in_time(rest.awaitable, job.timeout))
        return completed(job, rest.call, result)
    except BaseException as error:
        return outcome_of(job, error, rest.call.callable)


def _driven(coroutine: Coroutine[Any, Any, object]) -> object:
    """Run a coroutine from inside of `greenlet_spawn`, so that plain calls in it can wait for the connection.

    `current_job().progress()` is such a call: in a worker it has a connection of its own.
    """
    send: Callable[[], Any] = partial(coroutine.send, None)
    while True:
        try:
            waited_for = send()
        except StopIteration as end:
            return end.value
        try:
            send = partial(coroutine.send, await_only(_Passed(waited_for)))
        except BaseException as error:
            send = partial(coroutine.throw, error)


class _Passed:
    """What a coroutine waits for, passed on to the loop as it is."""

    def __init__(self, waited_for: Any) -> None:
        self._waited_for = waited_for

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self._waited_for)


class _AsyncPart:
    """A savepoint in place of the transaction that a worker opens for a job with transaction=True."""

    conn: Any

    def __init__(self, driver: AsyncPsycopgDriver | AsyncSqlAlchemyDriver, wanted: Wanted) -> None:
        self._driver, self._wanted = driver, wanted
        self._block: Any = None

    async def begin(self) -> None:
        """Begin it."""
        self.conn = await greenlet_spawn(self._driver.lent, self._wanted)
        self._is_made = is_session(self.conn) and self.conn is not self._driver.conn
        self._block = await greenlet_spawn(self._driver.block)

    async def flush(self) -> None:
        """Send what a session has to write."""
        if is_session(self.conn):
            await self.conn.flush()

    async def commit(self) -> None:
        """Keep what was done."""
        if self._is_made:
            await self.conn.commit()
            await self.conn.close()
        await greenlet_spawn(self._block.leave, undo=False)

    async def roll_back(self) -> None:
        """Undo it."""
        if self._is_made:
            await self.conn.rollback()
            await self.conn.close()
        await greenlet_spawn(self._block.leave, undo=True)
