"""Every way for a callable to end, by name. `end` runs one in a thread or a process, `end_async` on the loop."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

from pgjobs import Cancel, Retry, Snooze, job

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

TRACES = "TASKS_TRACES"  # a folder, in the environment of the worker


class OddError(BaseException):
    """No Exception."""


class WithLockError(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("has a lock")
        self.lock = threading.Lock()


class WithTwoError(Exception):
    """Can be pickled, but not be unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class UnprintableError(Exception):
    """Raises whatever one does with it."""

    def __str__(self) -> str:
        raise SystemExit("from __str__")

    def __repr__(self) -> str:
        raise KeyboardInterrupt


class LyingError(Exception):
    """Raises when it is asked for its class, as isinstance() does."""

    @property  # type: ignore[misc]  # that is the point
    def __class__(self) -> Any:
        raise OddError("from __class__")


class _NamelessType(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]  # that is the point
        raise RuntimeError("from __name__")


class NamelessError(Exception, metaclass=_NamelessType):
    """Raises when it is asked for the name of its class."""


def _raise(error: BaseException) -> NoReturn:
    raise error


def _recurse() -> None:
    _recurse()


def _chain() -> None:
    error: BaseException = ValueError("first")
    for number in range(3000):
        error, cause = RuntimeError(number), error
        error.__cause__ = cause
    raise error


def _fork() -> None:
    os.fork()  # and both come back


def _fork_and_sleep() -> None:
    if not os.fork():
        time.sleep(20)
        os._exit(0)


def _start_threads() -> list[threading.Thread]:
    threads = [threading.Thread(target=time.sleep, args=(5,), daemon=number % 2 == 0) for number in range(4)]
    for thread in threads:
        thread.start()
    return threads


def _print() -> None:
    for _ in range(2000):
        print("x" * 1000)
        print("y" * 1000, file=sys.stderr)


def _change_directory() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)  # and it is gone now


def _numbers() -> Iterator[int]:
    yield 1
    raise ValueError("nobody asked for this")


async def _coroutine() -> None:
    await asyncio.sleep(0.01)
    raise ValueError("from the coroutine")


def _segfault() -> None:
    ctypes.string_at(0)


def _kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(10)


def _close_all_files() -> None:
    os.closerange(0, 4096)


def _sleep_with_child() -> None:
    """Start a process, note its number, and sleep forever."""
    child = subprocess.Popen(["sleep", "600"])
    with open(os.path.join(os.environ[TRACES], f"child-{child.pid}"), "x"):  # noqa: PTH118, PTH123 (short)
        pass
    time.sleep(600)


def _sleep_in_steps() -> None:
    while True:
        time.sleep(0.01)


def _sleep_in_steps_uncatchable() -> None:
    while True:
        try:
            time.sleep(0.01)
        except Exception:  # noqa: S110 (what a careless job does)
            pass


ENDS: dict[str, Callable[[], object]] = {
    "return": lambda: 42,
    "return a lock": threading.Lock,
    "return a generator": _numbers,
    "return a coroutine": _coroutine,
    "raise": lambda: _raise(ValueError("no")),
    "raise BaseException": lambda: _raise(OddError("odd")),
    "raise SystemExit": lambda: sys.exit(3),
    "raise KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
    "raise GeneratorExit": lambda: _raise(GeneratorExit()),
    "raise StopIteration": lambda: _raise(StopIteration(1)),
    "raise CancelledError": lambda: _raise(asyncio.CancelledError()),
    "raise TimeoutError": lambda: _raise(TimeoutError("of its own")),
    "raise a group": lambda: _raise(ExceptionGroup("several", [ValueError("one"), KeyError("two")])),
    "raise a long chain": _chain,
    "raise what cannot be pickled": lambda: _raise(WithLockError()),
    "raise what cannot be unpickled": lambda: _raise(WithTwoError("two", "words")),
    "raise what cannot be printed": lambda: _raise(UnprintableError()),
    "raise what lies about its class": lambda: _raise(LyingError()),
    "raise what has no name": lambda: _raise(NamelessError()),
    "raise NUL and surrogates": lambda: _raise(ValueError("a\0b\ud800c\nd")),
    "raise a huge message": lambda: _raise(ValueError("x" * 5_000_000)),
    "recurse": _recurse,
    "snooze": lambda: _raise(Snooze(5000)),
    "cancel": lambda: _raise(Cancel("not\nneeded\0any more")),
    "retry in": lambda: _raise(Retry(5000, "busy")),
    "retry": lambda: _raise(Retry()),
    "fork": _fork,
    "fork and sleep": _fork_and_sleep,
    "start threads": _start_threads,
    "print": _print,
    "change directory": _change_directory,
    "os._exit(1)": lambda: os._exit(1),
    "os._exit(0)": lambda: os._exit(0),
    "segfault": _segfault,
    "SIGKILL": _kill_itself,
    "close all files": _close_all_files,
    "sleep in steps": _sleep_in_steps,
    "sleep in steps, except Exception": _sleep_in_steps_uncatchable,
    "sleep with a child": _sleep_with_child,
}


@job
def end(name: str) -> object:
    """End this way."""
    return ENDS[name]()


@job
async def end_async(name: str) -> object:
    """End this way, on the loop."""
    await asyncio.sleep(0)
    return ENDS[name]()


async def _swallow_and_return() -> None:
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        await asyncio.sleep(0)


async def _swallow_for_ever() -> None:
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass


async def _exit_in_task() -> None:
    async def leave() -> None:
        sys.exit(4)

    task = asyncio.create_task(leave())
    await asyncio.sleep(0.05)
    del task


async def _stop_the_loop() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.05)


ASYNC_ENDS: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    "sleep": lambda: asyncio.sleep(600),
    "swallow and return": _swallow_and_return,
    "swallow forever": _swallow_for_ever,
    "exit in a task": _exit_in_task,
    "stop the loop": _stop_the_loop,
}


@job
async def end_of_coroutine(name: str) -> None:
    """End this way; only coroutines can."""
    await ASYNC_ENDS[name]()
