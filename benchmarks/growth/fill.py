"""Fill a contender's tables as its own enqueue and worker would have, but with SQL, so that ten million take minutes.

What is copied is a row that the contender's driver enqueued, so that the payload and every column are right. Indexes
and triggers stay as they are: the statements go to the tables in which the rows end up, where pgjobs and
graphile-worker have no trigger, and PgQueuer's is one notification a statement.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import LiteralString

import psycopg

SAMPLE: LiteralString = "public.bench_sample"
# The rows are 10 µs apart and end now, as if they had come in one after another.
CLOCK: LiteralString = "statement_timestamp() - (total - n) * interval '10 us'"
TIME_LIMIT = 900  # seconds for one statement: a safety net, not the limit that decides what is filled


@dataclass(frozen=True)
class Tables:
    """Where a contender keeps its jobs.

    `jobs`: the table of those that wait. `neighbour`: the column that says which queue (or its like) a job is of, and
    SQL for the value of the `k`th queue that is not worked. `neighbours`: what a contender has once for each of these,
    as SQL with `count`; `forget` removes it. `enqueued`: what else its enqueue writes for the rows that are in `jobs`.
    `finish`: puts N finished jobs where they are kept; None where they are not. `all`: what to vacuum.
    """

    jobs: LiteralString
    neighbour: tuple[str, LiteralString]
    all: tuple[LiteralString, ...]
    neighbours: LiteralString = ""
    forget: LiteralString = ""
    enqueued: LiteralString = ""
    finish: Callable[[psycopg.Connection, int], None] | None = None


def _finish_pgjobs(conn: psycopg.Connection, jobs: int) -> None:
    values: dict[str, LiteralString] = {"status": "'completed'", "worker_id": "1", "claims": "1", "attempt": "1"}
    _copies(conn, "pgjobs.jobs_history", jobs, values | {"started_at": CLOCK, "finished_at": CLOCK})


def _finish_pgqueuer(conn: psycopg.Connection, jobs: int) -> None:
    """Its log keeps three rows for a job, one for each status that it had."""
    conn.execute(
        "INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint) "
        f"SELECT {CLOCK}, job.id, steps.status, sample.priority, sample.entrypoint "
        "FROM (SELECT n, %(jobs)s AS total, nextval('pgqueuer_id_seq') AS id"
        " FROM generate_series(1, %(jobs)s) AS n) AS job"
        " CROSS JOIN unnest('{queued,picked,successful}'::pgqueuer_status[]) AS steps (status)"
        f" CROSS JOIN {SAMPLE} AS sample",
        {"jobs": jobs},
    )


TABLES: Mapping[str, Tables] = {
    "pgjobs": Tables(
        jobs="pgjobs.jobs_live",
        neighbour=("queue", "'neighbour ' || k"),
        neighbours="INSERT INTO pgjobs.queues (name) SELECT 'neighbour ' || k FROM generate_series(1, %(count)s) AS k "
        "ON CONFLICT DO NOTHING",
        forget="DELETE FROM pgjobs.queues WHERE name LIKE 'neighbour %'",
        all=("pgjobs.jobs", "pgjobs.queues"),
        finish=_finish_pgjobs,
    ),
    "pgqueuer": Tables(
        jobs="pgqueuer",
        neighbour=("entrypoint", "'neighbour ' || k"),
        all=("pgqueuer", "pgqueuer_log"),
        enqueued="INSERT INTO pgqueuer_log (created, job_id, status, priority, entrypoint) "
        "SELECT created, id, status, priority, entrypoint FROM pgqueuer",
        finish=_finish_pgqueuer,
    ),
    "graphile": Tables(
        jobs="graphile_worker._private_jobs",
        neighbour=("task_id", "1000000 + k"),
        neighbours="INSERT INTO graphile_worker._private_tasks (id, identifier) OVERRIDING SYSTEM VALUE "
        "SELECT 1000000 + k, 'neighbour ' || k FROM generate_series(1, %(count)s) AS k ON CONFLICT DO NOTHING",
        forget="DELETE FROM graphile_worker._private_tasks WHERE identifier LIKE 'neighbour %'",
        all=("graphile_worker._private_jobs", "graphile_worker._private_tasks"),
    ),
}


def take_sample(url: str, tables: Tables) -> None:
    """Keep the newest of the jobs that wait, as the row that is copied from now on."""
    with _connect(url) as conn:
        conn.execute(f"DROP TABLE IF EXISTS {SAMPLE}")
        conn.execute(f"CREATE TABLE {SAMPLE} AS SELECT * FROM {tables.jobs} ORDER BY id DESC LIMIT 1")
        row = conn.execute(f"SELECT count(*) FROM {SAMPLE}").fetchone()
    if row != (1,):
        raise LookupError(f"no job in {tables.jobs} to take a copy of")


def due(url: str, tables: Tables, jobs: int, *, queues: int = 1, each: int = 0, quietly: bool = True) -> float:
    """Insert due jobs, and `each` in all `queues` but the first; give the seconds that it took.

    The neighbours' jobs came in over the same time, evenly among the others. `quietly`: no worker serves them yet, and
    the server settles before anybody does.
    """
    started = time.monotonic()
    others = (queues - 1) * each
    with _connect(url) as conn:
        with conn.transaction():
            if tables.forget:
                conn.execute(tables.forget)
            if not others:
                _copies(conn, tables.jobs, jobs, {})
            else:
                if tables.neighbours:
                    conn.execute(tables.neighbours, {"count": queues - 1})
                column, name = tables.neighbour
                _copies(conn, tables.jobs, jobs + others, {column: name}, others, queues - 1)
            if tables.enqueued:
                conn.execute(tables.enqueued)
        if quietly:
            settle(conn, tables)
    return time.monotonic() - started


def finished(url: str, tables: Tables, jobs: int) -> float:
    """Insert finished jobs; give the seconds that it took."""
    started = time.monotonic()
    if tables.finish and jobs:
        with _connect(url) as conn:
            tables.finish(conn, jobs)
            settle(conn, tables)
    return time.monotonic() - started


def settle(conn: psycopg.Connection, tables: Tables) -> None:
    """Do now what the server would do soon, in the middle of a measurement."""
    for table in tables.all:
        conn.execute(f"VACUUM (ANALYZE) {table}")
    conn.execute("CHECKPOINT")


def _connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True, options=f"-c statement_timeout={TIME_LIMIT}s")


def _copies(
    conn: psycopg.Connection,
    table: LiteralString,
    total: int,
    values: Mapping[str, LiteralString],
    others: int = 0,
    neighbours: int = 1,
) -> None:
    """Insert copies of the sample into a table, with other values in some columns.

    Where `others` is given, `values` are those of that number of copies; `k` is in turn 1 to `neighbours`.
    """
    names = conn.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' AND attname <> 'id' ORDER BY attnum",
        [table],
    ).fetchall()
    times = conn.execute(
        "SELECT attname FROM pg_attribute AS a, LATERAL (SELECT to_jsonb(s) AS row FROM " + SAMPLE + " AS s) AS s"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND atttypid = 'timestamptz'::regtype"
        " AND s.row ->> attname IS NOT NULL",
        [SAMPLE],
    ).fetchall()
    moments = {name for (name,) in times}
    columns, expressions = [], []
    for (name,) in names:
        plain = CLOCK if name in moments else f'sample."{name}"'
        value = values.get(name, plain)
        columns.append(f'"{name}"')
        expressions.append(f"CASE WHEN other THEN {value} ELSE {plain} END" if others and name in values else value)
    # Of `total` rows, `others` are a neighbour's, evenly spread: those where their share of n passes a whole number.
    conn.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(expressions)} "
        "FROM (SELECT n, %(total)s AS total, n * %(others)s / %(total)s > (n - 1) * %(others)s / %(total)s AS other,"
        " (n * %(others)s / %(total)s) %% %(neighbours)s + 1 AS k"
        " FROM generate_series(1::bigint, %(total)s) AS n) AS copy"
        f" CROSS JOIN {SAMPLE} AS sample",
        {"total": total, "others": others, "neighbours": neighbours},
    )
