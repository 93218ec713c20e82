"""What the tests broadcast, and what keeps workers busy meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time

from pgjobs import Cancel, current_job, job
from tests.support.tasks import database

CALLED = "CREATE TABLE IF NOT EXISTS called (what text, pid int, host text)"


def pid() -> int:
    """Return which process this is."""
    return os.getpid()


def note(what: str) -> int:
    """Write down that this was called, and return which process this is."""
    with database() as conn:
        conn.execute("INSERT INTO called VALUES (%s, %s)", [what, os.getpid()])
    return os.getpid()


@job(queue="other", max_attempts=9, name="calls.add")
def add(left: int, right: int = 1) -> int:
    """Add two numbers; a job as well."""
    return left + right


async def later(value: str) -> str:
    """Return a value after a moment."""
    await asyncio.sleep(0.01)
    return value


@job(payload="json")
def plain(value: str) -> dict[str, str]:
    """Return JSON."""
    return {"got": value}


def fails() -> None:
    """Fail."""
    raise ValueError("no config")


def cancels() -> None:
    """Ask for what only a job can have."""
    raise Cancel("not now")


def unkept() -> object:
    """Return what cannot be pickled."""
    return threading.Lock()


def asks() -> int:
    """Ask for the job that runs here."""
    return current_job().id


@job(timeout=0.2)
def naps() -> None:
    """Take longer than its time."""
    for _ in range(1000):
        time.sleep(0.01)


@job(timeout=0.2)
async def naps_async() -> None:
    """Do the same on a loop."""
    await asyncio.sleep(60)


@job(timeout=0.2)
def never_stops() -> None:
    """Swallow what is to end it."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except BaseException:  # noqa: S112 (that is the point)
            continue


def dies() -> None:
    """End its process."""
    os.kill(os.getpid(), signal.SIGKILL)


def waits(what: str) -> None:
    """Write down that it began, and run until its process ends."""
    note(what)
    time.sleep(60)


def takes(what: str, seconds: float) -> int:
    """Write down that it began, take a while, and return which process this is."""
    note(what)
    time.sleep(seconds)
    return os.getpid()


@job(queue="threads")
def busy() -> None:
    """Hold a thread."""
    note("busy")
    time.sleep(60)


@job(queue="children", executor="process")
def busy_child() -> None:
    """Hold a child process."""
    note("child")
    time.sleep(60)


@job(queue="loop")
async def busy_loop() -> None:
    """Hold the event loop itself."""
    note("loop")
    time.sleep(60)  # noqa: ASYNC251 (that is the point)
