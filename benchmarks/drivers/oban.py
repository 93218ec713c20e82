"""oban-py through its public API: `Oban` as a client for producers and with queues for workers; uvloop, as its CLI."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import oban
import uvloop
from benchmarks.drivers import database
from benchmarks.drivers.protocol import DATABASE_URL, JOB_SECONDS, padding, ran, serve
from oban.schema import install

PADDING = padding()

LIMITS = {"default": 10, "500": 500}
names = itertools.count()


class Body:
    async def process(self, job: Any) -> None:
        ran(job.args["number"])
        if JOB_SECONDS:
            await asyncio.sleep(JOB_SECONDS)


Noop: Any = oban.worker(queue="default")(Body)


def job(number: int) -> Any:
    return Noop.new({"number": number, "padding": PADDING} if PADDING else {"number": number})


class Producer:
    def __init__(self, client: Any) -> None:
        self.client = client

    async def one(self, number: int) -> None:
        await self.client.enqueue(job(number))

    async def bulk(self, numbers: Sequence[int]) -> None:
        await self.client.enqueue_many(job(number) for number in numbers)


class ObanDriver:
    async def setup(self) -> None:
        database.recreate()
        pool = await oban.Oban.create_pool(DATABASE_URL)
        await install(pool)
        await pool.close()

    def reset(self) -> None:
        database.execute("TRUNCATE oban_jobs, oban_producers, oban_leaders RESTART IDENTITY")

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        pool = await oban.Oban.create_pool(DATABASE_URL, min_size=1, max_size=1)
        yield Producer(oban.Oban(pool=pool, name=f"client {next(names)}"))
        await pool.close()

    async def worker(self, configuration: str) -> None:
        pool = await oban.Oban.create_pool(DATABASE_URL)
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        async with oban.Oban(pool=pool, queues={"default": LIMITS[configuration]}, shutdown_grace_period=2.0):
            await stopped.wait()
        await pool.close()


if __name__ == "__main__":
    serve(ObanDriver(), uvloop.run)
