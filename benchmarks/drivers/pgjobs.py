"""pgjobs through its public door: `enqueue`, `enqueue_many`, and the command `pgjobs work`.

BENCH_CONFIGURATION says which kind of job is enqueued: it has to be the one that the worker is told. BENCH_PROCESSES
is how many processes it starts (default 1), BENCH_SLOTS how many slots they have (default: the configuration's).
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from benchmarks.drivers import database
from benchmarks.drivers.protocol import DATABASE_URL, padding, serve
from benchmarks.tasks import QUEUE, answer, noop, noop_async, noop_process

from pgjobs import enqueue, enqueue_many, result
from pgjobs.db import migrations as migrate

SLOTS = {"default": None, "best": 20, "async": 100, "process": 10}
JOBS: dict[str, Any] = {"async": noop_async, "process": noop_process}
GRACE = 2  # seconds that jobs may go on after SIGTERM

PADDING = padding()
job = JOBS.get(os.environ.get("BENCH_CONFIGURATION", ""), noop)


class Producer:
    """A connection in autocommit mode, so that each call is a transaction, as long as `numbers` fit one statement."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def one(self, number: int) -> None:
        if PADDING:
            enqueue(self.connection, job, number, PADDING)
        else:
            enqueue(self.connection, job, number)

    def bulk(self, numbers: Sequence[int]) -> None:
        if PADDING:
            enqueue_many(self.connection, job, [(number, PADDING) for number in numbers])
        else:
            enqueue_many(self.connection, job, [(number,) for number in numbers])


class PgjobsDriver:
    def setup(self) -> None:
        database.recreate()
        migrate.upgrade(DATABASE_URL)

    def reset(self) -> None:
        database.execute(
            "TRUNCATE pgjobs.jobs, pgjobs.dead_jobs RESTART IDENTITY",
            "DELETE FROM pgjobs.workers",
            "VACUUM pgjobs.queues",
        )

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
            yield Producer(connection)

    @asynccontextmanager
    async def asker(self) -> AsyncIterator[Callable[[int], int]]:
        with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
            yield lambda number: result(connection, enqueue(connection, answer, number), timeout=30)

    def worker(self, configuration: str) -> None:
        slots = os.environ.get("BENCH_SLOTS") or SLOTS[configuration]
        command = [
            *(sys.executable, "-m", "pgjobs", "work", "-q", QUEUE if slots is None else f"{QUEUE}:{slots}"),
            *("--processes", os.environ.get("BENCH_PROCESSES", "1"), "--import", "benchmarks.tasks"),
            *("--grace", str(GRACE), "--log-level", "warning"),
        ]
        os.execve(sys.executable, command, {**os.environ, "PGJOBS_DATABASE_URL": DATABASE_URL})


if __name__ == "__main__":
    serve(PgjobsDriver())
