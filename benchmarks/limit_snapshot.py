"""What an open transaction does to limits, rates, sequences and fairness, beside plain jobs.

    python -m benchmarks.limit_snapshot [URL] [--calm 60] [--held 600] [--jobs 4000] [--every 2]

One worker process with 20 slots. Every two seconds a burst of 4,000 jobs of 100 keys is enqueued, of the next kind in
turn, first without and then with a REPEATABLE READ transaction that has an XID in another session: no row that became
dead since can be removed. What counts is how fast a burst is run, from its first start to its last end by PostgreSQL's
clock; compared are the medians of the calm bursts and of those in the second half of the time that it is held.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack

import psycopg
from benchmarks.common import database, say, scalar, worker
from benchmarks.limit_tasks import noop
from benchmarks.limits import KINDS, PLAIN, Kind

from pgjobs import enqueue_many
from pgjobs.admin import set_limit

KEYS = 100
PATIENCE = 120.0  # seconds for a burst to end
# Each kind has a queue and limits of its own, so that all are set at the same time.
PATTERNS = {"concurrency": "wide:*", "tight": "tight:*", "rate": "rate:*"}
# Of the history alone, which has no dead rows: to look at the live jobs would be more work than to run them.
ENDED = "SELECT count(*) FROM pgjobs.jobs_history WHERE id >= %s"
TOOK = """
    SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at))::float8
    FROM pgjobs.jobs_history WHERE id >= %s
"""
DEAD = "SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables"


def own_options(name: str, kind: Kind) -> Kind:
    """Return the kind with a limit pattern of its own."""
    if kind.limit is None:
        return kind
    return Kind({"limit": PATTERNS[name].replace("*", "{key}")}, kind.limit)


def burst(conn: psycopg.Connection, kind: Kind, jobs: int) -> float:
    """Enqueue jobs of a kind, wait until they have run, and return how many a second were.

    Raises:
        AssertionError: they did not end in time.

    """
    with conn.transaction():
        handles = enqueue_many(conn, noop.options(**kind.options), [(number % KEYS,) for number in range(jobs)])
    first = handles[0].id
    deadline = time.monotonic() + PATIENCE
    while scalar(conn, ENDED, [first]) < jobs:
        assert time.monotonic() < deadline, "a burst did not end"
        time.sleep(0.05)
    return float(scalar(conn, TOOK, [first]))


def bursts(
    conn: psycopg.Connection, kinds: dict[str, Kind], seconds: float, jobs: int, every: float
) -> list[tuple[float, str, float]]:
    """Return when each burst began, in seconds, with its kind and its jobs per second."""
    began, found = time.monotonic(), []
    while time.monotonic() - began < seconds:
        for name, kind in kinds.items():
            start = time.monotonic()
            found.append((start - began, name, burst(conn, kind, jobs)))
            time.sleep(max(0.0, every - (time.monotonic() - start)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make a database on (default: an embedded one)")
    parser.add_argument("--calm", type=float, default=60.0, help="seconds without the snapshot")
    parser.add_argument("--held", type=float, default=600.0, help="seconds with it")
    parser.add_argument("--jobs", type=int, default=4_000, help="of a burst")
    parser.add_argument("--every", type=float, default=2.0, help="seconds from burst to burst")
    options = parser.parse_args()
    if options.held < 12 * options.every:
        parser.error("--held: twelve bursts at least, so that each kind has one in the second half")
    kinds = {name: own_options(name, kind) for name, kind in {"plain": PLAIN, **KINDS}.items()}
    with ExitStack() as stack:
        url = stack.enter_context(database(options.url))
        conn = stack.enter_context(psycopg.connect(url, autocommit=True))
        for name, kind in kinds.items():
            if kind.limit is not None:
                set_limit(conn, PATTERNS[name], kind.limit)
        stack.enter_context(worker(url, "-q", "default:20", "--import", "benchmarks.limit_tasks"))
        burst(conn, PLAIN, options.jobs)
        calm = bursts(conn, kinds, options.calm, options.jobs, options.every)
        other = stack.enter_context(psycopg.connect(url, application_name="bench snapshot"))
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT pg_current_xact_id()")
        held = bursts(conn, kinds, options.held, options.jobs, options.every)
        dead = scalar(conn, DEAD)
        other.rollback()
    for name in kinds:
        before = statistics.median(rate for _, kind, rate in calm if kind == name)
        last = [rate for at, kind, rate in held if kind == name and at > 0.5 * options.held]
        say(
            kind=name,
            bursts=len(last),
            per_second_before=round(before),
            per_second_held=round(statistics.median(last)),
            share=round(statistics.median(last) / before, 2),
        )
    say(jobs=(len(calm) + len(held)) * options.jobs, dead_rows=dead)


if __name__ == "__main__":
    main()
