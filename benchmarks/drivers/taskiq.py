"""taskiq on Redis through its public API: `kiq`, and the command `taskiq worker`, which takes uvloop if it is there.

The broker is the one on streams: that on lists is without acknowledgements. It has no call for many jobs at once:
`bulk` sends them concurrently.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis
import uvloop
from benchmarks.drivers.protocol import JOB_SECONDS, REDIS_URL, padding, ran, serve
from taskiq_redis import RedisStreamBroker

PADDING = padding()

CONFIGURATIONS: dict[str, list[str]] = {
    "default": [],
    "500": ["--max-async-tasks", "500", "--max-prefetch", "500"],
}

broker = RedisStreamBroker(REDIS_URL)


@broker.task(task_name="noop")
async def noop(number: int, padding: str = "") -> None:
    ran(number)
    if JOB_SECONDS:
        await asyncio.sleep(JOB_SECONDS)


class Producer:
    def __init__(self, connection: Any) -> None:
        self.task = noop.kicker().with_broker(connection)

    async def one(self, number: int) -> None:
        await (self.task.kiq(number, PADDING) if PADDING else self.task.kiq(number))

    async def bulk(self, numbers: Sequence[int]) -> None:
        await asyncio.gather(*(self.one(number) for number in numbers))


class TaskiqDriver:
    def setup(self) -> None:
        self.reset()

    def reset(self) -> None:
        redis.Redis.from_url(REDIS_URL).flushdb()

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        connection = RedisStreamBroker(REDIS_URL)
        await connection.startup()
        yield Producer(connection)
        await connection.shutdown()

    def worker(self, configuration: str) -> None:
        command = ["taskiq", "worker", "benchmarks.drivers.taskiq:broker", "--log-level", "ERROR"]
        command += ["--workers", os.environ.get("BENCH_PROCESSES", "1"), "--shutdown-timeout", "2"]
        os.execv(sys.executable, [sys.executable, "-m", *command, *CONFIGURATIONS[configuration]])


if __name__ == "__main__":
    serve(TaskiqDriver(), uvloop.run)
