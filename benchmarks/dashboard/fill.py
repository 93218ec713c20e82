"""Fill the tables with what a large installation has, by SQL: it takes some minutes.

Live jobs in all queues, the most of them in a few (as jobs are), some running, some due later; finished jobs over the
last days; dead letters of some causes; workflows of ten steps; limits; and the minutes of a day.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import LiteralString, NamedTuple

import psycopg

DAYS = 6
STEPS = 10  # of a workflow
RUNNING = 200
MINUTE_HOURS = 24
MINUTE_QUEUES = 200  # that were busy in each minute


class Size(NamedTuple):
    """How much there is."""

    live: int = 1_000_000
    finished: int = 10_000_000
    dead: int = 100_000
    queues: int = 1_000
    workflows: int = 10_000

    def scaled(self, share: float) -> Size:
        """Return a part of it."""
        return Size(*(max(1, int(number * share)) for number in self))


# Every second job is in one of the first hundred queues.
_QUEUE: LiteralString = (
    "'queue-' || lpad((n / 2 %% CASE WHEN n %% 2 = 0 THEN least(100, %(queues)s) ELSE %(queues)s END)::text, 4, '0')"
)
_TASK: LiteralString = "'shop.tasks:task_' || n %% 40"
_CALL: LiteralString = "'task_' || n %% 40 || '(' || n || ', copy=True)'"

STATEMENTS: tuple[tuple[str, LiteralString], ...] = (
    (
        "queues",
        "INSERT INTO pgjobs.queues (name) SELECT 'queue-' || lpad(n::text, 4, '0')"
        " FROM generate_series(0, %(queues)s - 1) AS n ON CONFLICT DO NOTHING",
    ),
    (
        "workers",
        "INSERT INTO pgjobs.workers (host, pid, queues, version)"
        " SELECT 'host' || n, n, (SELECT jsonb_object_agg(name, 4) FROM pgjobs.queues), '0.1.0'"
        " FROM generate_series(1, 4) AS n",
    ),
    (
        "live jobs",
        "INSERT INTO pgjobs.jobs (queue, task, summary, payload, priority, run_at, enqueued_at)"
        f" SELECT {_QUEUE}, {_TASK}, {_CALL}, '\\x00', CASE WHEN n %% 10 = 0 THEN 3 ELSE 5 END,"
        " now() + ((n %% 100) - 80) * interval '1 minute', now() - interval '2 hours'"
        " FROM generate_series(1, %(live)s * 9 / 10) AS n",
    ),
    (
        "jobs that wait",
        "INSERT INTO pgjobs.jobs_waiting (queue, task, summary, payload, run_at, lane, limit_key, status)"
        f" SELECT {_QUEUE}, {_TASK}, {_CALL}, '\\x00', now() - interval '1 minute',"
        " chr(31) || 'tenant:' || n %% 5000 || chr(31) || chr(31), 'tenant:' || n %% 5000, 'waiting'"
        " FROM generate_series(1, %(live)s / 10) AS n",
    ),
    (
        "running jobs",
        "UPDATE pgjobs.jobs_live SET status = 'running', attempt = 1, claims = 1, started_at = now(),"
        " worker_id = (SELECT min(id) FROM pgjobs.workers)"
        " WHERE ctid = ANY (ARRAY (SELECT ctid FROM pgjobs.jobs_live ORDER BY id LIMIT 200))",
    ),
    (
        "finished jobs",
        "INSERT INTO pgjobs.jobs_history (queue, task, summary, payload, status, attempt, claims, started_at,"
        " finished_at, worker_id, id)"
        f" SELECT {_QUEUE}, {_TASK}, {_CALL}, '\\x00', CASE WHEN n %% 50 = 0 THEN 'failed' ELSE 'completed' END, 1, 1,"
        " moment.at, moment.at, 1, nextval('pgjobs.jobs_id_seq')"
        " FROM generate_series(%(from)s::bigint, %(until)s::bigint) AS n"
        " CROSS JOIN LATERAL (SELECT now() - (%(finished)s - n) * (%(days)s * interval '1 day' / %(finished)s) AS at"
        " OFFSET 0) AS moment",
    ),
    (
        "dead letters",
        "INSERT INTO pgjobs.dead_jobs (id, queue, task, summary, payload, status, attempt, claims, max_attempts,"
        " run_at, enqueued_at, priority, finished_at, died_at, error, error_kind, errors)"
        f" SELECT nextval('pgjobs.jobs_id_seq'), {_QUEUE}, {_TASK}, {_CALL}, '\\x00', 'failed', 5, 5, 5, now(), now(),"
        " 5, moment.at, moment.at,"
        " 'ValueError: order ' || n || ' of customer ''c' || n %% 7 || ''' has no item ' || n %% 20, 'exception',"
        " jsonb_build_array(jsonb_build_object('attempt', 5, 'at', moment.at, 'host', 'h', 'worker', 1, 'error',"
        " 'ValueError: no', 'traceback', repeat('  File \"shop/tasks.py\", line 42, in task' || chr(10), 20)))"
        " FROM generate_series(1, %(dead)s) AS n"
        " CROSS JOIN LATERAL (SELECT now() - (%(dead)s - n) * interval '1 second' AS at OFFSET 0) AS moment",
    ),
    (
        "workflows",
        "INSERT INTO pgjobs.workflows (name, status, steps, active, completed, created_at, ended_at)"
        " SELECT 'import-' || n %% 20, CASE WHEN n %% 10 = 0 THEN 'running' ELSE 'completed' END, %(steps)s,"
        " CASE WHEN n %% 10 = 0 THEN 1 ELSE 0 END, CASE WHEN n %% 10 = 0 THEN %(steps)s - 1 ELSE %(steps)s END,"
        " now() - n * interval '10 s', CASE WHEN n %% 10 = 0 THEN NULL ELSE now() - n * interval '9 s' END"
        " FROM generate_series(1, %(workflows)s) AS n",
    ),
    (
        "steps",
        "INSERT INTO pgjobs.workflow_steps (job_id, workflow_id, node, name, status, needs)"
        " SELECT made.first + s, w.id, made.first + s, 'step_' || s,"
        " CASE WHEN w.status = 'running' AND s = %(steps)s - 1 THEN NULL ELSE 'completed' END,"
        " CASE WHEN s > 0 THEN ARRAY[made.first + s - 1] END"
        " FROM pgjobs.workflows AS w"
        " CROSS JOIN LATERAL (SELECT 10000000000 + w.id * %(steps)s AS first) AS made"
        " CROSS JOIN generate_series(0, %(steps)s - 1) AS s",
    ),
    (
        "minutes of queues",
        "INSERT INTO pgjobs.queue_minutes (minute, queue, latency, due, later, waiting, running, completed, failed,"
        " retried, slots, busy, run_seconds, wait_seconds, runs, waits)"
        " SELECT date_trunc('minute', now()) - m * interval '1 minute', 'queue-' || lpad(q::text, 4, '0'), m %% 60,"
        " 100, 5, 0, 4, 600, 3, 5, 8, 5.5, 60, 120, '{10,20,300,200,70}', '{0,0,10,200,300,90}'"
        " FROM generate_series(1, %(minutes)s) AS m"
        " CROSS JOIN generate_series(0, least(%(queues)s, %(minute_queues)s) - 1) AS q ON CONFLICT DO NOTHING",
    ),
    (
        "minutes",
        "INSERT INTO pgjobs.queue_minutes (minute, queue, sampled, enqueued, completed, failed, retried, slots, busy)"
        " SELECT date_trunc('minute', now()) - m * interval '1 minute', '', true, 10000000 - m * 6000, 6000, 30, 50,"
        " 1600, 1100 FROM generate_series(1, %(minutes)s) AS m ON CONFLICT DO NOTHING",
    ),
    (
        "limits",
        "INSERT INTO pgjobs.limits (name, concurrency) VALUES ('tenant:*', 5) ON CONFLICT DO NOTHING",
    ),
)
BATCH = 1_000_000  # finished jobs in one statement


def fill(url: str, size: Size, tell: Callable[[str], None]) -> None:
    """Fill the tables of a migrated database, and have PostgreSQL look at what is there."""
    values = {
        **size._asdict(),
        "days": DAYS,
        "steps": STEPS,
        "minutes": MINUTE_HOURS * 60,
        "minute_queues": MINUTE_QUEUES,
    }
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "SELECT pgjobs.create_history_partition((now() - n * interval '1 day')::date)"
            " FROM generate_series(-1, 7) AS n"
        )
        conn.execute(
            "SELECT pgjobs.create_minutes_partition((now() - n * interval '1 day')::date)"
            " FROM generate_series(-1, 2) AS n"
        )
        for what, statement in STATEMENTS:
            began = time.monotonic()
            if what == "finished jobs":
                for start in range(1, size.finished + 1, BATCH):
                    end = min(start + BATCH - 1, size.finished)
                    conn.execute(statement, {**values, "from": start, "until": end})
            else:
                conn.execute(statement, values)
            tell(f"{what}: {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        conn.execute("VACUUM ANALYZE")
        tell(f"VACUUM ANALYZE: {time.monotonic() - began:.1f} s")
