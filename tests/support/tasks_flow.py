"""Jobs that are held up by one another, and write down when they run. Each worker imports this by name."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pgjobs import Retry, current_job, job

NOTES = "TASKS_NOTES"  # a directory


def note(what: object) -> None:
    """Write down what happens, with the time, in one write: it is whole even if the process is killed."""
    line = f"{time.monotonic()} {what} {current_job().id} {current_job().attempt} {os.getpid()}\n"
    fd = os.open(Path(os.environ[NOTES]) / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


@job(sequence="account:{account}", max_attempts=9, backoff=0.02)
def post(account: int, number: int) -> None:
    """Post a booking; every fifth has to be tried again."""
    note("begin")
    time.sleep(0.002)
    if number % 5 == 0 and current_job().attempt == 1:
        raise Retry
    note("end")


@job(sequence="account:{account}", max_attempts=1)
def refuse(account: int) -> None:
    """Fail for good."""
    raise ValueError(f"no account {account}")


@job(max_attempts=9)
def step(name: str) -> None:
    """Do a part of something larger."""
    note(name)
    time.sleep(0.005)


@job(max_attempts=1)
def break_down() -> None:
    """Fail for good."""
    raise ValueError("broken")


@job(queue="narrow", max_attempts=9)
def squeeze(number: int) -> None:
    """Run where few may."""
    note("begin")
    time.sleep(0.01)
    note("end")


@job(expires=0.2)
def soon(name: str) -> None:
    """Be worth something for a moment."""
    note(name)
