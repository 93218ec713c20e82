"""NOTIFY for queues: wake their producers, and put parked jobs back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.db.query import fetch_dicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import psycopg


def notify_queues(conn: psycopg.Connection, queues: Iterable[str]) -> None:
    """Wake the workers that wait for one of the queues."""
    names = sorted(queues)
    if names:
        fetch_dicts(conn, "notify_queues", queues=names)


JOBS_PER_TRANSACTION = 500  # jobs in one transaction


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
