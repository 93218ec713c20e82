"""dramatiq on Redis through its public API: messages to a `RedisBroker`, and the command `dramatiq`.

It has no call for many jobs at once: `bulk` is one after the other on one connection.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import dramatiq
from benchmarks.drivers.protocol import JOB_SECONDS, REDIS_URL, padding, ran, serve
from dramatiq.brokers.redis import RedisBroker

PADDING = padding()
QUEUE = "default"

# Threads, and how many jobs a process prefetches (its default: twice as many as it has threads).
CONFIGURATIONS = {"default": ("8", ""), "prefetch": ("16", "100")}

broker = RedisBroker(url=REDIS_URL)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=QUEUE)
def noop(number: int, padding: str = "") -> None:
    ran(number)
    time.sleep(JOB_SECONDS)


class Producer:
    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def one(self, number: int) -> None:
        self.connection.enqueue(noop.message(number, PADDING) if PADDING else noop.message(number))

    def bulk(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.one(number)


class DramatiqDriver:
    def setup(self) -> None:
        self.reset()

    def reset(self) -> None:
        broker.client.flushdb()

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        connection = RedisBroker(url=REDIS_URL)
        connection.declare_queue(QUEUE)
        yield Producer(connection)
        connection.close()

    def worker(self, configuration: str) -> None:
        command = ["dramatiq", "benchmarks.drivers.dramatiq", "--processes", os.environ.get("BENCH_PROCESSES", "1")]
        threads, prefetch = CONFIGURATIONS[configuration]
        command += ["--threads", threads, "--worker-shutdown-timeout", "2000"]
        environment = dict(os.environ, dramatiq_queue_prefetch=prefetch) if prefetch else dict(os.environ)
        os.execve(sys.executable, [sys.executable, "-m", *command], environment)


if __name__ == "__main__":
    serve(DramatiqDriver())
