"""The jobs of the load. Each writes down when a run began and how it ended, in a file that no fault touches.

A line: `KIND JOB ATTEMPT CLAIM PID SECONDS`, where KIND is `start`, or how it ended: `ok`, `fail`, `snooze`.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgjobs import Batch, Snooze, current_job, job
from pgjobs.jobs.context import current
from pgjobs.worker.local.claimed_job import ClaimedJob

if TYPE_CHECKING:
    from collections.abc import Iterator

EFFECTS = "CHAOS_EFFECTS"


def claimed() -> ClaimedJob:
    """Return the worker's own record of the running job: an audit needs the number of its claim."""
    job = current.get()
    assert isinstance(job, ClaimedJob)
    return job


def write(kind: str, row: ClaimedJob | None = None) -> None:
    """Write a line, as one piece: it is far below what the system may tear apart."""
    row = row or claimed()
    # CLOCK_MONOTONIC by its number: libfaketime, where a scenario turns a worker's clock, leaves that alone.
    line = f"{kind} {row.id} {row.attempt} {row.claim_number} {os.getpid()} {time.monotonic():.6f}\n"
    file = os.open(os.environ[EFFECTS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@contextmanager
def written_down() -> Iterator[None]:
    """Write down the beginning and a good end."""
    write("start")
    yield
    write("ok")


@job
def quick(number: int) -> None:
    with written_down():
        pass


@job
def brief(seconds: float) -> None:
    with written_down():
        time.sleep(seconds)


@job
async def on_loop(seconds: float) -> None:
    with written_down():
        await asyncio.sleep(seconds)


@job(queue="heavy", executor="process")
def in_process(seconds: float) -> None:
    with written_down():
        time.sleep(seconds)


@job(backoff=0.1, max_attempts=20)
def fails_first(number: int) -> None:
    """Fail at the first attempt."""
    write("start")
    if current_job().attempt == 1:
        write("fail")
        raise ValueError(f"not yet {number}")
    write("ok")


@job(backoff=0.05, max_attempts=2)
def always_fails(number: int) -> None:
    write("start")
    write("fail")
    raise ValueError(f"never {number}")


@job
def snoozes_first(seconds: float) -> None:
    write("start")
    if claimed().claim_number == 1:
        write("snooze")
        raise Snooze(seconds)
    write("ok")


@job(result=True, max_attempts=100, backoff=0.1)
def answer(number: int, seconds: float) -> int:
    """Return its number."""
    with written_down():
        time.sleep(seconds)
    return number


@job(result=True)
def own_id(seconds: float) -> int:
    """Return what an auditor knows: the job's id."""
    with written_down():
        time.sleep(seconds)
    return current_job().id


@job(batch=Batch(5, wait=0.05))
def together(numbers: list[float]) -> None:
    """Run with others; each of them writes down its own run."""
    row = claimed()
    for member in row.members:
        write("start", member)
    time.sleep(max(numbers))
    for member in row.members:
        write("ok", member)


@job
def hold(seconds: float) -> None:
    """Hold a slot."""
    with written_down():
        time.sleep(seconds)
