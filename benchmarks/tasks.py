"""The jobs of the measurements."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import psycopg
from benchmarks.drivers.protocol import JOB_SECONDS, ran

from pgjobs import current_job, job

QUEUE = "bench"
_here = threading.local()


@job(queue=QUEUE)
def noop(number: int, padding: str = "") -> None:
    """Record that it ran, and take as long as the harness wants."""
    ran(number)
    if JOB_SECONDS:
        time.sleep(JOB_SECONDS)


@job(queue=QUEUE)
async def noop_async(number: int, padding: str = "") -> None:
    """The same on the event loop."""
    ran(number)
    if JOB_SECONDS:
        await asyncio.sleep(JOB_SECONDS)


@job(queue=QUEUE, executor="process")
def noop_process(number: int, padding: str = "") -> None:
    """The same in a child process."""
    ran(number)
    if JOB_SECONDS:
        time.sleep(JOB_SECONDS)


@job(queue=QUEUE, result=True)
def answer(number: int) -> int:
    """Return what it was given."""
    return number


def append(seconds: float) -> None:
    """Append a row to a table, and take a moment."""
    if not hasattr(_here, "conn"):
        _here.conn = psycopg.connect(os.environ["BENCH_DATABASE_URL"], autocommit=True)
    this = current_job()
    _here.conn.execute("INSERT INTO appended (job, attempt) VALUES (%s, %s)", [this.id, this.attempt])
    time.sleep(seconds)
