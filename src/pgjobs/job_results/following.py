"""`progress` and `follow`: how far a job has come, for those who want to see it. Sync, or to be awaited."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from contextlib import aclosing, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from pgjobs.core.errors import EnqueueError, NotFoundError
from pgjobs.core.validate import Seconds, check_seconds
from pgjobs.db.adapters.detect import Run, RunAsync, runner_of
from pgjobs.db.query import AnyJob, check_id
from pgjobs.job_results.ends import Ended, Missing
from pgjobs.job_results.in_job import SLICE
from pgjobs.job_results.looks import Look, Progress, read_look
from pgjobs.job_results.source import Source, is_async_engine, is_engine, refusal, source_of
from pgjobs.job_results.watcher import watcher_of
from pgjobs.jobs.context import current

if TYPE_CHECKING:
    from pgjobs.job_results.source import AsyncSource, SyncSource

Event: TypeAlias = "Look | Ended | Exception"
FIRST_LOOK = 10.0  # seconds to wait for the first look at a job that has ended
LAST_WORD = 1.25  # seconds: a worker writes once a second what jobs report, so the last of it may come after the end
EVERY = 0.5  # seconds


@overload
def progress(conn: SyncSource, job: AnyJob, /) -> Progress | None: ...
@overload
def progress(conn: AsyncSource, job: AnyJob, /) -> Coroutine[Any, Any, Progress | None]: ...
def progress(conn: Any, job: AnyJob, /) -> Any:
    """Return how far a job has come, as of a second ago; None: it has not said so, or ended more than a day ago.

    Args:
        conn: a SQLAlchemy Engine, Session or Connection, or a psycopg Connection; or one of their async kinds: then
            await it.
        job: its handle, or its id.

    Raises:
        UsageError: the id cannot be one, or `conn` leads to no database.

    """
    values = {"ids": [check_id(job)]}
    if is_async_engine(conn):
        return _progress_on_async_engine(conn, values)
    if is_engine(conn):
        with conn.connect() as connection:
            return _progress(_run_of(connection)[0], values)
    run, run_async = _run_of(conn)
    return _progress(run, values) if run is not None else _progress_async(run_async, values)


def _run_of(conn: Any) -> tuple[Run | None, RunAsync | None]:
    try:
        return runner_of(conn)
    except EnqueueError as error:
        raise refusal("progress", conn) from error


async def _progress_on_async_engine(engine: Any, values: dict[str, Any]) -> Progress | None:
    async with engine.connect() as connection:
        return await _progress_async(_run_of(connection)[1], values)


def _progress(run: Run | None, values: dict[str, Any]) -> Progress | None:
    assert run is not None  # noqa: S101 (for mypy)
    return read_look(run("look_at_jobs", None, values, read=bytes)[0]).progress


async def _progress_async(run: RunAsync | None, values: dict[str, Any]) -> Progress | None:
    assert run is not None  # noqa: S101 (for mypy)
    return read_look((await run("look_at_jobs", None, values, read=bytes))[0]).progress


@overload
def follow(conn: SyncSource, job: AnyJob, /, *, every: Seconds = EVERY) -> Iterator[Progress]: ...
@overload
def follow(conn: AsyncSource, job: AnyJob, /, *, every: Seconds = EVERY) -> AsyncIterator[Progress]: ...
def follow(conn: Any, job: AnyJob, /, *, every: Seconds = EVERY) -> Any:
    """Iterate over the progress of a job, each time that there is something new, until the job has ended.

    All that a process follows or waits for shares one connection of its own: `conn` only says to which database. On an
    async engine, connection or session, `async for`.

    Args:
        conn: as for `progress`.
        job: its handle, or its id.
        every: seconds between two looks, or a timedelta.

    Raises:
        NotFoundError: there is no such job.
        UsageError: `conn` leads to no database, or the job was enqueued in its transaction, which is not committed.

    """
    following = Following(conn, "follow", job, every)
    return _follow_async(following) if following.source.is_async else _follow(following)


def _follow(following: Following) -> Iterator[Progress]:
    last = None
    for event in following.events():
        if (now := _news(event, last)) is not None:
            yield now
            last = now


async def _follow_async(following: Following) -> AsyncIterator[Progress]:
    last = None
    async with aclosing(following.events_async()) as events:  # else it would be closed later, by the loop
        async for event in events:
            if (now := _news(event, last)) is not None:
                yield now
                last = now


def _news(event: Event, last: Progress | None) -> Progress | None:
    """Return the progress that an event tells of, if it is not the last one; raise what ends the iteration."""
    if isinstance(event, Exception):
        raise event
    return event.progress if isinstance(event, Look) and event.progress != last else None


class Following:
    """One who follows one job: how it stands, each time that this has changed, and how it has ended."""

    def __init__(self, conn: Any, name: str, job: AnyJob, every: Seconds) -> None:
        self.id = check_id(job)
        self.every = check_seconds("every", every, least=0.01)
        self.source: Source = source_of(conn, name)
        self._last: Look | None = None
        self._end: Ended | Exception | None = None
        self._until = 0.0  # monotonic seconds: how long to wait for the last word of a job that has ended
        self._has_looked = False

    def events(self) -> Iterator[Event]:
        """Yield what is new, and its end as the last.

        Raises:
            UsageError: it was enqueued in the caller's own transaction.

        """
        watcher, queue = watcher_of(self.source.place), SimpleQueue[Event]()
        slice_of = SLICE if current.get() is not None else None

        def end(event: Ended | Exception, _: int) -> None:
            queue.put(event)

        watcher.add([self.id], end)
        watcher.follow(self.id, self.every, queue.put)
        try:
            while not self._is_over():
                with suppress(Empty):
                    event = queue.get(timeout=self._left(slice_of))
                    if isinstance(event, Missing):
                        self.source.refuse_own(self.id)
                    if self._take(event):
                        yield event
            assert self._end is not None  # noqa: S101 (for mypy)
            yield self._end
        finally:
            watcher.unfollow(queue.put)
            watcher.remove([self.id], end)

    async def events_async(self) -> AsyncGenerator[Event, None]:
        """Do the same for a coroutine."""
        import asyncio

        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Event]()
        watcher = watcher_of(self.source.place)

        def put(event: Event) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, event)  # the loop may be closed: then there is no one to tell

        def end(event: Ended | Exception, _: int) -> None:
            put(event)

        watcher.add([self.id], end)
        watcher.follow(self.id, self.every, put)
        try:
            while not self._is_over():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._left()):
                        event = await queue.get()
                    if isinstance(event, Missing):
                        await self.source.refuse_own_async(self.id)
                    if self._take(event):
                        yield event
            assert self._end is not None  # noqa: S101 (for mypy)
            yield self._end
        finally:
            watcher.unfollow(put)
            watcher.remove([self.id], end)

    def _take(self, event: Event) -> bool:
        """Remember an event. True: those who follow want to know it at once. The end waits for the job's last word."""
        if not isinstance(event, Look):
            self._end, self._until = event, time.monotonic() + (LAST_WORD if self._has_looked else FIRST_LOOK)
            if isinstance(event, Missing) and self._last is None:
                self._end = NotFoundError(f"there is no job {self.id}, or it has ended and is not kept.")
            if isinstance(self._end, Exception):
                self._until = 0.0
            return False
        if not self._has_looked and self._end is not None:
            self._until = time.monotonic() + LAST_WORD  # the first look came late: what it saw may not be the last word
        self._has_looked = True
        said_before = event.said_before
        if self._end is not None and (said_before is None or said_before > LAST_WORD or event.is_final()):
            self._until = 0.0
        if event.status is None and event.progress is None:
            return False
        is_new = self._last is None or event.says() != self._last.says()
        self._last = event
        return is_new

    def _is_over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._until

    def _left(self, most: float | None = None) -> float | None:
        return most if self._end is None else max(0.0, self._until - time.monotonic())
