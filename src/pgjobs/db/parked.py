"""Put parked jobs back: those that a worker claimed while their task was paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.db.doorbell import notify_queues
from pgjobs.db.query import JOBS_PER_TRANSACTION, fetch_dicts

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg


def requeue_parked(conn: psycopg.Connection, *, on_progress: Callable[[int], None] | None = None) -> int:
    """Put back all parked jobs whose task is no longer paused, and return their number. Safe to run concurrently."""
    total = 0
    for row in fetch_dicts(conn, "parked_tasks"):
        while moved := fetch_dicts(conn, "requeue_parked", task=row["task"], batch=JOBS_PER_TRANSACTION):
            notify_queues(conn, {each["queue"] for each in moved})
            total += len(moved)
            if on_progress:
                on_progress(total)
    return total
