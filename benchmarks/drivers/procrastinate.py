"""procrastinate through its public API: an `App` on psycopg, for each producer one with a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import procrastinate
import uvloop
from benchmarks.drivers import database
from benchmarks.drivers.protocol import DATABASE_URL, JOB_SECONDS, padding, ran, serve

PADDING = padding()

CONCURRENCY = {"default": 1, "30": 30}


def app(**pool: int) -> Any:
    return procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=DATABASE_URL, **pool))


def arguments(number: int) -> dict[str, Any]:
    return {"number": number, "padding": PADDING} if PADDING else {"number": number}


class Producer:
    def __init__(self, client: Any) -> None:
        self.task = client.configure_task("noop", queue="bench")

    async def one(self, number: int) -> None:
        await self.task.defer_async(**arguments(number))

    async def bulk(self, numbers: Sequence[int]) -> None:
        await self.task.batch_defer_async(*map(arguments, numbers))


class ProcrastinateDriver:
    async def setup(self) -> None:
        database.recreate()
        async with app().open_async() as opened:
            await opened.schema_manager.apply_schema_async()

    def reset(self) -> None:
        database.execute(
            "TRUNCATE procrastinate_jobs, procrastinate_events, procrastinate_workers RESTART IDENTITY CASCADE"
        )

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        async with app(min_size=1, max_size=1).open_async() as opened:
            yield Producer(opened)

    async def worker(self, configuration: str) -> None:
        async with app().open_async() as opened:
            opened.task(noop, name="noop", queue="bench")
            await opened.run_worker_async(shutdown_graceful_timeout=2.0, concurrency=CONCURRENCY[configuration])


async def noop(number: int, padding: str = "") -> None:
    ran(number)
    if JOB_SECONDS:
        await asyncio.sleep(JOB_SECONDS)


if __name__ == "__main__":
    from benchmarks.drivers.procrastinate import ProcrastinateDriver as Imported  # it warns of an `App` in `__main__`

    serve(Imported(), uvloop.run)
