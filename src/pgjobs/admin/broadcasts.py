"""Broadcasts: list them, and show what came of one in each worker process, or host."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pgjobs.core.errors import NotFoundError, UsageError
from pgjobs.core.text import shorten_repr
from pgjobs.core.validate import as_int
from pgjobs.db.adapters.operations import operation
from pgjobs.db.query import MAX_ID, check_limit, fetch
from pgjobs.jobs.broadcast import BroadcastHandle

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any, TypeAlias

    import psycopg

    AnyBroadcast: TypeAlias = "int | BroadcastHandle[Any] | BroadcastRow"


@dataclass(frozen=True)
class BroadcastRow:
    """A broadcast as it is listed. `on`: "workers", "hosts" or a queue, such as "queue:mail".

    `closes_at`: workers that register later do not run it. `queued` to `gone`: in how many worker processes, or hosts,
    it is how; gone: the process ended before it was done.
    """

    id: int
    task: str
    summary: str | None
    on: str
    committed_at: datetime
    closes_at: datetime
    queued: int
    running: int
    completed: int
    failed: int
    gone: int


@dataclass(frozen=True)
class BroadcastRun:
    """What came of it in a worker process. `worker_id`, `pid`: None for a host of which none has begun."""

    host: str
    worker_id: int | None
    pid: int | None
    state: str
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    traceback: str | None


@dataclass(frozen=True)
class BroadcastDetail(BroadcastRow):
    """All that is known about a broadcast."""

    runs: list[BroadcastRun]


@operation
def list_broadcasts(conn: psycopg.Connection, *, limit: int = 100) -> list[BroadcastRow]:
    """List broadcasts, the newest first."""
    return fetch(conn, "list_broadcasts", BroadcastRow, broadcast=None, limit=check_limit(limit))


@operation
def show_broadcast(conn: psycopg.Connection, broadcast: AnyBroadcast) -> BroadcastDetail:
    """Return a broadcast, given by its id, its handle or its row, and what came of it in each process.

    Raises:
        NotFoundError: there is no such broadcast.

    """
    number = _check_id(broadcast)
    found = fetch(conn, "list_broadcasts", BroadcastRow, broadcast=number, limit=1)
    if not found:
        raise NotFoundError(f"There is no broadcast {number}: `pgjobs broadcasts list` shows what there is.")
    runs = fetch(conn, "list_broadcast_runs", BroadcastRun, broadcast=number)
    return BroadcastDetail(**asdict(found[0]), runs=runs)


def _check_id(broadcast: AnyBroadcast) -> int:
    given = broadcast.id if isinstance(broadcast, BroadcastHandle | BroadcastRow) else broadcast
    number = as_int(given)
    if number is None or not 0 <= number <= MAX_ID:
        raise UsageError(
            f"{shorten_repr(broadcast)} is not the id of a broadcast: give a whole number from 0, or what broadcast "
            "returned."
        )
    return number
