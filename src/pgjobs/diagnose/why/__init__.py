"""Why a job does not run: one statement gathers possible reasons, and pure functions decide which one applies."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pgjobs.db.adapters.operations import operation
from pgjobs.db.installation import connection_name
from pgjobs.db.plan_settings import INDEX_SCANS
from pgjobs.db.query import AnyJob, check_id, clock, ended_at, fetch_dicts, local_settings, run_within
from pgjobs.db.row_security import check_visible
from pgjobs.diagnose.finding import Finding, Why
from pgjobs.diagnose.why.decide import decide
from pgjobs.diagnose.why.snapshot import Snapshot, read

if TYPE_CHECKING:
    import psycopg

MAX_COUNTED = 10_000  # jobs before this one: no count goes further
SEEN = 20_000  # finished jobs that a rate is made of
SCAN_TIMEOUT_MS = 3_000  # milliseconds, before it is done without counting: dead rows can make that take long


@operation
def why(conn: psycopg.Connection[Any], id: AnyJob) -> Why:
    """Return why a job does not run now, or how it ended, in one sentence, and what to do next.

    It reads in the caller's transaction, by one statement that takes no longer with more jobs. Times are PostgreSQL's.
    docs/why.md lists all reasons.

    Raises:
        UsageError: the id cannot be one, or the connection is not one of psycopg.

    """
    return decide(look(conn, check_id(id)))


def look(
    conn: psycopg.Connection[Any], id: int, *, cap: int = MAX_COUNTED, timeout_ms: int = SCAN_TIMEOUT_MS
) -> Snapshot:
    """Gather everything that can keep a job from running; where counting takes too long, without what is counted."""
    snapshot = run_within(conn, timeout_ms, lambda: _look(conn, id, cap), INDEX_SCANS)
    if snapshot is not None:
        return snapshot
    with local_settings(conn, INDEX_SCANS):
        return _look(conn, id, 0)


def _look(conn: psycopg.Connection[Any], id: int, cap: int) -> Snapshot:
    workers = connection_name("worker ")  # what the names of their connections begin with
    seen = SEEN if cap else 0
    for _ in range(2):  # a job that ends between the two statements is seen by neither
        ended, moment = ended_at(conn, [id]), clock(conn)
        times = {"ended_at": ended, "moment": moment, "since": moment - timedelta(seconds=60)}
        row = fetch_dicts(conn, "why", id=id, cap=cap, seen=seen, workers=workers, **times)[0]
        if row["job"] is not None:
            break
    else:
        check_visible(conn)
    return read(id, row, cap, seen)


__all__ = ["Finding", "Snapshot", "Why", "look", "why"]
