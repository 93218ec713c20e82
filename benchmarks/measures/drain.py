"""Drain: the queue is full, the workers start, and run until nothing is left. With it bulk, and what a job costs.

From the time at which the first job ran to the moment when the tables have no unfinished job left. A job costs
what was spent from before the bulk enqueue to after the last acknowledgement; what starting a process takes is left
out of the CPU seconds (they are counted from the first job, or from the producer's start signal), because a worker
starts once.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from benchmarks.counters import Counters, Watch
from benchmarks.measures.bulk import fill
from benchmarks.running import Failed, Stand, Workers

LIMIT = 90.0  # seconds


def drain(stand: Stand, jobs: int, processes: int = 1) -> dict[str, Any]:
    """Fill an empty queue and drain it.

    Raises:
        Failed: not in time, or a job did not run.

    """
    stand.empty()
    with ExitStack() as stack:
        watch = stack.enter_context(stand.watch()) if stand.contender.pending else None
        before = watch.counters() if watch else None
        server = stand.server_cpu()
        sent = fill(stand, jobs)
        server_filled = _since(stand, server)
        filled = watch.counters() if watch else None
        stand.settle()
        settled = watch.counters() if watch else None
        with stand.workers(processes) as workers:
            server, own, ended = _work(stand, workers, sent.jobs + 1, watch)
            ran = workers.ran()
        drained = watch.counters() if watch else None
    seconds = (ended - ran[0][1]) / 1e9
    cpu = _cpu(sent.cpu + own, None if server is None or server_filled is None else server + server_filled)
    return {
        "per_second": round(len(ran) / seconds, 1),
        "seconds": round(seconds, 3),
        **check(ran, sent.jobs),
        "bulk_per_second": round(sent.per_second, 1),
        "cost": {
            name: round(value / sent.jobs, 4)
            for name, value in {**cpu, **_database_cost(before, filled, settled, drained)}.items()
        },
    }


def _work(stand: Stand, workers: Workers, jobs: int, watch: Watch | None) -> tuple[float | None, float, int]:
    """Return the CPU seconds of the server and of the workers, and when the last job was finished (ns)."""
    workers.wait_for(1, LIMIT)
    server, own = stand.server_cpu(), workers.cpu_seconds()
    ended = workers.wait_until_done(jobs, LIMIT, watch)
    return _since(stand, server), workers.cpu_seconds() - own, ended


def _since(stand: Stand, before: float | None) -> float | None:
    after = stand.server_cpu()
    return None if before is None or after is None else after - before


def _cpu(contender: float, server: float | None) -> dict[str, float]:
    """Return CPU in microseconds."""
    if server is None:
        return {"cpu_contender_us": contender * 1e6}
    together = (contender + server) * 1e6
    return {"cpu_contender_us": contender * 1e6, "cpu_server_us": server * 1e6, "cpu_us": together}


def _database_cost(*readings: Counters | None) -> dict[str, float]:
    before, filled, settled, drained = readings
    if before is None or filled is None or settled is None or drained is None:
        return {}
    first, second = filled - before, drained - settled
    return {
        "wal_bytes": first.wal + second.wal,
        "commits": first.commits + second.commits,
        "dead_rows": first.dead_rows + second.dead_rows,
    }


def check(ran: list[tuple[int, int]], jobs: int) -> dict[str, int]:
    """Count how many of the jobs 0 … jobs - 1 ran, and how many more than once.

    Raises:
        Failed: some did not run.

    """
    numbers = [number for number, _ in ran if number >= 0]
    distinct = len(set(numbers))
    if distinct < jobs:
        raise Failed(f"{jobs - distinct:,} of {jobs:,} jobs never ran")
    return {"jobs": jobs, "ran": len(numbers), "distinct": distinct, "twice": len(numbers) - distinct}
