"""awa through its Python API: `AsyncClient`, whose runtime and connections are Rust.

It has some two hundred tables, and not all are empty at the beginning. So `setup` keeps a copy of the new database,
and `reset` makes the database anew from the copy: connections to it are closed. (Its own way to reset takes seconds.)
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import awa
from benchmarks.drivers import database
from benchmarks.drivers.protocol import DATABASE_URL, JOB_SECONDS, padding, ran, serve

PADDING = padding()
QUEUE = "default"

# What `start` is told of the queue.
CONFIGURATIONS: dict[str, Any] = {
    "default": (QUEUE, 10),
    "1024": {"name": QUEUE, "max_workers": 1024, "claim_batch_size": 512},
}


@dataclass
class Noop:
    number: int
    padding: str = PADDING


class Producer:
    def __init__(self, client: Any) -> None:
        self.client = client

    async def one(self, number: int) -> None:
        await self.client.insert(Noop(number), queue=QUEUE)

    async def bulk(self, numbers: Sequence[int]) -> None:
        await self.client.enqueue_many_copy([Noop(number) for number in numbers], queue=QUEUE)


class AwaDriver:
    async def setup(self) -> None:
        database.recreate()
        client = awa.AsyncClient(DATABASE_URL)
        await client.migrate()
        await client.install_queue_storage(schema="awa", reset=True)  # else the first worker would begin with it
        await client.close()
        database.keep_copy()

    def reset(self) -> None:
        database.restore_copy()

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        client = awa.AsyncClient(DATABASE_URL, max_connections=1)
        yield Producer(client)
        await client.close()

    async def worker(self, configuration: str) -> None:
        client = awa.AsyncClient(DATABASE_URL, max_connections=20)
        client.task(Noop, queue=QUEUE)(noop)
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        await client.start([CONFIGURATIONS[configuration]])
        await stopped.wait()
        await client.shutdown(timeout_ms=2000)
        await client.close()


async def noop(job: Any) -> None:
    ran(job.args.number)
    if JOB_SECONDS:
        await asyncio.sleep(JOB_SECONDS)


if __name__ == "__main__":
    serve(AwaDriver())
