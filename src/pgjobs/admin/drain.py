"""Wait until no job is due and none runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pgjobs.core.validate import Seconds, check_seconds
from pgjobs.db.adapters.operations import outside_of_transaction
from pgjobs.db.query import fetch_dicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from pgjobs.core.callers import SyncCaller

MAX_COUNTED = 10_000
POLL_EVERY = 0.5  # seconds
SLOWEST_LOOK = 3.0  # seconds: counting what runs reads all live jobs


@dataclass(frozen=True)
class Unfinished:
    """The jobs of a queue that are due or running. `due`: 10,001 means more than 10,000; paused jobs are not due.

    `turns`: due jobs that wait for their turn, which may never come, as behind a dead letter that blocks a sequence.
    `turn`: the id of one of them.
    """

    queue: str
    due: int
    running: int
    turns: int = 0
    turn: int | None = None


def count_unfinished(conn: SyncCaller, queues: str | Sequence[str] | None = None) -> list[Unfinished]:
    """Count the jobs that are due and that run, in these queues (None: in all). Queues without any are left out.

    Raises:
        UsageError: the connection is in a transaction.

    """
    return _unfinished(outside_of_transaction(conn, "count_unfinished"), _names(queues))


def _unfinished(conn: psycopg.Connection, queues: Sequence[str] | None) -> list[Unfinished]:
    with conn.transaction():
        # In one snapshot: a job claimed between two counts could be in neither.
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        due = {left.queue: left for left in _due(conn, queues)}
        rows = fetch_dicts(conn, "count_running")
    running = {row["queue"]: row["running"] for row in rows if queues is None or row["queue"] in queues}
    names = sorted(due.keys() | running.keys())
    return [replace(due.get(name) or Unfinished(name, 0, 0), running=running.get(name, 0)) for name in names]


def wait_until_idle(
    conn: SyncCaller,
    queues: str | Sequence[str] | None = None,
    *,
    timeout: Seconds | None = None,
    on_progress: Callable[[list[Unfinished]], None] | None = None,
) -> list[Unfinished]:
    """Wait until no job is due and none runs. Return what is left: an empty list, unless `timeout` seconds passed.

    Jobs that wait for their turn count. Jobs for later do not, nor do jobs of a paused queue that have not started.
    `on_progress`: called at each check, with what is left.

    Raises:
        UsageError: the connection is in a transaction.

    """
    connection = outside_of_transaction(conn, "wait_until_idle")
    queues = _names(queues)
    if timeout is not None:
        timeout = check_seconds("timeout", timeout)
    began = time.monotonic()
    pause = POLL_EVERY
    while True:
        left = _due(connection, queues)
        if not left:  # counting the running jobs is slower, and pointless before
            asked = time.monotonic()
            left = _unfinished(connection, queues)
            pause = min(SLOWEST_LOOK, max(POLL_EVERY, 20 * (time.monotonic() - asked)))
        if not left:
            return []
        if on_progress:
            on_progress(left)
        if timeout is not None and time.monotonic() - began >= timeout:
            return _unfinished(connection, queues)
        rest = pause if timeout is None else min(pause, began + timeout - time.monotonic())
        time.sleep(max(0.0, rest))


def _names(queues: str | Sequence[str] | None) -> Sequence[str] | None:
    return [queues] if isinstance(queues, str) else queues


def _due(conn: psycopg.Connection, queues: Sequence[str] | None) -> list[Unfinished]:
    with conn.transaction():  # or a connection that is not in autocommit mode would stay in one
        rows = fetch_dicts(conn, "count_due", queues=None if queues is None else list(queues), cap=MAX_COUNTED)
    return [Unfinished(row["queue"], row["due"], 0, row["turns"], row["turn"]) for row in rows]
