"""PgQueuer through its public API: `PgQueuer` for the worker, `Queries` for the producer, on asyncpg and uvloop.

So does the project's own benchmark; its checklist for performance also wants one connection for a worker, and the
autovacuum settings, which are therefore part of `setup`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pgqueuer
import uvloop
from benchmarks.drivers import database
from benchmarks.drivers.protocol import DATABASE_URL, JOB_SECONDS, padding, ran, serve
from pgqueuer.core.completion import CompletionWatcher
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

PADDING = padding()

BATCHES = {"default": 10, "500": 500}


# By default it collects notifications for 50 ms before it looks.
WATCHING: dict[str, dict[str, Any]] = {"default": {}, "500": {"debounce": timedelta(0)}}
CONFIGURATION = os.environ.get("BENCH_CONFIGURATION", "default")


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

    @asynccontextmanager
    async def asker(self) -> AsyncIterator[Callable[[int], Any]]:
        connection = await asyncpg.connect(DATABASE_URL)
        queries = Queries.from_asyncpg_connection(connection)
        listening = await asyncpg.connect(DATABASE_URL)
        watching = CompletionWatcher(AsyncpgDriver(listening), queries=queries, **WATCHING[CONFIGURATION])

        async def ask(number: int) -> int | None:
            (job,) = await queries.enqueue("noop", payload(number))
            return number if await watcher.wait_for(job) == "successful" else None

        async with watching as watcher:
            yield ask
        await listening.close()
        await connection.close()

    async def worker(self, configuration: str) -> None:
        connection = await asyncpg.connect(DATABASE_URL)
        queue = pgqueuer.PgQueuer.from_asyncpg_connection(connection)
        queue.entrypoint("noop")(noop)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queue.shutdown.set)
        await queue.run(batch_size=BATCHES[configuration])
        await connection.close()


async def noop(job: Any) -> None:
    ran(int(job.payload.split(b" ", 1)[0]))
    if JOB_SECONDS:
        await asyncio.sleep(JOB_SECONDS)


if __name__ == "__main__":
    serve(PgQueuerDriver(), uvloop.run)
