"""Celery on Redis through its public API: `apply_async`, and the command `celery worker`. Results are kept where
they are asked for.

It has no call for many jobs at once: `bulk` is one after the other on one connection.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.drivers.protocol import ANSWERS, JOB_SECONDS, REDIS_URL, padding, ran, serve
from celery import Celery

PADDING = padding()
FASTEST = "BENCH_CELERY"  # for the worker's processes: whether the settings of the guide to optimizing are wanted

app = Celery("bench", broker=REDIS_URL)
app.conf.task_ignore_result = not ANSWERS
app.conf.result_backend = REDIS_URL if ANSWERS else None
app.conf.broker_connection_retry_on_startup = True
if os.environ.get(FASTEST):
    app.conf.worker_prefetch_multiplier = 128
    app.conf.worker_disable_rate_limits = True

CONFIGURATIONS: dict[str, list[str]] = {
    "default": [],
    "prefork": ["--without-gossip", "--without-mingle", "--without-heartbeat"],
}


@app.task(name="noop")
def noop(number: int, padding: str = "") -> None:
    ran(number)
    time.sleep(JOB_SECONDS)


@app.task(name="answer")
def answer(number: int) -> int:
    return number


class Producer:
    def __init__(self, producer: Any) -> None:
        self.producer = producer

    def one(self, number: int) -> None:
        noop.apply_async((number, PADDING) if PADDING else (number,), producer=self.producer)

    def bulk(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.one(number)


class CeleryDriver:
    def setup(self) -> None:
        self.reset()

    def reset(self) -> None:
        with app.connection_for_write() as connection:
            connection.default_channel.client.flushdb()

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        with app.connection_for_write() as connection:
            yield Producer(app.amqp.Producer(connection))

    @asynccontextmanager
    async def asker(self) -> AsyncIterator[Callable[[int], Any]]:
        with app.connection_for_write() as connection:
            producer = app.amqp.Producer(connection)
            yield lambda number: answer.apply_async((number,), producer=producer).get(timeout=30)

    def worker(self, configuration: str) -> None:
        if configuration != "default":
            os.environ[FASTEST] = "1"
        processes = os.environ.get("BENCH_PROCESSES", "1")
        command = ["celery", "--app", "benchmarks.drivers.celery", "worker", "--loglevel", "ERROR"]
        command += ["--concurrency", processes, "--hostname", f"bench-{os.getpid()}@%h", *CONFIGURATIONS[configuration]]
        os.execv(sys.executable, [sys.executable, "-m", *command])


if __name__ == "__main__":
    serve(CeleryDriver())
