"""`result`, `results` and `as_completed`: what jobs return, for those who wait for it. Sync, or to be awaited."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import aclosing, suppress
from math import inf
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pgjobs.core.errors import UsageError
from pgjobs.core.validate import Seconds, check_seconds
from pgjobs.db.query import check_id
from pgjobs.job_results.ends import Ended, Missing, value_of
from pgjobs.job_results.in_job import SLICE, WaitInJob
from pgjobs.job_results.source import source_of
from pgjobs.job_results.watcher import Watcher, watcher_of
from pgjobs.jobs.broadcast import BroadcastHandle

if TYPE_CHECKING:
    from pgjobs.job_results.source import AsyncSource, Source, SyncSource
    from pgjobs.jobs.handle import JobHandle

R = TypeVar("R")


@overload
def result(conn: SyncSource, job: JobHandle[R], /, *, timeout: Seconds | None = None) -> R: ...
@overload
def result(conn: SyncSource, job: int, /, *, timeout: Seconds | None = None) -> Any: ...
@overload
def result(conn: AsyncSource, job: JobHandle[R], /, *, timeout: Seconds | None = None) -> Coroutine[Any, Any, R]: ...
@overload
def result(conn: AsyncSource, job: int, /, *, timeout: Seconds | None = None) -> Coroutine[Any, Any, Any]: ...
def result(conn: Any, job: JobHandle[Any] | int, /, *, timeout: Seconds | None = None) -> Any:
    """Return what a job returned; if it has not ended, wait for it.

    The job has to keep it (`@job(result=True)`), and the transaction that enqueued it has to be committed. All waits of
    a process share one connection of their own: `conn` only says to which database.

    Args:
        conn: a SQLAlchemy Engine, Session or Connection, or a psycopg Connection; or one of their async kinds: then
            await the result.
        job: its handle, or its id.
        timeout: the longest wait, in seconds or as a timedelta. None: no limit. The job itself is not touched.

    Raises:
        TimeoutError: it has not ended in time.
        JobFailedError: it has failed; `error` and `traceback` are those of its last attempt.
        JobCancelledError: it was cancelled.
        NoResultError: it keeps no result, the result has expired, or there is no such job.
        PayloadError: the result cannot be read here, or must not: it is wrongly signed, or not on the allow-list.
        UsageError: `conn` leads to no database, or the job was enqueued in its transaction, which is not committed.

    """
    waiting = _Waiting(conn, "result", [job], timeout)
    if waiting.source.is_async:
        return _result_async(waiting)
    for _, end in waiting.ends():
        return value_of(end)
    raise AssertionError("unreachable: a wait ends or raises")


async def _result_async(waiting: _Waiting) -> Any:
    async with aclosing(waiting.ends_async()) as ends:  # else it would be closed later, by the loop
        async for _, end in ends:
            return value_of(end)
    raise AssertionError("unreachable: a wait ends or raises")


@overload
def results(
    conn: SyncSource, jobs: Iterable[JobHandle[R]], /, *, timeout: Seconds | None = None, return_errors: bool = False
) -> list[R]: ...
@overload
def results(
    conn: SyncSource, jobs: Iterable[int], /, *, timeout: Seconds | None = None, return_errors: bool = False
) -> list[Any]: ...
@overload
def results(
    conn: AsyncSource, jobs: Iterable[JobHandle[R]], /, *, timeout: Seconds | None = None, return_errors: bool = False
) -> Coroutine[Any, Any, list[R]]: ...
@overload
def results(
    conn: AsyncSource, jobs: Iterable[int], /, *, timeout: Seconds | None = None, return_errors: bool = False
) -> Coroutine[Any, Any, list[Any]]: ...
@overload
def results(
    conn: SyncSource, broadcast: BroadcastHandle[R], /, *, timeout: Seconds | None = None, return_errors: bool = False
) -> list[R]: ...
@overload
def results(
    conn: AsyncSource, broadcast: BroadcastHandle[R], /, *, timeout: Seconds | None = None, return_errors: bool = False
) -> Coroutine[Any, Any, list[R]]: ...
def results(
    conn: Any,
    jobs: Iterable[JobHandle[Any] | int] | BroadcastHandle[Any],
    /,
    *,
    timeout: Seconds | None = None,
    return_errors: bool = False,
) -> Any:
    """Return what these jobs returned, in the order in which they were given, when all have ended.

    Of a broadcast: what it returned in each worker process or host, by host and worker, when all have ended that have
    to run it by then, without those that start later. `BroadcastError` where it has failed, or is gone.

    `return_errors`: give the errors of jobs without a result in their places; else the first one is raised, at once.
    All else is as for `result`.

    Raises:
        Exception: as `result`.

    """
    if isinstance(jobs, BroadcastHandle):
        from pgjobs.job_results.broadcasts import answers  # imported lazily: few wait for one

        return answers(conn, jobs, timeout, return_errors)
    waiting = _Waiting(conn, "results", jobs, timeout)
    if waiting.source.is_async:
        return _results_async(waiting, return_errors)
    found = {job_id: _value(end, return_errors) for job_id, end in waiting.ends()}
    return [found[job_id] for job_id in waiting.ids]


async def _results_async(waiting: _Waiting, return_errors: bool) -> list[Any]:
    async with aclosing(waiting.ends_async()) as ends:
        found = {job_id: _value(end, return_errors) async for job_id, end in ends}
    return [found[job_id] for job_id in waiting.ids]


@overload
def as_completed(
    conn: SyncSource, jobs: Iterable[JobHandle[R]], /, *, timeout: Seconds | None = None, return_errors: bool = False
) -> Iterator[tuple[JobHandle[R], R]]: ...
@overload
def as_completed(
    conn: SyncSource, jobs: Iterable[int], /, *, timeout: Seconds | None = None, return_errors: bool = False
) -> Iterator[tuple[int, Any]]: ...
@overload
def as_completed(
    conn: AsyncSource, jobs: Iterable[JobHandle[R]], /, *, timeout: Seconds | None = None, return_errors: bool = False
) -> AsyncIterator[tuple[JobHandle[R], R]]: ...
@overload
def as_completed(
    conn: AsyncSource, jobs: Iterable[int], /, *, timeout: Seconds | None = None, return_errors: bool = False
) -> AsyncIterator[tuple[int, Any]]: ...
def as_completed(
    conn: Any,
    jobs: Iterable[JobHandle[Any] | int],
    /,
    *,
    timeout: Seconds | None = None,
    return_errors: bool = False,
) -> Any:
    """Iterate over these jobs as they end, each with what it returned; on an async engine or connection, `async for`.

    Each job comes once, as it was given: a handle, or an id.
    `return_errors`: of a job without a result, give the error; else it is raised, which ends the iteration. All else is
    as for `result`; `timeout` is for all of them.

    Raises:
        Exception: as `result`.

    """
    waiting = _Waiting(conn, "as_completed", jobs, timeout)
    return (
        _as_completed_async(waiting, return_errors)
        if waiting.source.is_async
        else _as_completed(waiting, return_errors)
    )


def _as_completed(waiting: _Waiting, return_errors: bool) -> Iterator[tuple[Any, Any]]:
    for job_id, end in waiting.ends():
        yield waiting.jobs[job_id], _value(end, return_errors)


async def _as_completed_async(waiting: _Waiting, return_errors: bool) -> AsyncIterator[tuple[Any, Any]]:
    async with aclosing(waiting.ends_async()) as ends:
        async for job_id, end in ends:
            yield waiting.jobs[job_id], _value(end, return_errors)


def _value(end: Ended | Exception, return_errors: bool) -> Any:
    if not return_errors:
        return value_of(end)
    try:
        return value_of(end)
    except Exception as error:
        return error


class _Waiting:
    """One wait for some jobs."""

    def __init__(self, conn: Any, name: str, jobs: Iterable[Any], timeout: Seconds | None) -> None:
        if isinstance(jobs, int) or hasattr(jobs, "id"):
            raise UsageError(f"{name} takes an iterable of handles or ids: for one job there is result(conn, job).")
        given = list(jobs)
        self.ids = [check_id(job) for job in given]
        self.jobs = dict(zip(self.ids, given, strict=True))
        self.seconds = None if timeout is None else check_seconds("timeout", timeout, or_else="None for no limit")
        self.source: Source = source_of(conn, name)
        self._left = dict.fromkeys(self.ids)

    def ends(self) -> Iterator[tuple[int, Ended | Exception]]:
        """Yield each job as it ends.

        Raises:
            TimeoutError: some have not.
            UsageError: one was enqueued in the caller's own transaction.

        """
        watcher, queue = watcher_of(self.source.place), SimpleQueue[tuple["Ended | Exception", int]]()
        deadline, in_job = self._deadline(), WaitInJob.begin(self.source.place)
        slice_of = None if in_job is None else SLICE

        def sink(end: Ended | Exception, job_id: int) -> None:
            queue.put((end, job_id))

        watcher.add(self._left, sink)
        try:
            while self._left:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                try:
                    end, job_id = queue.get(timeout=left if slice_of is None else min(slice_of, left or slice_of))
                except Empty:
                    if deadline is not None and time.monotonic() >= deadline:
                        raise self._late() from None
                    if in_job is not None:
                        in_job.tell(self._left)
                    continue
                if isinstance(end, Missing):
                    self.source.refuse_own(job_id)
                self._left.pop(job_id, None)
                yield job_id, end
        finally:
            watcher.remove(self._left, sink)
            if in_job is not None:
                in_job.end()

    async def ends_async(self) -> AsyncGenerator[tuple[int, Ended | Exception], None]:
        """Do the same for a coroutine."""
        import asyncio

        loop, queue = asyncio.get_running_loop(), asyncio.Queue[tuple["Ended | Exception", int]]()
        deadline, in_job = self._deadline(), WaitInJob.begin(self.source.place)
        most = inf if in_job is None else SLICE
        watcher: Watcher = watcher_of(self.source.place)

        def sink(end: Ended | Exception, job_id: int) -> None:
            with suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(queue.put_nowait, (end, job_id))

        watcher.add(self._left, sink)
        try:
            while self._left:
                left = inf if deadline is None else max(0.0, deadline - time.monotonic())
                try:
                    async with asyncio.timeout(min(left, most) if min(left, most) < inf else None):
                        end, job_id = await queue.get()
                except TimeoutError:
                    if left <= most:
                        raise self._late() from None
                    if in_job is not None:
                        in_job.tell(self._left)
                    continue
                if isinstance(end, Missing):
                    await self.source.refuse_own_async(job_id)
                self._left.pop(job_id, None)
                yield job_id, end
        finally:
            watcher.remove(self._left, sink)
            if in_job is not None:
                in_job.end()

    def _deadline(self) -> float | None:
        return None if self.seconds is None else time.monotonic() + self.seconds

    def _late(self) -> TimeoutError:
        first = next(iter(self._left))
        if len(self.jobs) == 1:
            return TimeoutError(f"job {first} has not ended after {self.seconds:g} s; it continues.")
        return TimeoutError(
            f"{len(self._left)} of {len(self.jobs)} jobs have not ended after {self.seconds:g} s (one is {first}); "
            "they continue."
        )
