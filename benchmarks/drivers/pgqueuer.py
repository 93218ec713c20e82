"""PgQueuer through its public API: `PgQueuer` for the worker, `Queries` for the producer, on asyncpg and uvloop.

So does the project's own benchmark; its checklist for performance also wants one connection for a worker, and the
autovacuum settings, which are therefore part of `setup`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pgqueuer
import uvloop
from benchmarks.drivers import database
from benchmarks.drivers.protocol import DATABASE_URL, JOB_SECONDS, padding, ran, serve
from pgqueuer.queries import Queries

PADDING = padding()

# How many consumers share the process, and how many jobs each takes at a time.
CONFIGURATIONS = {
    "default": (1, 10),
    "5x10": (5, 10),
    "100": (1, 100),
    "500": (1, 500),
    "2000": (1, 2000),
    "5x100": (5, 100),
    "2x500": (2, 500),
}


def payload(number: int) -> bytes:
    return f"{number} {PADDING}".encode()


class Producer:
    def __init__(self, queries: Any) -> None:
        self.queries = queries

    async def one(self, number: int) -> None:
        await self.queries.enqueue("noop", payload(number))

    async def bulk(self, numbers: Sequence[int]) -> None:
        await self.queries.enqueue(["noop"] * len(numbers), [payload(n) for n in numbers], [0] * len(numbers))


class PgQueuerDriver:
    async def setup(self) -> None:
        database.recreate()
        connection = await asyncpg.connect(DATABASE_URL)
        queries = Queries.from_asyncpg_connection(connection)
        await queries.install()
        await queries.optimize_autovacuum()
        await connection.close()

    def reset(self) -> None:
        database.execute("TRUNCATE pgqueuer, pgqueuer_log, pgqueuer_statistics RESTART IDENTITY")

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        connection = await asyncpg.connect(DATABASE_URL)
        yield Producer(Queries.from_asyncpg_connection(connection))
        await connection.close()

    async def worker(self, configuration: str) -> None:
        consumers, batch = CONFIGURATIONS[configuration]
        loop = asyncio.get_running_loop()
        queues = []
        for _ in range(consumers):
            queue = pgqueuer.PgQueuer.from_asyncpg_connection(await asyncpg.connect(DATABASE_URL))
            queue.entrypoint("noop")(noop)
            queues.append(queue)
        loop.add_signal_handler(signal.SIGTERM, lambda: [queue.shutdown.set() for queue in queues])
        await asyncio.gather(*(queue.run(batch_size=batch) for queue in queues))


async def noop(job: Any) -> None:
    ran(int(job.payload.split(b" ", 1)[0]))
    if JOB_SECONDS:
        await asyncio.sleep(JOB_SECONDS)


if __name__ == "__main__":
    serve(PgQueuerDriver(), uvloop.run)
