"""Blocked lanes: how long a job with room waits while many others wait behind a limit that lets none through."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from benchmarks.common import worker
from benchmarks.growth.curve import Options, Point, Series, measure
from benchmarks.limit_tasks import noop
from benchmarks.running import Stand

from pgjobs import enqueue, enqueue_many
from pgjobs.admin import remove_limit, set_limit, set_queue_aging
from pgjobs.flow.limits import LimitSettings

MEASURES = {"p50_ms": "p50 until a job with room starts, ms", "p99_ms": "p99, ms"}
NEVER = "never"  # the limit that lets none through
TRIES = 200
PAUSE = 0.03  # seconds between two jobs with room
SETTLED = 2.0  # seconds in which a worker meets what is blocked
WAITED = """
    SELECT extract(epoch FROM started_at - enqueued_at)::float8 * 1000 FROM pgjobs.jobs
    WHERE status = 'completed' ORDER BY 1
"""
WORSE, BETTER, AGING = "in a worse priority", "in a better priority", "in a better priority, with aging"


def blocked(stands: Sequence[Stand], options: Options) -> dict[str, Any]:
    """Measure it."""
    xs = [0, 100] if options.quick else [0, 1_000, 10_000, 30_000]
    tries = TRIES // 10 if options.quick else TRIES
    ours = [stand for stand in stands if stand.contender.name == "pgjobs"]

    def point(series: Series, lanes: int) -> Point:
        with psycopg.connect(series.stand.url, autocommit=True) as conn:
            try:
                return _point(conn, series, lanes, tries)
            finally:
                set_queue_aging(conn, "default", None)
                remove_limit(conn, NEVER)

    return {
        "title": "Lanes without room",
        "x": "lanes that wait behind a limit of 0",
        "measures": MEASURES,
        "series": measure(
            "blocked", [Series(stand, label) for stand in ours for label in (WORSE, BETTER, AGING)], xs, MEASURES, point
        ),
        "note": f"One worker process with 20 slots. {TRIES} jobs with room, one every {PAUSE * 1000:.0f} ms, each a "
        "tenant of its own; the others are tenants as well, one job each. From the beginning of the transaction that "
        "enqueues to the claim, by PostgreSQL's clock. The blocked ones stand in a worse priority than the jobs with "
        "room, or in a better one.",
    }


def _wait_for(conn: psycopg.Connection, job: int) -> None:
    """Wait until the worker has started: a job has ended."""
    deadline = time.monotonic() + 60
    while conn.execute("DELETE FROM pgjobs.jobs WHERE id = %s AND status = 'completed'", [job]).rowcount == 0:
        assert time.monotonic() < deadline, "the worker does not start"
        time.sleep(0.05)


def _point(conn: psycopg.Connection, series: Series, lanes: int, tries: int) -> Point:
    conn.execute("TRUNCATE pgjobs.jobs, pgjobs.dead_jobs, pgjobs.buckets")
    set_limit(conn, NEVER, LimitSettings(0))
    set_queue_aging(conn, "default", 600 if series.label == AGING else None)
    held = noop.options(limit=NEVER, fair_by="key", priority=9 if series.label == WORSE else 1)
    with conn.transaction():
        enqueue_many(conn, held, [(number,) for number in range(lanes)])
    conn.execute("VACUUM ANALYZE pgjobs.jobs_live, pgjobs.jobs_waiting")
    with worker(series.stand.url, "-q", "default:20", "--import", "benchmarks.limit_tasks"):
        _wait_for(conn, enqueue(conn, noop, 0).id)
        time.sleep(SETTLED)
        for number in range(tries):
            enqueue(conn, noop.options(fair_by="key", priority=5), lanes + number)
            time.sleep(PAUSE)
        deadline = time.monotonic() + 60
        while True:
            waited = [row[0] for row in conn.execute(WAITED).fetchall()]
            if len(waited) == tries:
                break
            assert time.monotonic() < deadline, f"only {len(waited)} of {tries} jobs with room ran"
            time.sleep(0.1)
    cuts = statistics.quantiles(waited, n=100)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98], "max_ms": waited[-1]}
