"""Celery's canvas on Redis: `chain`, and `chord`, which needs a backend for results. Nothing is passed on."""

from __future__ import annotations

import os
import sys

from benchmarks.drivers.graphs import serve
from benchmarks.drivers.protocol import REDIS_URL, ran
from celery import Celery, chain, chord

app = Celery("graphs", broker=REDIS_URL, backend=REDIS_URL)
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = 128
app.conf.worker_disable_rate_limits = True


@app.task(name="step")
def step(number: int) -> None:
    ran(number)


def fill(chains: int, length: int) -> None:
    for at in range(chains):
        chain(*(step.si(at * length + number) for number in range(length))).apply_async()
    os._exit(0)  # the results would take back what they subscribed to, one by one, while Python shuts down


def fan_in(steps: int) -> None:
    chord([step.si(number) for number in range(steps)], step.si(steps)).apply_async()
    os._exit(0)  # as above


def work() -> None:
    command = ["celery", "--app", "benchmarks.drivers.graphs_celery", "worker", "--loglevel", "ERROR", "--concurrency"]
    os.execv(
        sys.executable,
        [sys.executable, "-m", *command, "2", "--without-gossip", "--without-mingle", "--without-heartbeat"],
    )


if __name__ == "__main__":
    serve(fill, fan_in, work)
