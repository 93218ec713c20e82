"""History: how fast 100,000 jobs run while N finished ones are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.growth import fill
from benchmarks.growth.curve import Options, Patience, Point, Series, Skipped, drain, measure, series_of
from benchmarks.running import Stand

MEASURES = {"per_second": "drained, jobs/s"}


def history(stands: Sequence[Stand], options: Options) -> dict[str, Any]:
    """Measure it. A contender that keeps no finished jobs has only the first point."""
    xs = [0, 10_000] if options.quick else [0, 100_000, 1_000_000, 10_000_000]
    jobs = 3_000 if options.quick else 100_000
    patience = Patience(options.fill_limit)

    def point(series: Series, kept: int) -> Point:
        if kept and series.tables.finish is None:
            raise Skipped("it deletes a job when it is finished")
        url, tables = series.stand.url, series.tables
        series.stand.empty()
        seconds = patience.fill(series, kept, lambda: fill.finished(url, tables, kept))
        fill.due(url, tables, jobs)
        return {**drain(series.stand, jobs), "fill_seconds": seconds}

    small = [x for x in xs if x <= 1_000_000]
    large = [x for x in xs if x > 1_000_000]
    lines = measure("history", series_of(stands), small, MEASURES, point, rounds=1 if options.quick else 2)
    for line, more in zip(lines, measure("history", series_of(stands), large, MEASURES, point), strict=True):
        line["points"] += more["points"]
    return {
        "title": "Finished jobs that are kept",
        "x": "finished jobs in the tables",
        "measures": MEASURES,
        "series": lines,
        "note": f"One worker process drains {jobs:,} jobs. PgQueuer keeps three rows of a job in its log (queued, "
        "picked, successful), without its payload; graphile-worker keeps nothing.",
    }
