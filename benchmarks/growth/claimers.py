"""Claimers: how fast a queue is drained by N worker processes at once, most of them more than there are cores.

They are started first, on an empty queue: starting 64 processes takes longer than draining it. Then all jobs come in
with one transaction, and one more through the contender's own enqueue, which wakes those that wait for a notification.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.growth import fill
from benchmarks.growth.curve import SEND_SECONDS, Options, Point, Series, measure, run, series_of, wait_until_started
from benchmarks.running import Stand

MEASURES = {"per_second": "drained, jobs/s"}
LIMIT = 120.0  # seconds for the drain
MANY = 8  # processes; with more of them a point takes long, and is measured once, and with more jobs


def claimers(stands: Sequence[Stand], options: Options) -> dict[str, Any]:
    """Measure it."""
    xs = [1, 4] if options.quick else [1, 2, 4, 8, 16, 32, 64]
    few, many = (3_000, 3_000) if options.quick else (100_000, 300_000)

    def point(series: Series, processes: int) -> Point:
        stand = series.stand
        jobs = few if processes <= MANY else many
        stand.empty()
        with stand.producers("enqueue", 1, 1) as producers, stand.workers(processes) as workers:
            connections = wait_until_started(stand, workers, processes)
            before = workers.count()
            fill.due(stand.url, series.tables, jobs, quietly=False)
            producers.send(SEND_SECONDS)
            return {**run(workers, jobs + before, LIMIT), "connections": connections}

    lines = measure(
        "claimers", series_of(stands), [x for x in xs if x <= MANY], MEASURES, point, rounds=1 if options.quick else 2
    )
    more = measure("claimers", series_of(stands), [x for x in xs if x > MANY], MEASURES, point)
    for line, others in zip(lines, more, strict=True):
        line["points"] += others["points"]
    return {
        "title": "Worker processes at once",
        "x": "worker processes on this machine",
        "measures": MEASURES,
        "series": lines,
        "note": f"The processes are up and idle when {few:,} jobs come in at once ({many:,} from 16 processes on).",
    }
