"""Backlog: how fast jobs run while N wait. Measured on the first 150,000, then the worker is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.growth import fill
from benchmarks.growth.curve import Options, Patience, Point, Series, drain, measure, series_of
from benchmarks.running import Stand

MEASURES = {"per_second": "drained, jobs/s"}
AT_MOST = 150_000


def backlog(stands: Sequence[Stand], options: Options) -> dict[str, Any]:
    """Measure it; where filling takes too long, the point is left out."""
    xs = [1_000, 10_000] if options.quick else [1_000, 10_000, 100_000, 1_000_000, 10_000_000]
    patience = Patience(options.fill_limit)

    def point(series: Series, waiting: int) -> Point:
        series.stand.empty()
        seconds = patience.fill(series, waiting, lambda: fill.due(series.stand.url, series.tables, waiting))
        return {**drain(series.stand, min(waiting, AT_MOST)), "fill_seconds": seconds}

    # The small ones are over in a moment, and take several rounds to say anything; the big ones take minutes to fill.
    series = series_of(stands)
    small = [x for x in xs if x <= AT_MOST]
    large = [x for x in xs if x > AT_MOST]
    lines = measure("backlog", series, small, MEASURES, point, rounds=1 if options.quick else 3)
    for line, more in zip(lines, measure("backlog", series, large, MEASURES, point), strict=True):
        line["points"] += more["points"]
    return {
        "title": "Jobs that wait",
        "x": "due jobs in the queue when the worker starts",
        "measures": MEASURES,
        "series": lines,
        "note": f"One worker process; the first {AT_MOST:,} of the backlog. The smallest are over within a fraction of "
        "a second, so that ratios are to the first that took half a second.",
    }
