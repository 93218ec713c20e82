"""Payload: how fast jobs of 100 B, 10 kB and 1 MB are enqueued in bulk, and finished.

A worker may claim all of the large ones at once, before the first of them runs. So the clock of the drain starts when
the jobs are there for an idle worker to see, and stops when all are finished.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.growth import fill
from benchmarks.growth.curve import (
    SEND_SECONDS,
    Options,
    Point,
    Series,
    measure,
    series_of,
    take_sample,
    wait_until_started,
)
from benchmarks.running import Stand

MEASURES = {"per_second": "finished, jobs/s", "enqueue_per_second": "enqueued in bulk, jobs/s"}
# Jobs of each size, and how many go into one call: less than 8 MB.
JOBS = {100: (50_000, 1_000), 10_000: (10_000, 500), 1_000_000: (300, 5)}
LIMIT = 120.0  # seconds for a drain


def payload(stands: Sequence[Stand], options: Options) -> dict[str, Any]:
    """Measure it."""

    def point(series: Series, size: int) -> Point:
        jobs, batch = JOBS[size]
        jobs = max(20, jobs // 20) if options.quick else jobs
        stand = series.stand.with_variables(BENCH_PAYLOAD=size)
        stand.empty()
        with stand.producers("bulk", jobs, batch) as producers:
            sent = producers.send(SEND_SECONDS)
        return {**_finish(series, stand, jobs), "enqueue_per_second": sent.per_second, "batch": batch}

    return {
        "title": "Size of the payload",
        "x": "bytes in each job besides its number",
        "measures": MEASURES,
        "log": True,
        "compare": "bytes",
        "series": measure("payload", series_of(stands), list(JOBS), MEASURES, point, rounds=1 if options.quick else 2),
        "note": "Random letters, so that compression gains nothing. Bulk by one client, in calls of 1,000, 500 and 5. "
        "Finished: from the moment when the jobs are there for an idle worker process until all are done.",
    }


def _finish(series: Series, stand: Stand, jobs: int) -> Point:
    take_sample(stand)
    # The one that wakes the worker is a small one.
    with series.stand.producers("enqueue", 1, 1) as producers, stand.workers() as workers, stand.watch() as watch:
        wait_until_started(stand, workers, 1)
        fill.due(stand.url, series.tables, jobs, quietly=False)
        started = time.time_ns()
        producers.send(SEND_SECONDS)
        ended = workers.wait_until_done(jobs + 2, LIMIT, watch)
    seconds = (ended - started) / 1e9
    return {"per_second": jobs / seconds, "seconds": round(seconds, 3), "ran": jobs}
