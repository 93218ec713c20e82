"""Wait until nothing is left to do: no job is due, and none runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pgjobs.db.query import fetch_dicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

MAX_COUNTED = 10_000
POLL_EVERY = 0.5  # seconds
SLOWEST_LOOK = 3.0  # seconds: counting what runs reads all live jobs


@dataclass(frozen=True)
class Unfinished:
    """What is left in a queue. `due`: 10,001 means more than 10,000; what is paused is not due.

    `turns`: so many of those that are due wait for their turn, which may never come, as behind a dead letter that
    blocks a sequence; `turn`: one of them.
    """

    queue: str
    due: int
    running: int
    turns: int = 0
    turn: int | None = None


def count_unfinished(conn: psycopg.Connection, queues: Sequence[str] | None = None) -> list[Unfinished]:
    """Count what is due and what runs, in these queues (None: in all); queues with nothing are left out.

    To be called outside of a transaction.
    """
    with conn.transaction():
        # Of one moment: what is claimed, or handed back, between two counts would be in neither.
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        due = {left.queue: left for left in _due(conn, queues)}
        rows = fetch_dicts(conn, "count_running")
    running = {row["queue"]: row["running"] for row in rows if queues is None or row["queue"] in queues}
    names = sorted(due.keys() | running.keys())
    return [replace(due.get(name) or Unfinished(name, 0, 0), running=running.get(name, 0)) for name in names]


def wait_until_idle(
    conn: psycopg.Connection,
    queues: Sequence[str] | None = None,
    *,
    timeout: float | None = None,
    on_progress: Callable[[list[Unfinished]], None] | None = None,
) -> list[Unfinished]:
    """Wait until nothing is due and nothing runs, and give what is left: nothing, unless `timeout` seconds passed.

    Jobs that wait for their turn count. Jobs for later do not, nor do those of a paused queue that have not started. To
    be called outside of a transaction.
    """
    began = time.monotonic()
    pause = POLL_EVERY
    while True:
        left = _due(conn, queues)
        if not left:  # only then it is worth to count what runs
            asked = time.monotonic()
            left = count_unfinished(conn, queues)
            pause = min(SLOWEST_LOOK, max(POLL_EVERY, 20 * (time.monotonic() - asked)))
        if not left:
            return []
        if on_progress:
            on_progress(left)
        if timeout is not None and time.monotonic() - began >= timeout:
            return count_unfinished(conn, queues)
        rest = pause if timeout is None else min(pause, began + timeout - time.monotonic())
        time.sleep(max(0.0, rest))


def _due(conn: psycopg.Connection, queues: Sequence[str] | None) -> list[Unfinished]:
    rows = fetch_dicts(conn, "count_due", queues=None if queues is None else list(queues), cap=MAX_COUNTED)
    return [Unfinished(row["queue"], row["due"], 0, row["turns"], row["turn"]) for row in rows]
