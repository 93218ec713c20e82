"""Queues: how fast the jobs of one queue are enqueued and run while others hold jobs that no worker serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.growth import fill
from benchmarks.growth.curve import SEND_SECONDS, Options, Point, Series, drain, measure, series_of
from benchmarks.running import Stand

MEASURES = {"per_second": "drained, jobs/s", "enqueue_per_second": "enqueued, one per transaction, jobs/s"}


def queues(stands: Sequence[Stand], options: Options) -> dict[str, Any]:
    """Measure it."""
    xs = [1, 100] if options.quick else [1, 100, 10_000]
    jobs = 3_000 if options.quick else 50_000
    sent = 200 if options.quick else 3_000

    def point(series: Series, number: int) -> Point:
        stand = series.stand
        stand.empty()
        fill.due(stand.url, series.tables, jobs, queues=number, each=each(number))
        figures = drain(stand, jobs)
        with stand.producers("enqueue", sent, 1) as producers:
            enqueued = producers.send(SEND_SECONDS)
        return {**figures, "enqueue_per_second": enqueued.per_second, "waiting_elsewhere": (number - 1) * each(number)}

    return {
        "title": "Queues that hold jobs",
        "x": "queues in the table, one of which is worked",
        "measures": MEASURES,
        "series": measure("queues", series_of(stands), xs, MEASURES, point, rounds=1 if options.quick else 2),
        "note": f"One worker process drains {jobs:,} jobs of one queue. 100 jobs wait in each of the others (10 in "
        "each of 10,000), which came in during the same time as the worked ones. A queue is an entrypoint of PgQueuer "
        "and a task identifier of graphile-worker, whose named queues are something else: they run one job at a time.",
    }


def each(number: int) -> int:
    """Return how many jobs wait in each queue that is not worked."""
    return 100 if number < 10_000 else 10
