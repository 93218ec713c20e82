"""The jobs of the measurements."""

from __future__ import annotations

import os
import threading
import time

import psycopg

from pgjobs import current_job, job

_here = threading.local()


def noop(number: int) -> None:
    """Do nothing."""


@job
def ping(path: str, sent: float) -> None:
    """Note how long it took to get here; the monotonic clock is the machine's."""
    took = time.monotonic() - sent
    with open(path, "a") as file:  # noqa: PTH123 (short, and it is being measured)
        file.write(f"{took}\n")


def append(seconds: float) -> None:
    """Append a row to a table, and take a moment."""
    if not hasattr(_here, "conn"):
        _here.conn = psycopg.connect(os.environ["BENCH_DATABASE_URL"], autocommit=True)
    this = current_job()
    _here.conn.execute("INSERT INTO appended (job, attempt) VALUES (%s, %s)", [this.id, this.attempt])
    time.sleep(seconds)
