"""The jobs of the limit check, which find out by themselves whether another one of their key runs; and an empty one."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from pgjobs import Snooze, current_job, job

KEY = "check:one"
DIRECTORY = "LIMIT_CHECK_DIRECTORY"


def note(text: str) -> None:
    """Append a line; short ones are never mixed up."""
    log = os.open(Path(os.environ[DIRECTORY], "log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(log, f"{time.time_ns()} {os.getpid()} {current_job().id} {text}\n".encode())
    finally:
        os.close(log)


@job(limit=KEY, max_attempts=1000, backoff=0.05, summary=False)
def hold(seconds: float, fate: str) -> None:
    """Take the one mark there is, for some seconds, and give it back; or die with it.

    The mark is a lock that the system takes back when the process is gone, however that came about.
    """
    mark = os.open(Path(os.environ[DIRECTORY], "mark"), os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("TWO")
            return
        note("start")
        time.sleep(seconds)
        first = current_job().attempt == 1
        if fate == "fails" and first:
            raise ValueError("to be tried again")
        if fate == "snoozes" and first:
            raise Snooze(0.05)
        if fate == "dies" and first:
            os.kill(os.getpid(), 9)
        note("end")
    finally:
        os.close(mark)


@job(limit=KEY, max_attempts=1000, backoff=0.05, summary=False, executor="process", timeout=0.5)
def hold_in_child(seconds: float, fate: str) -> None:
    """Do the same in a child process; the fate `hangs` is longer than the timeout."""
    hold(600 if fate == "hangs" and current_job().attempt == 1 else seconds, fate)


@job(limit=KEY, max_attempts=1000, backoff=0.05, summary=False)
async def hold_async(seconds: float, fate: str) -> None:
    """Do the same on the event loop, which it blocks for a moment."""
    hold(seconds, fate)


@job(summary=False)
def noop(key: int) -> None:
    """Do nothing."""
