"""Jobs that look at what they begin with, and that return what is to be awaited. Each fails if something is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import decimal
import functools
import os
import threading
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import structlog

from pgjobs import job

TRACES = "TASKS_TRACES"  # a folder, in the environment of the worker
tenant: contextvars.ContextVar[str | None] = contextvars.ContextVar("tenant", default=None)
tenant.set("set at the import")
OF_ANOTHER_JOB = "of another job"


def trace(name: str) -> Path:
    """Return the file that a job leaves if it came so far."""
    return Path(os.environ[TRACES]) / name


class SetsTenant:
    """Sets a context variable while it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _load_it, ()


def _load_it() -> SetsTenant:
    tenant.set("set while loading")
    return SetsTenant()


class LooksAround:
    """Is loaded only where nothing is seen that another job has set."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _load_if_clean, ()


def _load_if_clean() -> LooksAround:
    assert tenant.get() != OF_ANOTHER_JOB
    return LooksAround()


def _look(expected: str | None, context_of_log: dict[str, object]) -> None:
    assert tenant.get() == expected, tenant.get()
    assert decimal.getcontext().prec == 28, decimal.getcontext()
    assert structlog.contextvars.get_contextvars() == context_of_log, structlog.contextvars.get_contextvars()


def _leave_traces() -> None:
    tenant.set(OF_ANOTHER_JOB)
    decimal.getcontext().prec = 5
    structlog.contextvars.bind_contextvars(customer=1)


@job(max_attempts=1)
def begins(argument: object) -> None:
    """Begin in a clean context, and leave it full."""
    _look(None, {})
    _leave_traces()


@job(max_attempts=1)
async def begins_async(argument: object) -> None:
    _look(None, {})
    _leave_traces()
    await asyncio.sleep(0.001)
    assert tenant.get() == OF_ANOTHER_JOB


def as_tenant(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Set a context variable around the call, as plain decorators do."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: object) -> Any:
            tenant.set(name)
            return function(*args)

        return wrapper

    return decorate


@job(max_attempts=1)
@as_tenant("acme")
async def sees_its_decorators() -> None:
    await asyncio.sleep(0.001)
    _look("acme", {})


_loops: dict[int, asyncio.AbstractEventLoop] = {}


@job(max_attempts=1)
async def finds_its_loop_again() -> None:
    """Run on the loop that the thread had before."""
    here = asyncio.get_running_loop()
    assert _loops.setdefault(threading.get_ident(), here) is here
    await asyncio.sleep(0.001)


@job(max_attempts=1)
@as_tenant("acme")
async def is_on_the_loop_of_the_worker() -> None:
    assert threading.current_thread().name == "pgjobs-loop"


@job(max_attempts=1)
async def changes_the_task_factory() -> None:
    def factory(loop: object, coroutine: Any, **_: object) -> Any:
        coroutine.close()
        raise RuntimeError("no tasks today")

    asyncio.get_running_loop().set_task_factory(factory)


@job(max_attempts=1, timeout=0.3)
async def cleans_up(name: str) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        for _ in range(3):
            await asyncio.sleep(0.2)
        trace(name).touch()


@job(max_attempts=1)
async def cleans_up_when_told(name: str) -> None:
    trace(f"{name} runs").touch()
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        await asyncio.sleep(0.5)
        trace(f"{name} cleaned up").touch()
        raise


# -- What a call may return. What is awaited raises, which shows that it was.


class Request:
    """Can be awaited, and is not a coroutine: as those of clients for HTTP and databases."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.sleep(0).__await__()
        raise ValueError("awaited")


async def _coroutine() -> None:
    await asyncio.sleep(0)
    raise ValueError("awaited")


async def _returns_a_coroutine() -> Awaitable[None]:
    return _coroutine()


@types.coroutine
def _old_coroutine() -> Generator[Any, None, None]:
    yield from asyncio.sleep(0).__await__()
    raise ValueError("awaited")


def _numbers() -> Iterator[int]:
    yield 1


async def _numbers_async() -> AsyncIterator[int]:
    yield 1


@contextlib.contextmanager
def _manager() -> Iterator[None]:
    yield


def _decorates(function: Callable[[], object]) -> Callable[[], object]:
    def wrapper() -> object:
        return function()

    return wrapper


def _begun() -> Iterator[int]:
    numbers = _numbers()
    next(numbers)
    return numbers


AWAITED: dict[str, Callable[[], object]] = {
    "a request": Request,
    "a coroutine": _coroutine,
    "a coroutine that returns one": _returns_a_coroutine,
    "a coroutine of a generator": _old_coroutine,
}
NOT_RUN: dict[str, Callable[[], object]] = {
    "a generator": _numbers,
    "an async generator": _numbers_async,
    "a context manager": _manager,
    "a map": lambda: map(print, [1]),
    "a filter": lambda: filter(print, [1]),
    "coroutines in a list": lambda: [_coroutine()],
    "a function that it made": lambda: _decorates(_coroutine),
}
RETURNS: dict[str, Callable[[], object]] = {
    **AWAITED,
    **NOT_RUN,
    "a generator that has begun": _begun,
    "a function of its module": lambda: _begun,
}


@job(max_attempts=1)
def returns(name: str) -> object:
    """Return this, which is not awaited here."""
    return RETURNS[name]()


@job(max_attempts=1)
async def returns_async(name: str) -> object:
    return RETURNS[name]()


@job(max_attempts=1)
async def is_cancelled_in_its_last_step() -> None:
    """Return, with a request to cancel that nothing was awaited after."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
