"""RQ through its public API: `Queue` for producers, `Worker` and `SimpleWorker`. Finished jobs are kept for 500 s."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.drivers.protocol import JOB_SECONDS, REDIS_URL, padding, ran, serve
from redis import Redis
from rq import Queue, SimpleWorker, Worker

PADDING = padding()
QUEUE = "bench"
NOOP = "benchmarks.drivers.rq.noop"  # by name: in the process that enqueues, this module is called "__main__"

ANSWER = "benchmarks.drivers.rq.answer"

CONFIGURATIONS: dict[str, Any] = {"default": Worker, "simple": SimpleWorker}


def noop(number: int, padding: str = "") -> None:
    ran(number)
    time.sleep(JOB_SECONDS)


def answer(number: int) -> int:
    return number


def arguments(number: int) -> tuple[Any, ...]:
    return (number, PADDING) if PADDING else (number,)


class Producer:
    def __init__(self, redis: Any) -> None:
        self.redis = redis
        self.queue = Queue(QUEUE, connection=redis)

    def one(self, number: int) -> None:
        self.queue.enqueue(NOOP, *arguments(number))

    def bulk(self, numbers: Sequence[int]) -> None:
        with self.redis.pipeline() as pipeline:
            self.queue.enqueue_many([Queue.prepare_data(NOOP, arguments(n)) for n in numbers], pipeline=pipeline)
            pipeline.execute()


class RqDriver:
    def setup(self) -> None:
        self.reset()

    def reset(self) -> None:
        Redis.from_url(REDIS_URL).flushdb()

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Producer]:
        with Redis.from_url(REDIS_URL) as redis:
            yield Producer(redis)

    @asynccontextmanager
    async def asker(self) -> AsyncIterator[Callable[[int], Any]]:
        with Redis.from_url(REDIS_URL) as redis:
            queue = Queue(QUEUE, connection=redis)
            # Its one call that blocks on the server; the others have to be repeated.
            yield lambda number: queue.enqueue(ANSWER, number).latest_result(timeout=30).return_value

    def worker(self, configuration: str) -> None:
        redis = Redis.from_url(REDIS_URL)
        worker = CONFIGURATIONS[configuration]([Queue(QUEUE, connection=redis)], connection=redis)
        worker.work(logging_level="ERROR")


if __name__ == "__main__":
    serve(RqDriver())
