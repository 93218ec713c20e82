"""What publishing costs: events for 0, 1, 20 and 200 subscriptions, beside plain enqueues of as many jobs.

    python -m benchmarks.events [URL] [--events 1000] [--rounds 5]

Each event is a transaction of its own, then all of them are one. Medians of rounds that take turns.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median

import psycopg
from benchmarks.common import database, say
from benchmarks.events_tasks import handle

from pgjobs import enqueue, enqueue_many, publish

SUBSCRIPTIONS = (0, 1, 20, 200)
PAYLOAD = {"id": 42, "customer": "ada@example.org", "total": "19.90", "items": [1, 2, 3]}


def subscribed(conn: psycopg.Connection, number: int, others: int) -> None:
    """Make `number` subscriptions to what is published, and others to something else."""
    conn.execute("TRUNCATE pgjobs.subscriptions, pgjobs.jobs")
    conn.execute(
        "INSERT INTO pgjobs.subscriptions (name, app, pattern, queue, priority, max_attempts, summary)"
        " SELECT 'm:f' || n, 'bench', CASE WHEN n <= %s THEN 'order.*' ELSE 'other.' || n || '.*' END, 'q', 5, 5, 'f'"
        " FROM generate_series(1, %s) AS n",
        [number, number + others],
    )
    conn.execute("ANALYZE pgjobs.subscriptions")
    conn.commit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", nargs="?")
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with database(options.url) as url, psycopg.connect(url) as conn:
        taken: dict[tuple[str, int], list[float]] = defaultdict(list)

        def measure(name: str, number: int, step: Callable[[], object], *, at_once: bool) -> None:
            conn.execute("TRUNCATE pgjobs.jobs")
            conn.commit()
            began = time.perf_counter()
            for _ in range(options.events):
                step()
                if not at_once:
                    conn.commit()
            conn.commit()
            taken[name, number].append((time.perf_counter() - began) / options.events)

        for _ in range(options.rounds):
            for number in SUBSCRIPTIONS:
                subscribed(conn, number, others=10)
                for at_once, how in ((False, "a commit each"), (True, "one commit")):
                    measure(f"publish, {how}", number, lambda: publish(conn, "order.placed", PAYLOAD), at_once=at_once)
                    if number == 1:
                        measure(f"enqueue, {how}", number, lambda: enqueue(conn, handle, PAYLOAD), at_once=at_once)
                    elif number:
                        rows = [(PAYLOAD,)] * number
                        measure(
                            f"enqueue_many, {how}",
                            number,
                            lambda rows=rows: enqueue_many(conn, handle, rows),  # type: ignore[misc]  # a default
                            at_once=at_once,
                        )
        for (name, number), seconds in sorted(taken.items(), key=lambda item: (item[0][1], item[0][0])):
            say(jobs=number, what=name, microseconds_per_event=round(median(seconds) * 1e6))


if __name__ == "__main__":
    main()
