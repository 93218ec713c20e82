"""The ceiling: the hot statements alone, claim and acknowledge on two connections, no Python around them.

    python benchmarks/raw_sql.py URL [--jobs 100000] [--batch 500] [--pairs 1]

The database must be migrated; its jobs are removed.
"""

from __future__ import annotations

import argparse
import json
import queue
import threading
import time
from datetime import UTC, datetime
from typing import Any

import psycopg

from pgjobs.db.connect import connect, connect_hot
from pgjobs.db.statements import statement

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def fill(url: str, jobs: int, payload: bytes = b"x" * 120, name: str = "bench") -> float:
    """Empty the tables, insert that many due jobs, and give the seconds that it took."""
    with connect(url) as connection:
        connection.execute("TRUNCATE pgjobs.jobs, pgjobs.dead_jobs")
        started = time.perf_counter()
        connection.execute(
            "INSERT INTO pgjobs.jobs (queue, task, summary, payload) "
            "SELECT %s, 'bench:noop', 'noop(1)', %s FROM generate_series(1, %s)",
            (name, payload, jobs),
        )
        seconds = time.perf_counter() - started
        connection.execute("VACUUM ANALYZE pgjobs.jobs_live")
        connection.execute("CHECKPOINT")
    return seconds


def claimer(url: str, batch: int, worker_id: int, out: queue.SimpleQueue[Any]) -> None:
    with connect_hot(url, application_name="bench claim", async_commit=True) as connection:
        cursor = connection.cursor(binary=True)
        frontier: list[tuple[datetime, int]] = [(LONG_AGO, 0)] * 10
        while True:
            rows = cursor.execute(
                statement("claim"),
                {
                    "priorities": list(range(10)),
                    "run_ats": [place[0] for place in frontier],
                    "ids": [place[1] for place in frontier],
                    "queue": "bench",
                    "demand": batch,
                    "worker_id": worker_id,
                },
            ).fetchall()
            if not rows:
                if frontier[5][1] == 0:
                    break
                frontier = [(LONG_AGO, 0)] * 10
                continue
            best = max((row[6], row[0]) for row in rows)
            frontier[5] = max(frontier[5], best)
            out.put([(row[0], row[1]) for row in rows])
    out.put(None)


def acknowledger(url: str, worker_id: int, inbox: queue.SimpleQueue[Any]) -> None:
    with connect_hot(url, application_name="bench ack") as connection:
        cursor = connection.cursor(binary=True)
        while (claimed := inbox.get()) is not None:
            ids, claims = [c[0] for c in claimed], [c[1] for c in claimed]
            cursor.execute(statement("complete"), {"ids": ids, "claims": claims, "worker_id": worker_id})
            assert cursor.rowcount == len(ids)


def drain(url: str, batch: int, pairs: int = 1) -> float:
    """Claim and acknowledge everything; give the seconds that it took."""
    threads = []
    for number in range(pairs):
        handover: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threads += [
            threading.Thread(target=claimer, args=(url, batch, number + 1, handover), daemon=True),
            threading.Thread(target=acknowledger, args=(url, number + 1, handover), daemon=True),
        ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--pairs", type=int, default=1)
    options = parser.parse_args()
    inserted = fill(options.url, options.jobs)
    seconds = drain(options.url, options.batch, options.pairs)
    with psycopg.connect(options.url) as connection:
        row = connection.execute("SELECT count(*) FROM pgjobs.jobs WHERE status = 'completed'").fetchone()
        assert row == (options.jobs,), row
    print(
        json.dumps(
            {
                "batch": options.batch,
                "pairs": options.pairs,
                "insert_per_s": round(options.jobs / inserted),
                "drain_per_s": round(options.jobs / seconds),
            }
        )
    )


if __name__ == "__main__":
    main()
