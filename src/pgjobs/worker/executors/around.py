"""The hooks around a job (`pgjobs.hooks.around_job`): entered and left where it runs.

What the job raised is never replaced in silence: a hook may look at it, but only `Snooze`, `Retry` and `Cancel` count
instead of it. All other faults of hooks are logged, or fail an attempt that had not failed.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any, final

from pgjobs.core.error_text import text_of
from pgjobs.core.errors import HookError
from pgjobs.core.interrupts import RAISED_FROM_OUTSIDE
from pgjobs.core.validate import has_type
from pgjobs.hooks.kinds import around_hooks
from pgjobs.jobs.context import CurrentJob
from pgjobs.jobs.job import is_async
from pgjobs.jobs.outcome import Cancel, Retry, Snooze
from pgjobs.jobs.transaction_batch import IN_TRANSACTION
from pgjobs.payload.pickling import Call
from pgjobs.worker.executors.awaiting import must_be_awaited
from pgjobs.worker.executors.in_transaction import in_transaction
from pgjobs.worker.executors.own_code import run
from pgjobs.worker.runtime.process_guard import forked

if TYPE_CHECKING:
    from pgjobs.worker.executors.awaiting import KeptLoop
    from pgjobs.worker.local.claimed_job import ClaimedJob

log = logging.getLogger("pgjobs.hooks")
_WISHES = (Snooze, Retry, Cancel)


def run_inside(job: ClaimedJob, call: Call) -> Any:
    """Run a call inside the hooks. What has to be awaited comes back as something that leaves them when it has ended.

    Raises:
        HookError: a hook has failed, and the job has not.
        BaseException: what the job raised, or what a hook wishes.

    """
    if is_async(call.callable):
        return run_awaiting(job, call)
    stack = HookStack(job)
    try:
        stack.enter()
        result = run(call) if type(call.callable) not in IN_TRANSACTION else in_transaction(job, call)
        if result is not None and must_be_awaited(result):
            return Inside(stack, result)
    except BaseException as error:
        stack.leave(error)
        raise
    stack.leave(None)
    return result


async def run_awaiting(job: ClaimedJob, call: Call) -> Any:
    """Run a coroutine function inside the hooks: all of them are entered and left in its task."""
    stack = HookStack(job)
    try:
        await stack.enter_awaiting()
        function = call.callable
        passed = type(function) in IN_TRANSACTION
        result = await _awaited(in_transaction(job, call) if passed else function(*call.args, **call.kwargs))
    except BaseException as error:
        await stack.leave_awaiting(error)
        raise
    await stack.leave_awaiting(None)
    return result


async def _awaited(result: Any) -> Any:
    while result is not None and must_be_awaited(result):
        result = await result
    return result


@final
class Inside:
    """What a plain function returned to be awaited, inside hooks that were entered in its thread."""

    __slots__ = ("_awaitable", "_stack")

    def __init__(self, stack: HookStack, awaitable: Awaitable[Any]) -> None:
        self._stack = stack
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._to_the_end().__await__()

    async def _to_the_end(self) -> Any:
        try:
            result = await _awaited(self._awaitable)
        except BaseException as error:
            self._stack.leave(error)
            raise
        self._stack.leave(None)
        return result

    def run_on(self, loop: KeptLoop, seconds: float | None) -> object:
        """Await it on the loop of this thread, and leave the hooks in the context in which they were entered."""
        try:
            result = loop.run(self._awaitable, seconds)
        except BaseException as error:
            self._stack.leave(error)
            raise
        self._stack.leave(None)
        return result


class HookStack:
    """The hooks that were entered around one job."""

    __slots__ = ("_entered", "_job")

    def __init__(self, job: ClaimedJob) -> None:
        self._job = job
        self._entered: list[tuple[str, Any]] = []

    def enter(self) -> None:
        """Enter all that are not asynchronous.

        Raises:
            HookError: one of them has failed; those before it are entered.
            BaseException: what a hook wishes, or what was raised from outside.

        """
        job = CurrentJob(self._job)
        for hook in around_hooks:
            if hook.is_async:
                continue
            try:
                manager = run(Call(hook.function, (job,), {}))
                run(Call(_method(manager, "__enter__"), (), {}))
            except BaseException as error:
                raise _named(hook.name, error)  # noqa: B904 (it is either the same one or has its cause)
            self._entered.append((hook.name, manager))

    async def enter_awaiting(self) -> None:
        """Do the same with all of them."""
        job = CurrentJob(self._job)
        for hook in around_hooks:
            try:
                manager = hook.function(job)
                if _is_async(manager):
                    await _method(manager, "__aenter__")()
                else:
                    _method(manager, "__enter__")()
            except BaseException as error:
                raise _named(hook.name, error)  # noqa: B904 (it is either the same one or has its cause)
            self._entered.append((hook.name, manager))

    def leave(self, error: BaseException | None) -> None:
        """Leave them, the last one first, with what the job raised (None: nothing).

        Raises:
            BaseException: what counts instead of `error`.

        """
        state = _Leaving(error)
        while self._entered and not forked():  # a child that the job forked is not the job
            name, manager = self._entered.pop()
            try:
                swallowed = run(Call(_method(manager, "__exit__"), state.info(), {}))
            except BaseException as raised:
                state.hook_raised(name, raised)
            else:
                state.hook_returned(name, swallowed)
        state.finish()

    async def leave_awaiting(self, error: BaseException | None) -> None:
        """Do the same, with hooks that `enter_awaiting` has entered."""
        state = _Leaving(error)
        while self._entered and not forked():
            name, manager = self._entered.pop()
            try:
                if _is_async(manager):
                    swallowed = await _method(manager, "__aexit__")(*state.info())
                else:
                    swallowed = _method(manager, "__exit__")(*state.info())
            except BaseException as raised:
                state.hook_raised(name, raised)
            else:
                state.hook_returned(name, swallowed)
        state.finish()


class _Leaving:
    """What counts as the end of the job, while hooks are left."""

    def __init__(self, error: BaseException | None) -> None:
        self._first = self._error = error
        self._trace = None if error is None else error.__traceback__

    def info(self) -> tuple[Any, Any, Any]:
        """Return what `__exit__` takes."""
        error = self._error
        return (None, None, None) if error is None else (type(error), error, error.__traceback__)

    def hook_returned(self, name: str, swallowed: object) -> None:
        """Look at what a hook has returned."""
        error = self._error
        if error is not None and swallowed:
            log.warning("the hook %s swallowed what the job raised (%s): it counts all the same", name, _kind(error))

    def hook_raised(self, name: str, raised: BaseException) -> None:
        """Look at what a hook has raised."""
        error = self._error
        if raised is error:
            return
        if error is None:
            self._error = _named(name, raised)
        elif has_type(raised, _WISHES) and not (has_type(error, _WISHES) or _is_from_outside(error)):
            log.info("the hook %s raised %s in place of %s", name, _kind(raised), _kind(error))
            self._error = raised
        elif not _is_from_outside(raised):
            log.warning(
                "the hook %s raised %s (%s) when it was left: what the job raised (%s) counts",
                *(name, _kind(raised), text_of(raised), _kind(error)),
            )

    def finish(self) -> None:
        """Raise what counts, unless it is what the job raised."""
        if self._first is not None:  # hooks that it passed have added their frames
            BaseException.with_traceback(self._first, self._trace)
        if self._error is not None and self._error is not self._first:
            raise self._error


def _named(name: str, error: BaseException) -> BaseException:
    """Return what counts of an exception that a hook raised: itself, or an error that names the hook."""
    if has_type(error, _WISHES) or _is_from_outside(error):
        return error
    text = text_of(error)
    made = HookError(f"the hook {name} raised {_kind(error)}{': ' if text else ''}{text}")
    made.__cause__ = error
    return made


def _is_from_outside(error: BaseException) -> bool:
    """Return True for what ends a job from outside, also on a loop."""
    asyncio: Any = sys.modules.get("asyncio")  # most workers never import it
    return has_type(error, RAISED_FROM_OUTSIDE) or (asyncio is not None and has_type(error, asyncio.CancelledError))


def _is_async(manager: object) -> bool:
    return hasattr(type(manager), "__aenter__") and not hasattr(type(manager), "__enter__")


def _method(manager: object, name: str) -> Any:
    """Return a method of a context manager.

    Raises:
        TypeError: it is not one.

    """
    found = getattr(manager, name, None)
    if found is None:
        raise TypeError(f"it returned a {type(manager).__name__}, which is not a context manager")
    return found


def _kind(error: BaseException) -> str:
    name: str = type.__dict__["__name__"].__get__(type(error))  # past what its metaclass may answer
    return name
