"""Job time and executor: jobs of 0, 1, 10 and 100 ms, in threads, on the event loop, in processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.contender import Configuration
from benchmarks.contenders import ASYNC, PROCESS
from benchmarks.growth import fill
from benchmarks.growth.curve import Options, Point, Series, drain, measure, take_sample
from benchmarks.running import Stand

MEASURES = {"per_second": "jobs/s"}
SLOTS = 20
SECONDS = 6  # that a point takes at the best possible rate
AT_MOST = 80_000  # jobs
LIMIT = 15.0  # seconds from the first job; then what has run is what counts
WARM_UP = 0.5  # of the jobs: child processes start one after another


def job_time(stands: Sequence[Stand], options: Options) -> dict[str, Any]:
    """Measure it."""
    xs = [0, 1, 10, 100]

    def point(series: Series, milliseconds: int) -> Point:
        stand = series.stand.with_variables(BENCH_JOB_MS=milliseconds)
        jobs = jobs_of(milliseconds) // (20 if options.quick else 1)
        take_sample(stand)
        fill.due(stand.url, series.tables, max(100, jobs))
        return drain(stand, max(100, jobs), seconds=LIMIT, warm_up=WARM_UP)

    lines = [line for stand in stands for line in kinds(stand)]
    return {
        "title": f"Time that a job takes, {SLOTS} at once",
        "x": "ms that each job sleeps",
        "measures": MEASURES,
        "log": True,
        "compare": "limit",
        "series": measure("job_time", lines, xs, MEASURES, point),
        "limits": [
            {
                "label": f"{SLOTS} slots ÷ time of a job",
                "of": "pgjobs",
                "points": [{"x": x, "per_second": SLOTS * 1000 / x} for x in xs if x],
            }
        ],
        "note": f"The second half of {SECONDS} s worth of jobs (of {AT_MOST:,} that take no time), one worker process. "
        f"With {SLOTS} slots, {SLOTS} ÷ time is the most that is possible. The peers run at their best settings: "
        "graphile-worker 24 at a time, PgQueuer as many as it has fetched.",
    }


def jobs_of(milliseconds: int) -> int:
    """Return the number of jobs for a point: some seconds' worth."""
    return min(AT_MOST, SLOTS * 1000 * SECONDS // milliseconds) if milliseconds else AT_MOST


def kinds(stand: Stand) -> list[Series]:
    """Return the ways in which a contender can run jobs: three of ours; the others have one."""
    title = stand.contender.title
    if stand.contender.name != "pgjobs":
        return [Series(stand, f"{title} ({stand.configuration.settings.split(',')[0]})")]
    ours = [
        (stand.configuration.name, "threads"),
        (ASYNC.name, "event loop"),
        (PROCESS.name, "processes"),
    ]
    return [
        Series(
            replace(stand, configuration=Configuration(name, f"{SLOTS} slots, {kind}")).with_variables(
                BENCH_SLOTS=SLOTS
            ),
            f"{title}, {kind}",
        )
        for name, kind in ours
    ]
