"""chancy through its public API. How jobs are run is a setting of the queue, so a worker declares it when it starts.

Its default runs plain functions in child processes, its fastest way coroutines; which of the two `noop` is, the job's
row does not say, but the processes that import this module: a worker, and those that it starts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import chancy
from benchmarks.drivers import database
from benchmarks.drivers.protocol import DATABASE_URL, JOB_SECONDS, padding, ran, serve

PADDING = padding()
HERE = "benchmarks.drivers.chancy"
CONFIGURATION = "BENCH_CHANCY"  # of the worker, for the processes that it starts

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "async-500": {
        "executor": "chancy.executors.asyncex.AsyncExecutor",
        "concurrency": 500,
        "eager_polling": True,
    },
}


def job(number: int) -> Any:
    return chancy.Job(
        func=f"{HERE}.noop", kwargs={"number": number, "padding": PADDING} if PADDING else {"number": number}
    )


class Producer:
    def __init__(self, client: Any) -> None:
        self.client = client

    async def one(self, number: int) -> None:
        await self.client.push(job(number))

    async def bulk(self, numbers: Sequence[int]) -> None:
        async for _ in self.client.push_many([job(number) for number in numbers], batch_size=len(numbers)):
            pass


class ChancyDriver:
    async def setup(self) -> None:
        database.recreate()
        async with chancy.Chancy(DATABASE_URL) as client:
            await client.migrate()

    def reset(self) -> None:
        database.execute("TRUNCATE chancy_jobs, chancy_workers")

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        async with chancy.Chancy(DATABASE_URL, min_connection_pool_size=1, max_connection_pool_size=1) as client:
            yield Producer(client)

    async def worker(self, configuration: str) -> None:
        os.environ[CONFIGURATION] = configuration
        quiet = logging.getLogger("bench")  # its own says a line for each job
        quiet.setLevel(logging.WARNING)
        async with chancy.Chancy(DATABASE_URL, log=quiet) as client:
            await client.declare(chancy.Queue("default", **CONFIGURATIONS[configuration]), upsert=True)
            async with chancy.Worker(client, shutdown_timeout=2) as worker:
                await worker.wait_for_shutdown()


async def noop_async(*, number: int, padding: str = "") -> None:
    ran(number)
    if JOB_SECONDS:
        await asyncio.sleep(JOB_SECONDS)


def noop_plain(*, number: int, padding: str = "") -> None:
    ran(number)
    time.sleep(JOB_SECONDS)


noop = noop_async if os.environ.get(CONFIGURATION, "").startswith("async") else noop_plain


if __name__ == "__main__":
    serve(ChancyDriver())
