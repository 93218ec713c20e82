"""Enqueue: one job per transaction, from 1, 16 or 64 connections at once; also while a worker takes them out again."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from benchmarks.running import START_SECONDS, Stand

# Clients: processes, connections of each, and jobs of all together.
SHAPES = {1: (1, 1, 1_000), 16: (4, 4, 4_000), 64: (4, 16, 8_000)}
BUSY_TIMES = 3  # times as many jobs with a worker at work: the first second, in which it was idle before, is not all
LIMIT = 90.0  # seconds


def enqueue(stand: Stand, clients: int, *, busy: bool = False) -> dict[str, Any]:
    """Measure it on empty tables; `busy`: with a worker at work.

    Raises:
        Failed: not in time.

    """
    processes, connections, jobs = SHAPES[clients]
    if busy:
        jobs *= BUSY_TIMES
    stand.empty()
    with ExitStack() as stack:
        workers = stack.enter_context(stand.workers()) if busy else None
        producers = stack.enter_context(stand.producers("enqueue", jobs, connections, processes=processes))
        if workers:
            workers.wait_for(clients, START_SECONDS)  # it has taken the jobs number -1: it is there
        server = stand.server_cpu()
        sent = producers.send(LIMIT)
        result = {
            "per_second": round(sent.per_second, 1),
            "jobs": sent.jobs,
            "cpu_contender_us": round(sent.cpu / sent.jobs * 1e6, 1),
        }
        if server is not None and (after := stand.server_cpu()) is not None:
            result["cpu_server_us"] = round((after - server) / sent.jobs * 1e6, 1)
        if workers:
            workers.wait_for(sent.jobs + clients, LIMIT)
        return result
