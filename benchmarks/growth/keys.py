"""Keys: how fast the jobs of more and more limits, rates, sequences and tenants are run, beside plain ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.growth.curve import Options, Point, Series, measure
from benchmarks.limits import KINDS, PLAIN, Crew, drain
from benchmarks.running import Stand

MEASURES = {"per_second": "drained, jobs/s"}
JOBS = 20_000
FEWER = 20  # of one sequence there are this many times fewer jobs, and of one tight limit
LABELS = {
    "plain": PLAIN,
    "limit of 1,000": KINDS["concurrency"],
    "limit of 10": KINDS["tight"],
    "rate": KINDS["rate"],
    "sequence": KINDS["sequence"],
    "fairness": KINDS["fairness"],
}


def keys(stands: Sequence[Stand], options: Options) -> dict[str, Any]:
    """Measure it. No peer has all of these, so it is of pgjobs alone."""
    xs = [1, 100] if options.quick else [1, 100, 1_000, 10_000]
    ours = [stand for stand in stands if stand.contender.name == "pgjobs"]

    def point(series: Series, number: int) -> Point:
        kind = LABELS[series.label]
        slow = number == 1 and kind in (KINDS["sequence"], KINDS["tight"])
        jobs = JOBS // (FEWER if options.quick else 1) // (FEWER if slow else 1)
        return {"per_second": drain(series.stand.url, kind, number, jobs, Crew())}

    return {
        "title": "Keys of limits, sequences and tenants",
        "x": "keys among which the jobs are divided",
        "measures": MEASURES,
        "log": True,
        "series": measure(
            "keys",
            [Series(stand, label) for stand in ours for label in LABELS],
            xs,
            MEASURES,
            point,
            rounds=1 if options.quick else 3,
        ),
        "note": f"One worker process with 20 slots drains {JOBS:,} jobs that do nothing ({JOBS // FEWER:,} of one "
        "sequence, and of one limit of ten). From the first start to the last end, by PostgreSQL's clock.",
    }
