"""What a call returned, awaited to its end: coroutines, and all else that can be awaited. Shared by all executors."""

from __future__ import annotations

import os
from collections.abc import Awaitable
from contextlib import suppress
from inspect import CO_ITERABLE_COROUTINE, GEN_CREATED, getgeneratorstate
from types import AsyncGeneratorType, CoroutineType, FunctionType, GeneratorType
from typing import TYPE_CHECKING, Any, final

from pgjobs.core.errors import UsageError
from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE, JobTimeout
from pgjobs.worker.runtime.process_guard import forked, in_fork

if TYPE_CHECKING:
    import asyncio

    from pgjobs.payload.pickling import Call


@final
class Rest:
    """What is left of a call: to await what it returned, or (`awaitable` is None) to make it at all."""

    __slots__ = ("awaitable", "call")

    def __init__(self, call: Call, awaitable: Awaitable[object] | None = None) -> None:
        self.call = call
        self.awaitable = awaitable


def must_be_awaited(result: object) -> bool:
    """Return True if the job is not done before its result has been awaited.

    Raises:
        UsageError: it has code that has not run, and never would: a generator that was not begun, a map or a filter,
            coroutines in a list, or a function that the call made (the work of a decorator without its brackets).

    """
    kind = type(result)
    if kind is CoroutineType or hasattr(kind, "__await__"):
        return True
    # What @contextmanager made keeps its generator there.
    generator = getattr(result, "gen", None) if kind.__module__ == "contextlib" else result
    if isinstance(generator, GeneratorType):
        if generator.gi_code.co_flags & CO_ITERABLE_COROUTINE:
            return True
        if getgeneratorstate(generator) != GEN_CREATED:
            return False
    elif not isinstance(generator, AsyncGeneratorType):
        _refuse_what_is_left_to_others(result)
        return False
    what = "generator" if generator is result else "context manager"
    raise _not_run(generator.__qualname__, f"a {what}", f"make the job a function that uses the {what}")


def _refuse_what_is_left_to_others(result: object) -> None:
    kind = type(result)
    if kind is map or kind is filter:
        raise _not_run("it", f"a {kind.__name__}", f"go through the {kind.__name__} in the job, as with list()")
    if isinstance(result, list | tuple) and result and type(result[0]) is CoroutineType:
        raise _not_run("it", f"coroutines in a {kind.__name__}", "await them in the job, as with asyncio.gather()")
    if isinstance(result, FunctionType) and "<locals>" in result.__qualname__:
        raise _not_run("it", "a function", "call it in the job; or does a decorator lack its brackets, as in @retry()")


def _not_run(name: str, what: str, way_out: str) -> UsageError:
    return UsageError(f"{name} returned {what}, and none of its code has run: {way_out}.")


async def settle(result: object) -> object:
    """Await a result, and what that returns, as long as it can be awaited; return what comes in the end.

    Raises:
        UsageError: in the end there is a generator that was not begun.

    """
    while result is not None and must_be_awaited(result):
        result = await result  # type: ignore[misc]  # it has just been looked at
    return result


async def in_time(awaitable: Awaitable[object], seconds: float | None) -> object:
    """Await to the end, cancel it after `seconds` (None: never), and return what comes in the end.

    Raises:
        JobTimeout: it was cancelled.

    """
    if seconds is None:
        result = await awaitable
        return None if result is None else await settle(result)
    import asyncio

    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            return await in_time(awaitable, None)
    except TimeoutError as error:
        if timeout.expired():
            raise JobTimeout().with_traceback(error.__traceback__) from error.__cause__
        raise
    raise AssertionError("unreachable: it returns or raises")


class KeptLoop:
    """The event loop of one thread, or of a child process. It is made at first use, and kept.

    What a module makes once, such as a pool of connections, belongs to the loop in which it was first used: with a new
    loop for each job it would work for the first one only.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self.task: asyncio.Task[None] | None = None
        """What runs on it now."""

    def run(self, awaitable: Awaitable[object], seconds: float | None) -> object:
        """Await to the end, as `in_time` does, in a copy of the context of now. Tasks that it leaves are kept, too."""
        import asyncio

        returned = False
        result: object = None

        async def to_the_end() -> None:
            nonlocal returned, result
            result = await in_time(awaitable, seconds)
            returned = True

        loop = self._ready()
        # Not `loop.create_task`: a job may have changed the loop's task factory.
        self.task = task = asyncio.Task(to_the_end(), loop=loop)
        try:
            self._run_until_done(loop, task)
        except asyncio.CancelledError:
            if not returned:  # or the request came in its last step, and it has completed
                raise
        finally:
            self.task = None
        return result

    def serve(self, fd: int) -> None:
        """Run the tasks that jobs left until there is something to read from the file."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        import asyncio

        readable = asyncio.Event()
        loop.add_reader(fd, readable.set)
        try:
            self._run_until_done(loop, asyncio.Task(readable.wait(), loop=loop))
        finally:
            loop.remove_reader(fd)

    def cancel(self) -> bool:
        """Cancel what runs on it, from another thread; False: nothing does."""
        loop, task = self._loop, self.task
        if loop is None or task is None:
            return False
        with suppress(RuntimeError):  # it was closed
            loop.call_soon_threadsafe(task.cancel)
        return True

    def close(self) -> None:
        """Close it, with the thread that it belongs to."""
        if self._loop is not None:
            self._loop.close()

    def _ready(self) -> asyncio.AbstractEventLoop:
        import asyncio

        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
            in_fork(self._loop.stop)  # a forked child shares its wake-up pipe, and must not read from it
        return self._loop

    @staticmethod
    def _run_until_done(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """Run the loop as long as this takes: a job may stop it, and SystemExit in another task leaves it."""
        while True:
            try:
                loop.run_until_complete(task)
                return
            except RAISED_FROM_OUTSIDE:
                task.cancel()
                raise
            except BaseException:
                if forked():
                    os._exit(0)  # a job forked, and its child returned here
                if task.done() or loop.is_closed():
                    raise
