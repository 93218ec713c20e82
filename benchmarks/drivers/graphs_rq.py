"""RQ on Redis: `depends_on`, for chains and for one job after many. Its worker is the one that does not fork."""

from __future__ import annotations

from benchmarks.drivers.graphs import serve
from benchmarks.drivers.protocol import REDIS_URL, ran
from redis import Redis
from rq import Queue, SimpleWorker

STEP = "benchmarks.drivers.graphs_rq.step"
QUEUE = "graphs"


def step(number: int) -> None:
    ran(number)


def fill(chains: int, length: int) -> None:
    queue = Queue(QUEUE, connection=Redis.from_url(REDIS_URL))
    for at in range(chains):
        job = None
        for number in range(length):
            job = queue.enqueue(STEP, at * length + number, depends_on=job)


def fan_in(steps: int) -> None:
    queue = Queue(QUEUE, connection=Redis.from_url(REDIS_URL))
    jobs = [queue.enqueue(STEP, number) for number in range(steps)]
    queue.enqueue(STEP, steps, depends_on=jobs)


def work() -> None:
    redis = Redis.from_url(REDIS_URL)
    SimpleWorker([Queue(QUEUE, connection=redis)], connection=redis).work(logging_level="ERROR")


if __name__ == "__main__":
    serve(fill, fan_in, work)
