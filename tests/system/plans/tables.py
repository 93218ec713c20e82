"""Tables in the states that have led planners astray, or could make every look-up expensive."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from pgjobs.db.connection import connect, connect_hot
from pgjobs.worker.claim.cursor import END_OF_TIME
from tests.support.rows import put_worker
from tests.system.plans.hot import BATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.postgres import Server

DEAD_ROWS = 1_000_000
QUEUED = 2_000
MANY_QUEUED = 200_000
BEATS = 600  # doorbells and heartbeats: ten minutes of them
INSERT = """
    INSERT INTO pgjobs.jobs_live (task, payload, priority, status, worker_id, claims, attempt)
    SELECT 'x', 'x', n %% 10, %(status)s, %(worker)s, %(claims)s, %(claims)s FROM generate_series(1, %(jobs)s) AS n
"""  # into the partition itself, past the trigger
FIRST = """
    SELECT DISTINCT ON (priority) priority, run_at::text, id
    FROM pgjobs.jobs_live WHERE status = 'queued' ORDER BY priority, run_at, id
"""


@dataclass(frozen=True)
class Tables:
    """A database in some state, connections as a worker and an application have them, and what to ask it for."""

    state: str
    connections: dict[str, psycopg.Connection]
    jobs: dict[str, Any]
    """Parameters of statements about jobs that run."""
    places: dict[str, Any]
    """Parameters of a claim that starts where the first queued jobs lie."""


@contextmanager
def tables(server: Server, state: str) -> Iterator[Tables]:
    """Make a database in this state, while another session holds a snapshot that is older than all that lies in it."""
    url = server.create()
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as conn:
        conn.execute("ALTER TABLE pgjobs.jobs_live SET (autovacuum_enabled = off)")
        worker_id = put_worker(conn, {"default": 1})
        conn.execute("INSERT INTO pgjobs.queues (name) VALUES ('default')")
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT pg_current_xact_id()")
        STATES[state](conn, worker_id)
        with (
            connect_hot(url, application_name="plans") as hot,
            connect(url) as heart,
            psycopg.connect(url, autocommit=True) as caller,
        ):
            connections = {"hot": hot, "heart": heart, "caller": caller}
            yield Tables(state, connections, _jobs(conn, worker_id), _places(conn, worker_id))
    server.drop(url)


def _jobs(conn: psycopg.Connection, worker_id: int) -> dict[str, Any]:
    rows = conn.execute("SELECT id FROM pgjobs.jobs_live WHERE status = 'running' ORDER BY id LIMIT %s", [BATCH])
    ids = [row[0] for row in rows] or list(range(BATCH))
    return {"ids": ids, "claim_numbers": [1] * BATCH, "worker_id": worker_id, "worker_ids": [worker_id]}


def _places(conn: psycopg.Connection, worker_id: int) -> dict[str, Any]:
    places = dict.fromkeys(range(10), ("1970-01-01 00:00Z", 0))
    places |= {row[0]: (row[1], row[2]) for row in conn.execute(FIRST)}
    run_ats, ids = zip(*places.values(), strict=True)
    arrays = {
        "priorities": list(places),
        "run_ats": list(run_ats),
        "ids": list(ids),
        "untils": [END_OF_TIME] * len(ids),
        "counted_queue": None,
    }
    return {**arrays, "worker_id": worker_id, "counted_queue": None}


def _empty(conn: psycopg.Connection, worker_id: int) -> None:
    pass


def _analyzed(conn: psycopg.Connection, worker_id: int) -> None:
    conn.execute("ANALYZE pgjobs.jobs_live, pgjobs.queues, pgjobs.workers")


def _misjudged(conn: psycopg.Connection, worker_id: int) -> None:
    _analyzed(conn, worker_id)
    _put(conn, worker_id, queued=10 * QUEUED)


def _full(conn: psycopg.Connection, worker_id: int) -> None:
    _put(conn, worker_id, queued=MANY_QUEUED)
    _analyzed(conn, worker_id)


def _dead(conn: psycopg.Connection, worker_id: int) -> None:
    batch = DEAD_ROWS // 10
    for _ in range(5):  # a job that ran leaves two dead rows: as it was queued, and as it was running
        conn.execute(INSERT, {"status": "queued", "worker": None, "claims": 0, "jobs": batch})
        conn.execute("UPDATE pgjobs.jobs_live SET status = 'running', worker_id = %s, claims = 1", [worker_id])
        conn.execute("DELETE FROM pgjobs.jobs_live")
    for table, column in (("queues", "doorbell_until"), ("workers", "heartbeat_at")):
        beat = f"UPDATE pgjobs.{table} SET {column} = clock_timestamp()"
        conn.execute(f"DO $$ BEGIN FOR n IN 1..{BEATS} LOOP {beat}; END LOOP; END $$")
    _put(conn, worker_id, queued=QUEUED)
    conn.execute("VACUUM (ANALYZE) pgjobs.jobs_live")
    row = conn.execute("SELECT pg_relation_size('pgjobs.jobs_live')").fetchone()
    assert row is not None
    assert row[0] > 80 * DEAD_ROWS, "the dead rows were removed"


def _put(conn: psycopg.Connection, worker_id: int, queued: int) -> None:
    conn.execute(INSERT, {"status": "queued", "worker": None, "claims": 0, "jobs": queued})
    conn.execute(INSERT, {"status": "running", "worker": worker_id, "claims": 1, "jobs": 2 * BATCH})


STATES: dict[str, Callable[[psycopg.Connection, int], None]] = {
    "empty, never analyzed": _empty,
    "empty, analyzed": _analyzed,  # a generic plan that is made now is still used when the table has filled
    "analyzed when empty, then filled": _misjudged,
    "200,000 queued": _full,
    "10⁶ dead rows under a held snapshot": _dead,
}
EMPTY = tuple(state for state in STATES if state.startswith("empty"))
