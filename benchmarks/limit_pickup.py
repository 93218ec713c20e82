"""How soon an idle worker starts a job that has a limit, a rate, a sequence or a tenant, beside a plain one.

    python -m benchmarks.limit_pickup [URL] [--jobs 100] [--rounds 3]

One worker process with 20 slots, which has nothing else to do; one job at a time, of a random one of 100 keys, after a
pause of 20 to 60 ms. From the beginning of the transaction that enqueues to the claim, by PostgreSQL's clock. The kinds
take turns, so that each has the same machine; the share is that of the medians.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import psycopg
from benchmarks.common import database, say, worker
from benchmarks.limit_tasks import noop
from benchmarks.limits import KINDS, PATTERN, PLAIN, Kind

from pgjobs import enqueue
from pgjobs.admin import remove_limit, set_limit

KEYS = 100
ASLEEP = 1.0  # seconds until a worker that had work waits for its doorbell again
PATIENCE = 30.0  # seconds for a job to end
WAITED = """
    SELECT extract(epoch FROM started_at - enqueued_at)::float8 * 1000 FROM pgjobs.jobs
    WHERE id = %s AND status = 'completed'
"""


def waited(conn: psycopg.Connection, job: int) -> float:
    """Return the milliseconds that the job waited.

    Raises:
        AssertionError: it did not end in time.

    """
    deadline = time.monotonic() + PATIENCE
    while (row := conn.execute(WAITED, [job]).fetchone()) is None:
        assert time.monotonic() < deadline, f"job {job} did not end"
        time.sleep(0.005)
    return float(row[0])


def pick_ups(conn: psycopg.Connection, kind: Kind, jobs: int) -> list[float]:
    """Enqueue jobs of a kind one by one, and return the milliseconds that each waited."""
    if kind.limit is not None:
        set_limit(conn, PATTERN, kind.limit)
    waited(conn, enqueue(conn, noop.options(**kind.options), 0).id)
    time.sleep(ASLEEP)
    found = []
    for _ in range(jobs):
        time.sleep(random.uniform(0.02, 0.06))  # noqa: S311 - a pause, not a secret
        found.append(waited(conn, enqueue(conn, noop.options(**kind.options), random.randrange(KEYS)).id))  # noqa: S311
    remove_limit(conn, PATTERN)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a server to make a database on (default: an embedded one)")
    parser.add_argument("--jobs", type=int, default=100, help="of each kind in each round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    kinds = {"plain": PLAIN, **KINDS}
    found: dict[str, list[float]] = {name: [] for name in kinds}
    with (
        database(options.url) as url,
        psycopg.connect(url, autocommit=True) as conn,
        worker(url, "-q", "default:20", "--import", "benchmarks.limit_tasks"),
    ):
        for _ in range(options.rounds):
            for name, kind in kinds.items():
                found[name] += pick_ups(conn, kind, options.jobs)
    plain = statistics.median(found["plain"])
    for name, times in found.items():
        cuts = statistics.quantiles(times, n=100)
        say(
            kind=name,
            jobs=len(times),
            p50_ms=round(cuts[49], 2),
            p99_ms=round(cuts[98], 2),
            times_plain=round(cuts[49] / plain, 2),
        )


if __name__ == "__main__":
    main()
