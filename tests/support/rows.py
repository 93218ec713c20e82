"""Jobs, dead letters and workers put into the tables by SQL, as workers would leave them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    import psycopg

ERRORS = [
    {
        "attempt": 1,
        "at": "2026-01-02T03:04:05+00:00",
        "error": "ValueError: no",
        "traceback": "Traceback (most recent call last):\nValueError: no",
        "worker": 7,
        "host": "web1",
    }
]


def letters_of(failed: str, died_at: str = "f.finished_at") -> str:
    """Write SQL that gives the dead letters of rows of jobs: those of a table, as `failed`."""
    letter = f"to_jsonb(f) || jsonb_build_object('died_at', {died_at})"
    return (
        f"SELECT (letter.made).* FROM {failed} AS f CROSS JOIN LATERAL "
        f"(SELECT jsonb_populate_record(NULL::pgjobs.dead_jobs, {letter}) AS made OFFSET 0) AS letter"
    )


def put_job(conn: psycopg.Connection, **columns: Any) -> int:
    """Insert a job, whatever its status, and give its id. One that waits has the keys that its lane names."""
    row = {"task": "shop.tasks:send_receipt", "payload": b"x", **columns}
    if row.get("status") == "waiting" and row.get("lane") is not None:
        for name, key in zip(("limit_key", "sequence", "breaker"), row["lane"].split("\x1f")[1:], strict=False):
            row.setdefault(name, key or None)
    if row.get("status") in ("completed", "failed", "cancelled"):
        row.setdefault("finished_at", _now(conn))
        row.setdefault("attempt", 1)
    row = {name: Jsonb(value) if name == "errors" else value for name, value in row.items()}
    statement = sql.SQL("INSERT INTO pgjobs.jobs ({}) VALUES ({}) RETURNING id").format(
        sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(map(sql.Placeholder, row))
    )
    found = conn.execute(statement, row).fetchone()
    assert found is not None
    return int(found[0])


def put_dead(conn: psycopg.Connection, **columns: Any) -> int:
    """Insert a failed job and its dead letter."""
    row = {"attempt": 5, "max_attempts": 5, "error": "ValueError: no", "errors": ERRORS, **columns}
    job = put_job(conn, status="failed", **row)
    conn.execute(
        f"INSERT INTO pgjobs.dead_jobs {letters_of('pgjobs.jobs')} WHERE f.id = %s AND f.status = 'failed'",
        [job],
    )
    return job


def put_worker(conn: psycopg.Connection, queues: dict[str, int], *, silent_for: float = 0.0) -> int:
    """Insert a worker that registered an hour ago, and was last heard from some seconds ago."""
    found = conn.execute(
        "INSERT INTO pgjobs.workers (host, pid, queues, version, started_at, heartbeat_at) "
        "VALUES ('web1', 4711, %s, '0.1', now() - interval '1 hour', now() - %s * interval '1 second') RETURNING id",
        [Jsonb(queues), silent_for],
    ).fetchone()
    assert found is not None
    return int(found[0])


def row_of(conn: psycopg.Connection, id: int) -> dict[str, Any]:
    """Return the job's row; it is in one place only."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("SELECT * FROM pgjobs.jobs WHERE id = %s", [id]).fetchall()
    assert len(rows) == 1, f"job {id} has {len(rows)} rows"
    return rows[0]


def count(conn: psycopg.Connection, table: str) -> int:
    """Count the rows of a table."""
    found = conn.execute(sql.SQL("SELECT count(*) FROM pgjobs.{}").format(sql.Identifier(table))).fetchone()
    assert found is not None
    return int(found[0])


def _now(conn: psycopg.Connection) -> Any:
    found = conn.execute("SELECT now()").fetchone()
    assert found is not None
    return found[0]


def flush_statistics(conn: psycopg.Connection) -> None:
    """Make what this session has done visible in pg_stat_…; before PostgreSQL 15 a process collects it, in a moment."""
    if conn.info.server_version >= 150000:
        conn.execute("SELECT pg_stat_force_next_flush()")
    else:
        time.sleep(1.0)


def put_pipeline(conn: psycopg.Connection, *, at_most: int, name: str = "index") -> None:
    """Insert a pipeline of the stages parse and store, both in the queue default."""
    conn.execute("INSERT INTO pgjobs.pipelines (name, app, at_most) VALUES (%s, 'shop', %s)", [name, at_most])
    conn.execute(
        "INSERT INTO pgjobs.pipeline_stages (key, pipeline, place, name, task, queue, next) "
        "VALUES (%(name)s || '/parse', %(name)s, 1, 'parse', 'shop:parse', 'default', %(name)s || '/store'), "
        "(%(name)s || '/store', %(name)s, 2, 'store', 'shop:store', 'default', NULL)",
        {"name": name},
    )
