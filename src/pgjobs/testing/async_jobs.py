"""`AsyncJobs`: a test's jobs, on its own asynchronous connection and in its own transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from pgjobs.core.durations import check_duration
from pgjobs.core.errors import ConfigurationError
from pgjobs.testing.kit import MOST_RUNS, Kit
from pgjobs.testing.link import Link

if TYPE_CHECKING:
    from pgjobs.core.callers import AsyncCaller
    from pgjobs.jobs.batch_job import BatchJob
    from pgjobs.jobs.handle import JobHandle
    from pgjobs.jobs.transaction import TransactionJob
    from pgjobs.testing.jobs import Moment
    from pgjobs.testing.outcomes import Drained, Ran, TestJob

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class AsyncJobs:
    """What `Jobs` is, for an AsyncSession, an AsyncConnection, or psycopg's AsyncConnection: await what it does.

    Coroutines run on the loop of the test, and plain functions in threads, one job after another. It needs greenlet,
    which comes with `pgjobs-runner[pytest]` and `sqlalchemy[asyncio]`.

    Raises:
        ConfigurationError: greenlet is not installed.
        EnqueueError: jobs cannot be enqueued on it.
        UsageError: it is not async.

    """

    def __init__(self, conn: AsyncCaller) -> None:
        if find_spec("greenlet") is None:
            raise ConfigurationError("AsyncJobs needs greenlet: pip install 'pgjobs-runner[pytest]'.")
        from pgjobs.testing.async_drivers import async_driver_of
        from pgjobs.testing.async_places import OnLoop

        driver: Any = async_driver_of(conn)
        self._kit = Kit(Link(driver), OnLoop(driver))
        self.clock = AsyncClock(self._kit)
        """The database's clock, as pgjobs sees it in this test."""

    # What is asked beside the arguments cannot be typed together with them, so it comes first, with any arguments.
    @overload
    async def assert_enqueued(
        self,
        callable: Callable[..., object],
        /,
        *args: Any,
        queue: str,
        within: Moment = ...,
        meta: dict[str, Any] = ...,
        **kwargs: Any,
    ) -> TestJob: ...
    @overload
    async def assert_enqueued(
        self, callable: Callable[..., object], /, *args: Any, within: Moment, meta: dict[str, Any] = ..., **kwargs: Any
    ) -> TestJob: ...
    @overload
    async def assert_enqueued(
        self, callable: Callable[..., object], /, *args: Any, meta: dict[str, Any], **kwargs: Any
    ) -> TestJob: ...
    @overload
    async def assert_enqueued(self, callable: Callable[..., object], /) -> TestJob: ...
    @overload
    async def assert_enqueued(
        self, callable: TransactionJob[Any, P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> TestJob: ...
    @overload
    async def assert_enqueued(self, callable: BatchJob[T, object, object], item: T, /) -> TestJob: ...
    @overload
    async def assert_enqueued(self, callable: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> TestJob: ...
    async def assert_enqueued(self, callable: Callable[..., object], /, *args: Any, **kwargs: Any) -> TestJob:
        """Return the first job of this function with these arguments: see `Jobs.assert_enqueued`."""
        return await _spawn(self._kit.assert_enqueued, callable, args, kwargs)

    async def refute_enqueued(self, callable: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        """Check that there is no such job: see `Jobs.refute_enqueued`."""
        await _spawn(self._kit.refute_enqueued, callable, args, kwargs)

    @asynccontextmanager
    async def expect(
        self, callable: Callable[..., object], *, times: int = 1, queue: str | None = None
    ) -> AsyncIterator[list[TestJob]]:
        """Check that a block enqueues `times` jobs of this function: see `Jobs.expect`. It is for `async with`."""
        block = self._kit.expect(callable, times, queue)
        found = await _spawn(block.__enter__)
        yield found
        await _spawn(block.__exit__, None, None, None)

    async def all(
        self, callable: Callable[..., object] | None = None, *, queue: str | None = None, status: str | None = None
    ) -> list[TestJob]:
        """Return the jobs that there are, in the order in which they were enqueued."""
        return await _spawn(self._kit.all, callable, queue=queue, status=status)

    async def leftovers(self) -> list[str]:
        """Return what is left: see `Jobs.leftovers`."""
        return await _spawn(self._kit.leftovers)

    async def run(self, handle: JobHandle[R] | int) -> Ran[R]:
        """Run one attempt of a job now, and return what came of it: see `Jobs.run`."""
        return await _spawn(self._kit.run, handle)

    async def drain(self, *queues: str, retries: bool = True, later: bool = False, most: int = MOST_RUNS) -> Drained:
        """Run all that is due, and what those jobs enqueue; return what came of each: see `Jobs.drain`."""
        return await _spawn(self._kit.drain, queues, retries=retries, later=later, most=most)

    def fail_next(
        self, callable: Callable[..., object], error: BaseException | type[BaseException], *, times: int = 1
    ) -> None:
        """Have the next attempts of this function raise an error, instead of calling it."""
        self._kit.faults.fail(callable, error, times)

    def crash_at(self, point: str, callable: Callable[..., object] | None = None) -> None:
        """Have the worker die at a point of the next attempt: see `Jobs.crash_at`."""
        self._kit.faults.crash(point, callable)

    async def declare(self) -> None:
        """Write what the imported modules declare: see `Jobs.declare`."""
        await _spawn(self._kit.declare)


class AsyncClock:
    """The clock of an async test, as pgjobs sees it."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def forward(self, duration: Moment) -> None:
        """Move it forward: see `Clock.forward`."""
        await _spawn(self._kit.forward, check_duration("forward", duration, least=0.0))

    @property
    def ahead(self) -> float:
        """Seconds by which it was moved forward."""
        return self._kit.ahead


async def _spawn(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run the synchronous half of the kit where it can wait for the connection."""
    from sqlalchemy.util import greenlet_spawn

    return await greenlet_spawn(partial(function, *args, **kwargs))
